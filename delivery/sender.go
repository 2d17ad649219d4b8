package delivery

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

// A queue in trouble is asked again after firstWait, and then after twice the last wait.
const firstWait, longestWait = 100 * time.Millisecond, 30 * time.Second

// Sender takes messages and delivers them. Its methods may be called by several goroutines at once. Enqueue works whether
// or not Run does; what is enqueued while nothing runs waits in the queue.
type Sender struct {
	queue  queue.Queue
	config Config

	mu      sync.Mutex // guards what follows
	running bool
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
	return &Sender{
		queue:  q,
		config: c,
		inbox:  make(map[queue.Lane]schedule.Ready),
		wake:   make(chan struct{}, 1),
	}, nil
}

// note tells a running Run of jobs that can be claimed. It never blocks, and holds no more than one element for each lane.
func (s *Sender) note(e schedule.Ready) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return // Run reads the lanes from the queue when it starts
	}
	s.inbox[e.Lane] = s.inbox[e.Lane].Merge(e)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// noteEntry tells a running Run of the jobs of a message that was stored.
func (s *Sender) noteEntry(e *queue.Entry) {
	for _, j := range e.Jobs {
		if j.Finished.IsZero() {
			lane := queue.Lane{Domain: j.Domain, Tenant: e.Message.Tenant, Priority: e.Message.Priority}
			s.note(schedule.Ready{Lane: lane, Due: j.Due, Expires: e.Message.Expires})
		}
	}
}

// takeInbox returns what arrived since the last call.
func (s *Sender) takeInbox() map[queue.Lane]schedule.Ready {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.inbox
	s.inbox = make(map[queue.Lane]schedule.Ready)
	return taken
}

// begin makes s running, unless it is.
func (s *Sender) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.running
	s.running = true
	return !was
}

func (s *Sender) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	clear(s.inbox)
}

// observe tells the observer, and survives it.
func (s *Sender) observe(e Event) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := e.(Trouble); !ok {
				s.observe(Trouble{Time: time.Now(), Err: panicError(p)})
			}
		}
	}()
	s.config.Observer.Observe(e)
}

func panicError(p any) error {
	return fmt.Errorf("delivery: panic: %v\n%s", p, debug.Stack())
}

// guard calls f and turns a panic of the host program's code in it into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError(p)
		}
	}()
	return f()
}

// commit stores j and what follows from it. A queue that fails for a while is asked again until j's lease ends or ctx does;
// the entries are made anew for each try, since a body is read only once.
func (s *Sender) commit(ctx context.Context, j *queue.Job, more func() []*queue.Entry) error {
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		err := guard(func() error { return s.queue.Commit(ctx, j, more()...) })
		if err == nil || permanent(err) || !time.Now().Add(wait).Before(j.Leased) {
			return err
		}
		s.observe(Trouble{Time: time.Now(), Key: j.Key, Err: err})
		select {
		case <-time.After(wait):
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
