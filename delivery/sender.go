package delivery

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

// A queue in trouble is asked again after firstWait, and then after twice the last wait.
const firstWait, longestWait = 100 * time.Millisecond, 30 * time.Second

// Sender takes messages and delivers them. Its methods may be called by several goroutines at once. Enqueue works whether
// or not Run does; what is enqueued while nothing runs waits in the queue.
type Sender struct {
	queue    queue.Queue
	shared   queue.Shared // nil: nobody else uses the queue
	leaser   queue.Leaser // nil: what is enqueued is to be claimed
	clock    clock
	holders  atomic.Int64 // how many use the queue, as far as Run knows
	back     signal       // the queue works again
	config   Config
	hosts    *hosts
	levels   *levels
	counters *counters
	rules    atomic.Pointer[rules] // never nil
	bell     bell

	changing turn // held while rules are changed
	leasing  turn // held while jobs are leased for a command

	mu      sync.Mutex                    // guards what follows
	running *running                      // nil: Run doesn't
	inbox   map[queue.Lane]schedule.Ready // what was enqueued since Run last looked; kept only while it runs
	wake    chan struct{}                 // holds a token while inbox is not empty
}

// New returns a Sender that keeps its messages in q. It starts nothing. The error names a field of c that makes no sense.
func New(q queue.Queue, c Config) (*Sender, error) {
	if q == nil {
		return nil, errors.New("delivery: the queue is nil")
	}
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Sender{
		queue:    q,
		config:   c,
		hosts:    newHosts(),
		levels:   newLevels(),
		counters: newCounters(time.Now()),
		inbox:    make(map[queue.Lane]schedule.Ready),
		wake:     make(chan struct{}, 1),

		changing: make(turn, 1),
		leasing:  make(turn, 1),
	}
	s.shared, _ = q.(queue.Shared)
	s.leaser, _ = q.(queue.Leaser)
	s.rules.Store(&rules{policy: &s.config.Shaping})
	return s, nil
}

// running is a call of Run.
type running struct {
	listens chan struct{} // closed when that is decided: it has a run, or has failed to start
	run     *run          // nil: it has failed
}

// current returns the call of Run that there is, nil if there is none.
func (s *Sender) current() *running {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// runs returns the run that can be told of things now, nil if there is none.
func (s *Sender) runs() *run {
	running := s.current()
	if running == nil {
		return nil
	}
	select {
	case <-running.listens:
		return running.run
	default:
		return nil
	}
}

// tell calls f when it is f's turn among the steps of a running Run, which it waits for while Run starts. It reports false if it
// hasn't called f: nothing runs, or has ended meanwhile, or ctx has.
func (s *Sender) tell(ctx context.Context, f func(*run)) bool {
	running := s.current()
	if running == nil {
		return false
	}
	select {
	case <-running.listens:
		r := running.run
		return r != nil && r.call(func() { f(r) })
	case <-ctx.Done():
		return false
	}
}

// note tells a running Run of jobs that can be claimed. It never blocks, and holds no more than one element for each lane.
func (s *Sender) note(e schedule.Ready) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return // Run reads the lanes from the queue when it starts
	}
	s.inbox[e.Lane] = s.inbox[e.Lane].Merge(e)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// noteEntry tells a running Run of the jobs of a message that was stored, but for those that it has.
func (s *Sender) noteEntry(e *queue.Entry, has func(*queue.Job) bool) {
	for _, j := range e.Jobs {
		if j.Finished.IsZero() && !has(j) {
			lane := queue.Lane{Domain: j.Domain, Tenant: e.Message.Tenant, Priority: e.Message.Priority}
			s.note(schedule.Ready{Lane: lane, Due: j.Due, Expires: e.Message.Expires})
		}
	}
}

// takeInbox returns what arrived since the last call.
func (s *Sender) takeInbox() map[queue.Lane]schedule.Ready {
	s.mu.Lock()
	defer s.mu.Unlock()
	lanes := s.inbox
	s.inbox = make(map[queue.Lane]schedule.Ready)
	return lanes
}

// begin makes s running, unless it is.
func (s *Sender) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return false
	}
	s.running = &running{listens: make(chan struct{})}
	return true
}

// listen lets r be told of things from now on.
func (s *Sender) listen(r *run) {
	s.running.run = r
	close(s.running.listens)
}

func (s *Sender) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running.run == nil {
		close(s.running.listens)
	}
	s.running = nil
	clear(s.inbox)
}

// observed reports whether there is an observer. What costs much in an event need not be made for nobody.
func (s *Sender) observed() bool { return s.config.Observer != nil }

// observe counts an event, and tells the observer, if there is one, and survives it.
func (s *Sender) observe(e Event) {
	s.counters.note(e)
	if !s.observed() {
		return
	}
	err := guard(func() error { s.config.Observer.Observe(e); return nil })
	if _, ok := e.(Trouble); err != nil && !ok {
		s.observe(Trouble{Time: s.now(), Err: err})
	}
}

// trouble tells the observer of something of the Sender's own that doesn't work; the key may be zero.
func (s *Sender) trouble(k queue.Key, err error) {
	s.observe(Trouble{Time: s.now(), Key: k, Err: err})
}

// panicked is the error that a panic is turned into.
type panicked struct {
	value any
	stack []byte
}

// Error has the stack, which is for the host program only.
func (p *panicked) Error() string { return fmt.Sprintf("delivery: panic: %v\n%s", p.value, p.stack) }

// plain returns err as others may read it, in a report.
func plain(err error) error {
	if p := (*panicked)(nil); errors.As(err, &p) {
		return fmt.Errorf("panic: %.100v", p.value)
	}
	return err
}

// guard calls f and turns a panic of the host program's code in it into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	return f()
}

// commit stores j and what follows from it. A queue that fails for a while is asked again until j's lease ends or ctx does;
// the entries are made anew for each try, since a body is read only once.
func (s *Sender) commit(ctx context.Context, j *queue.Job, more func() []*queue.Entry) error {
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		err := guard(func() error { return s.queue.Commit(ctx, j, more()...) })
		s.bell.ring(j) // whatever the error: it may be there
		if err == nil || permanent(err) || !s.now().Add(wait).Before(j.Leased) {
			return err
		}
		s.trouble(j.Key, err)
		select {
		case <-time.After(wait):
		case <-s.back.next():
		case <-ctx.Done():
			return err
		}
	}
}

// permanent reports whether asking the queue again can't help.
func permanent(err error) bool {
	for _, e := range []error{queue.ErrLeaseLost, queue.ErrConflict, queue.ErrInvalid, queue.ErrClosed, queue.ErrDamaged} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
