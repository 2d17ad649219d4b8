package delivery_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// leaser is a queue that counts what is claimed, and leases what it stores as a test has it.
type leaser struct {
	*memqueue.Queue
	claimed atomic.Int64
	stored  func() error // called after a message was stored with a lease; its error is what the caller gets
}

func (q *leaser) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	c, err := q.Queue.Claim(ctx, r)
	q.claimed.Add(int64(len(c.Jobs)))
	return c, err
}

func (q *leaser) EnqueueLeased(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
	jobs, added, err := q.Queue.EnqueueLeased(ctx, e, l)
	if err == nil && q.stored != nil {
		if err := q.stored(); err != nil {
			return nil, false, err
		}
	}
	return jobs, added, err
}

func newLeasingWorld(t *testing.T) (*world, *leaser) {
	w := newWorld(t)
	q := &leaser{Queue: memqueue.New()}
	w.queue = q
	return w, q
}

// What Run can begin with at once needs no claim; what it can't, and what is to be tried again, does.
func TestHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, q := newLeasingWorld(t)
		w.config.Shaping.Default.Connections = 2
		var works atomic.Bool
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "MAIL" && !works.Load() {
				return "450 4.3.0 later"
			}
			if c.Verb == "." {
				time.Sleep(time.Second)
			}
			return ""
		}, "a.example")
		w.start()
		w.settle(time.Second)
		first := w.enqueue("ann@a.example")
		w.settle(2 * time.Second)
		if n := q.claimed.Load(); n != 0 {
			t.Errorf("%d jobs were claimed before anything waited", n)
		}
		if j := w.jobs(first)[0]; j.Tries != 1 || j.Lapses != 0 {
			t.Errorf("after an attempt: %+v", j)
		}
		works.Store(true)
		w.settle(time.Hour)
		w.wantStates(first, "ann@a.example delivered")
		if n := q.claimed.Load(); n != 1 {
			t.Errorf("%d jobs were claimed, want the one that was tried again", n)
		}
		for range 20 {
			w.enqueue("ann@a.example")
		}
		w.settle(time.Hour)
		h.wantTaken(t, 21)
		if n := q.claimed.Load(); n < 1+20-2*2 || h.most > 2 {
			t.Errorf("%d jobs were claimed, with %d connections at once", n, h.most)
		}
	})
}

// If Run ends while a message is on its way to it, the message waits in the queue for the next one.
func TestHandoverEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, q := newLeasingWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		on := make(chan bool)
		q.stored = func() error { <-on; return nil }
		for _, again := range []bool{false, true} {
			w.start()
			w.settle(time.Second)
			ids := make(chan queue.ID)
			go func() { ids <- w.enqueue("ann@a.example") }()
			synctest.Wait()
			w.stop()
			if again { // what runs now is not what asked for the lease
				s, end := w.sender, w.stop
				ctx, cancel := context.WithCancel(t.Context())
				defer end()
				defer cancel()
				go s.Run(ctx)
				synctest.Wait()
			}
			on <- true
			id := <-ids
			if j := w.jobs(id)[0]; !again && !j.Leased.IsZero() {
				t.Errorf("it is leased until %v", j.Leased)
			}
			if !again {
				w.start()
			}
			w.settle(time.Minute)
			w.wantStates(id, "ann@a.example delivered")
			w.stop()
		}
		h.wantTaken(t, 2)
		if n := q.claimed.Load(); n != 2 {
			t.Errorf("%d jobs were claimed, want both", n)
		}
	})
}

// A place is free again if what it is for doesn't come.
func TestHandoverFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, q := newLeasingWorld(t)
		w.config.Shaping.Default.Connections = 1
		h := w.host("mx.a.example", nil, "a.example")
		var works atomic.Bool
		q.stored = func() error {
			if !works.Load() {
				return errors.Join(queue.ErrInDoubt, errAway)
			}
			return nil
		}
		w.start()
		w.settle(time.Second)
		send := func(body io.Reader) (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = errors.New("panic")
				}
			}()
			_, err = w.sender.Enqueue(t.Context(), delivery.Message{From: "b@home.example", To: delivery.To("ann@a.example"), Body: body})
			return err
		}
		for range 3 {
			if err := send(strings.NewReader("Subject: x\r\n\r\n")); !errors.Is(err, queue.ErrInDoubt) {
				t.Errorf("Enqueue: %v", err)
			}
			if err := send(brokenBody{}); err == nil {
				t.Error("a body that panics was stored")
			}
			w.settle(time.Second)
		}
		works.Store(true)
		for range 3 {
			if err := send(strings.NewReader("Subject: x\r\n\r\n")); err != nil {
				t.Error(err)
			}
			w.settle(time.Second)
		}
		h.wantTaken(t, 3)
		if q.claimed.Load() != 0 {
			t.Error("there were no places for those that came later")
		}
	})
}

// brokenBody is one of a host program that fails.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { panic("broken") }

// A body that takes its time keeps no place from others.
func TestHandoverOfASlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, q := newLeasingWorld(t)
		w.config.Shaping.Default.Connections = 1
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.settle(time.Second)
		body, writer := io.Pipe()
		stored := make(chan error)
		go func() {
			_, err := w.sender.Enqueue(t.Context(), delivery.Message{From: "b@home.example", To: delivery.To("ann@a.example"), Body: body})
			stored <- err
		}()
		io.WriteString(writer, "Subject: slow\r\n")
		w.settle(time.Hour)
		w.wantStates(w.enqueue("ann@a.example"), "ann@a.example pending")
		w.settle(time.Second)
		h.wantTaken(t, 1)
		writer.Close()
		if err := <-stored; err != nil {
			t.Error(err)
		}
		w.settle(time.Second)
		h.wantTaken(t, 2)
		if n := q.claimed.Load(); n != 1 {
			t.Errorf("%d jobs were claimed, want the one whose lease would have been too short", n)
		}
	})
}

// Of a message to several domains each job goes its own way.
func TestHandoverOfSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, q := newLeasingWorld(t)
		w.host("mx.a.example", nil, "a.example")
		w.host("mx.b.example", nil, "b.example")
		w.start()
		if err := w.sender.Pause(t.Context(), delivery.Selector{Domain: "b.example"}, time.Time{}, "it is asked for"); err != nil {
			t.Fatal(err)
		}
		w.settle(time.Second)
		id := w.enqueue("ann@a.example", "bob@b.example")
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example delivered", "bob@b.example pending")
		leased := slices.ContainsFunc(w.jobs(id), func(j *queue.Job) bool { return !j.Leased.IsZero() })
		if n := q.claimed.Load(); n != 0 || leased {
			t.Errorf("%d jobs were claimed, one is leased: %v", n, leased)
		}
	})
}
