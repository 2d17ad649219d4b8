package delivery_test

import (
	"context"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// All go by the queue's clock, whatever theirs show.
func TestSharedClock(t *testing.T) {
	for _, ahead := range []time.Duration{-7 * time.Minute, 7 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.pool.set(ahead)
				busy := true
				h := f.host("mx.a.example", func(c smtptest.Command) string {
					if c.Verb == "MAIL" && busy {
						return "450 4.3.0 later"
					}
					return ""
				}, "a.example")
				first := f.join()
				f.settle(time.Minute)
				f.send(first, "a.example", 1)
				f.settle(5 * time.Second)
				busy = false
				for j := range f.pool.Jobs(t.Context(), anyJob) {
					if wait := j.Due.Sub(f.pool.now()); j.Tries != 1 || wait < 0 || wait > 2*time.Minute {
						t.Errorf("after %d attempts it is due in %v", j.Tries, wait)
					}
				}
				f.settle(2 * time.Minute)
				h.wantTaken(t, 1)
				f.pool.set(2 * ahead) // the machine's clock was wrong, and is set
				f.settle(20 * time.Second)
				f.pool.claimed()
				f.send(first, "a.example", 1)
				f.settle(20 * time.Second)
				h.wantTaken(t, 2)
				for _, now := range f.pool.claimed() {
					if now.Sub(f.pool.now()).Abs() > time.Minute {
						t.Errorf("a claim at %v", now)
					}
				}
			})
		})
	}
}

// A Sender that ends leaves what it had to the others at once.
func TestSharedFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.config.Shaping.Default.Connections = 1
		h := f.host("mx.a.example", slow(time.Second), "a.example")
		first, second := f.join(), f.join()
		f.settle(time.Minute)
		f.send(first, "a.example", 20)
		f.settle(5 * time.Second)
		first.end()
		f.settle(40 * time.Second)
		h.wantTaken(t, 20)
		_ = second
	})
}

// While the queue is away nothing begins, what has been sent is committed when it is back, and nothing is sent twice.
func TestSharedQueueAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.config.Shaping.Default.Connections = 6
		h := f.host("mx.a.example", slow(10*time.Second), "a.example")
		for range 3 {
			f.join()
		}
		f.settle(time.Minute)
		f.send(f.members[0], "a.example", 300)
		f.settle(time.Minute)
		for _, m := range f.members {
			m.user.cut(true)
		}
		f.settle(50 * time.Second)
		before := len(h.Messages())
		f.settle(70 * time.Second)
		if n := len(h.Messages()) - before; n > 0 {
			t.Errorf("%d messages were sent without a share", n)
		}
		for _, m := range f.members {
			m.user.cut(false)
		}
		f.settle(time.Hour)
		h.wantTaken(t, 300)
		if h.most > 6 || f.left() > 0 {
			t.Errorf("%d connections at once, %d messages left", h.most, f.left())
		}
	})
}

// What a Sender had that has fallen silent, leases included, is soon others', and by then it has hung up.
func TestSharedSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.config.Shaping.Default.Connections = 2
		h := f.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "EHLO" && c.Conn <= 2 {
				return smtptest.Stall
			}
			return ""
		}, "a.example")
		first := f.join()
		f.settle(time.Minute)
		f.send(first, "a.example", 10)
		f.settle(10 * time.Second)
		f.join()
		f.settle(time.Minute)
		first.user.cut(true)
		f.settle(100 * time.Second)
		h.wantTaken(t, 10)
		if h.most != 2 {
			t.Errorf("%d connections at once", h.most)
		}
	})
}

// countedHeads counts how often lanes are listed.
type countedHeads struct {
	*user
	n atomic.Int64
}

func (q *countedHeads) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	if f.Heads {
		q.n.Add(1)
	}
	return q.user.Jobs(ctx, f)
}

// However often others enqueue, the lanes are read about once a second; and now and then even if nobody says that they have.
func TestSharedWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		h := f.host("mx.a.example", nil, "a.example")
		q := &countedHeads{user: f.pool.user()}
		f.world.queue = q
		f.world.start()
		other, err := delivery.New(f.pool.user(), f.config)
		if err != nil {
			t.Fatal(err)
		}
		m := &member{Sender: other}
		f.settle(time.Minute)
		before := q.n.Load()
		for range 1000 {
			f.send(m, "a.example", 1)
			f.settle(10 * time.Millisecond)
		}
		f.settle(time.Second)
		h.wantTaken(t, 1000)
		if n := q.n.Load() - before; n > 13 {
			t.Errorf("the lanes were read %d times in 11 seconds", n)
		}
		silent, err := delivery.New(f.pool.Queue, f.config)
		if err != nil {
			t.Fatal(err)
		}
		f.settle(time.Minute)
		f.send(&member{Sender: silent}, "a.example", 1)
		f.settle(45 * time.Second)
		h.wantTaken(t, 1001)
	})
}

// What one Sender has seen of TLS the others expect, although they were there before.
func TestSharedLevels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		h := f.changing("mx.a.example", "a.example")
		members := []*member{f.join(), f.join()}
		f.settle(time.Minute)
		f.send(members[0], "a.example", 1)
		f.settle(time.Minute)
		h.wantTaken(t, 1)
		if members[0].dials.Load() == 0 {
			members[0], members[1] = members[1], members[0]
		}
		if members[1].dials.Load() > 0 {
			t.Fatal("both have seen the host")
		}
		members[0].end()
		h.plain.Store(true)
		f.send(members[1], "a.example", 1)
		f.settle(30 * time.Minute)
		h.wantTaken(t, 1)
	})
}
