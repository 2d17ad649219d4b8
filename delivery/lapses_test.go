package delivery_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// mortal is the queue of a process: it takes its time, and nothing reaches it any more once the process is dead.
type mortal struct {
	notedQueue
	die  func()
	dead chan struct{} // closed when it is
}

func newMortal(q queue.Queue) *mortal {
	m := &mortal{notedQueue: q.(notedQueue), dead: make(chan struct{})}
	m.die = sync.OnceFunc(func() { close(m.dead) })
	return m
}

func (m *mortal) takes(d time.Duration) error {
	time.Sleep(d)
	select {
	case <-m.dead:
		return fmt.Errorf("the process is dead: %w", queue.ErrClosed)
	default:
		return nil
	}
}

func (m *mortal) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	if err := m.takes(2 * time.Millisecond); err != nil {
		return queue.Claimed{}, err
	}
	return m.notedQueue.Claim(ctx, r)
}

func (m *mortal) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	if err := m.takes(3 * time.Millisecond); err != nil {
		return err
	}
	return m.notedQueue.Commit(ctx, j, more...)
}

func (m *mortal) Set(ctx context.Context, key string, value []byte) error {
	if err := m.takes(3 * time.Millisecond); err != nil {
		return err
	}
	return m.notedQueue.Set(ctx, key, value)
}

// plague is a world with a message that ends the process whenever it is sent.
type plague struct {
	*world
	poison  queue.ID
	bare    bool                   // the queue keeps no notes
	process atomic.Pointer[mortal] // the one that lives
}

// newPlague has n messages wait behind the poison. Their dialogues take so long.
func newPlague(t *testing.T, n int, slowly time.Duration) *plague {
	p := &plague{world: newWorld(t)}
	p.config.Shaping.Default.Connections, p.config.Shaping.Default.Start = 100, 100
	p.host("mx.p.example", func(c smtptest.Command) string {
		if c.Verb == "MAIL" {
			p.process.Load().die()
			return smtptest.Close
		}
		return ""
	}, "p.example")
	p.host("mx.a.example", slow(slowly), "a.example", "b.example", "c.example")
	p.start()
	p.stop() // it accepts mail all the same
	p.poison = p.enqueue("ann@p.example")
	for i := range n {
		p.enqueue(fmt.Sprintf("u%d@%c.example", i, 'a'+i%3))
	}
	return p
}

// live runs a process until it dies by itself, or is killed, if kill is set, or stopped, after a time. It reports whether it has
// died by itself. What it had leased is free again then.
func (p *plague) live(d time.Duration, kill bool) (died bool) {
	inner := p.queue
	m := newMortal(inner)
	p.process.Store(m)
	p.queue = m
	if p.bare {
		p.queue = struct{ queue.Queue }{m}
	}
	p.start()
	select {
	case <-m.dead:
		died = true
	case <-time.After(d):
		if kill {
			m.die()
		}
	}
	p.stop()
	p.queue = inner
	p.settle(70*time.Minute + time.Second)
	return died
}

// A message that ends the process whenever it is sent is held, and no other is, however many were claimed with it and however
// often the process is killed from outside besides.
func TestPoison(t *testing.T) {
	for name, c := range map[string]struct {
		kills  int           // from outside, at first
		after  time.Duration // of the start of each life
		slowly time.Duration // a dialogue with the other host
		bare   bool
	}{
		"alone":                 {0, 0, time.Second, false},
		"beside fast mail":      {0, 0, 0, false},
		"killed at the start":   {8, 6 * time.Millisecond, time.Second, false},
		"killed in a dialogue":  {2, 500 * time.Millisecond, time.Second, false},
		"killed among suspects": {4, 10 * time.Second, time.Minute, false},
		"without notes":         {0, 0, time.Second, true},
		"and beside fast mail":  {0, 0, 0, true},
		"and killed at first":   {2, 500 * time.Millisecond, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlague(t, 150, c.slowly)
				p.bare = c.bare
				for range c.kills {
					p.live(c.after, true)
				}
				deaths := 0
				for deaths < 10 && p.live(4*time.Hour, false) {
					deaths++
				}
				if deaths > 5 {
					t.Errorf("it took %d deaths", deaths)
				}
				for _, e := range observed[delivery.Held](p.world) {
					if e.Key.ID != p.poison {
						t.Errorf("%s is held: %q", e.Key, p.states(e.Key.ID))
					}
				}
				p.queue.(notedQueue).Keys(t.Context(), "delivery/suspect/")(func(key string, _ error) bool {
					t.Errorf("%s is left", key)
					return true
				})
				for j := range p.queue.Jobs(t.Context(), queue.Filter{Unfinished: true}) {
					if j.Key.ID != p.poison || !j.Held {
						t.Errorf("%s is unfinished, after %d lapses; held: %v", j.Key, j.Lapses, j.Held)
					}
				}
			})
		})
	}
}

// suspect has the leases of all jobs end without a commit until they are suspects.
func (w *world) suspect() {
	w.t.Helper()
	for range 2 {
		_, err := w.queue.Claim(w.t.Context(), queue.ClaimRequest{Now: time.Now(), Lease: time.Minute, Limit: 10_000})
		if err != nil {
			w.t.Fatal(err)
		}
		w.settle(time.Minute)
	}
}

// Each Sender has one suspect in its hands at a time, and all mail that is none beside it.
func TestOneSuspectAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.config.Shaping.Default.Connections, f.config.Shaping.Default.Start = 100, 100
		// It takes one Sender longer to send a suspect than the other to hear of those that were given back.
		h := f.host("mx.a.example", slow(time.Minute), "a.example")
		other := f.host("mx.b.example", nil, "b.example")
		idle, err := delivery.New(f.pool, f.config)
		if err != nil {
			t.Fatal(err)
		}
		const n = 20
		f.send(&member{Sender: idle}, "a.example", n)
		f.suspect()
		for range 2 {
			f.join()
		}
		f.send(f.members[0], "b.example", n)
		f.settle(30 * time.Second)
		other.wantTaken(t, n)
		h.wantTaken(t, 0)
		f.settle(time.Hour)
		h.wantTaken(t, n)
		if h.most != 2 {
			t.Errorf("%d at once", h.most)
		}
	})
}

// Suspects that wait for one that takes its time come back at a bounded pace, and soon when it has ended.
func TestSlowSuspect(t *testing.T) {
	for others, c := range map[int]struct {
		commits int64 // in a minute
		last    time.Duration
	}{1: {12, 10 * time.Second}, 300: {1500, 30 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var slow atomic.Bool
			answer := make(chan struct{})
			goOn := sync.OnceFunc(func() { close(answer) })
			h := w.host("mx.a.example", func(c smtptest.Command) string {
				if c.Verb == "." && slow.CompareAndSwap(false, true) {
					<-answer
				}
				return ""
			}, "a.example")
			w.start()
			w.stop()
			for i := range 1 + others {
				w.enqueue(fmt.Sprintf("u%d@a.example", i))
			}
			w.suspect()
			inner := w.queue
			var commits atomic.Int64
			w.queue = &hookedQueue{Queue: inner, commit: func(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
				commits.Add(1)
				return inner.Commit(ctx, j, more...)
			}}
			w.start()
			w.t.Cleanup(goOn)
			w.settle(2 * time.Minute)
			before := commits.Load()
			w.settle(time.Minute)
			if n := commits.Load() - before; n > c.commits {
				t.Errorf("%d suspects that wait are given back %d times in a minute", others, n)
			}
			h.wantTaken(t, 0)
			goOn()
			w.settle(c.last)
			h.wantTaken(t, 1+others)
		})
	}
}
