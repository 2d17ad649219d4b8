package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// The connection works while the disk does, but not far ahead of it: what a crash makes arrive twice is bounded.
func TestUncommittedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inner := w.queue
		var under, most atomic.Int64
		w.queue = &hookedQueue{Queue: inner, commit: func(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
			if n := under.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			under.Add(-1)
			return inner.Commit(ctx, j, more...)
		}}
		h := w.host("mx.a.example", nil, "a.example")
		w.one()
		w.start()
		for i := range 40 {
			w.enqueue(fmt.Sprintf("u%d@a.example", i))
		}
		w.settle(500 * time.Millisecond)
		h.wantTaken(t, 8)
		w.settle(time.Minute)
		h.wantTaken(t, 40)
		h.wantConnections(t, 1)
		if most.Load() != 8 {
			t.Errorf("%d commits at once", most.Load())
		}
	})
}

// What has arrived and isn't committed when the process dies arrives again; what is committed doesn't.
func TestCrashBeforeCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inner := w.queue
		var commits atomic.Int64
		dead := errors.New("the process is dead")
		w.queue = &hookedQueue{Queue: inner, commit: func(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
			if commits.Add(1) > 5 {
				<-ctx.Done()
				return dead
			}
			return inner.Commit(ctx, j, more...)
		}}
		h := w.host("mx.a.example", nil, "a.example")
		w.one()
		w.start()
		for i := range 30 {
			w.enqueue(fmt.Sprintf("u%d@a.example", i))
		}
		w.settle(time.Second)
		w.stop()
		first := len(h.Messages())
		if first < 8 || first > 5+8 {
			t.Errorf("%d messages have arrived", first)
		}
		w.queue = inner
		w.start()
		w.settle(2 * time.Hour) // until all leases have ended
		copies := make(map[string]int)
		for _, m := range h.Messages() {
			copies[m.To[0].Address]++
		}
		twice := 0
		for _, n := range copies {
			if twice += n - 1; n > 2 {
				t.Errorf("%d copies", n)
			}
		}
		if len(copies) != 30 || twice != first-5 {
			t.Errorf("%d of 30 have their message, %d twice, of %d that were sent before the crash", len(copies), twice, first)
		}
	})
}

// A job whose leases keep ending without a commit may be what ends them.
func TestLapsedJobIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = struct{ queue.Queue }{w.queue} // keeps no notes, so that lapses count
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.stop()
		id := w.enqueue("ann@a.example")
		for range 5 {
			c, err := w.queue.Claim(t.Context(), queue.ClaimRequest{Now: time.Now(), Lease: time.Minute, Limit: 1})
			if err != nil || len(c.Jobs) != 1 {
				t.Fatal(c, err)
			}
			w.settle(2 * time.Minute)
		}
		w.start()
		well := w.enqueue("ben@a.example")
		w.settle(time.Minute)
		w.wantStates(well, "ben@a.example delivered")
		w.wantStates(id, "ann@a.example pending")
		if held := observed[delivery.Held](w); len(held) != 1 || held[0].Key.ID != id || !w.jobs(id)[0].Held {
			t.Errorf("observed %+v", held)
		}
		if _, err := w.sender.Release(t.Context(), delivery.Selector{ID: id}); err != nil {
			t.Fatal(err)
		}
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example delivered")
		h.wantTaken(t, 2)
	})
}

// Neither the hold, nor that nobody has heard of its expiry before, keeps a lapsed job from its end.
func TestLapsedJobExpires(t *testing.T) {
	for _, expiresWhileAway := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.queue = struct{ queue.Queue }{w.queue} // keeps no notes, so that lapses count
			w.config.Router = mx.RouterFunc(func(context.Context, string) (*mx.Route, error) { return nil, errors.New("not now") })
			w.start()
			w.stop()
			w.enqueue("ben@a.example") // it stands for the lane
			w.settle(time.Second)
			id := w.send(delivery.Message{To: delivery.To("ann@a.example"), Expires: time.Now().Add(time.Hour)})
			for range 5 {
				r := queue.ClaimRequest{Now: time.Now(), Lease: time.Minute, Limit: 1, Keys: []queue.Key{{ID: id}}}
				if _, err := w.queue.Claim(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				w.settle(2 * time.Minute)
			}
			if expiresWhileAway {
				w.settle(time.Hour)
			}
			w.start()
			w.settle(time.Hour)
			w.wantStates(id, "ann@a.example bounced")
			if held := len(observed[delivery.Held](w)); expiresWhileAway == (held > 0) {
				t.Errorf("held %d times", held)
			}
		})
	}
}

// A lapsed job that can't be held now is tried to be held when its lease has ended.
func TestLapsedJobThatCannotBeHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = struct{ queue.Queue }{w.queue} // keeps no notes, so that lapses count
		w.start()
		w.stop()
		id := w.enqueue("ann@a.example")
		for range 5 {
			if _, err := w.queue.Claim(t.Context(), queue.ClaimRequest{Now: time.Now(), Lease: time.Minute, Limit: 1}); err != nil {
				t.Fatal(err)
			}
			w.settle(2 * time.Minute)
		}
		inner := w.queue
		var commits atomic.Int64
		w.queue = &hookedQueue{Queue: inner, commit: func(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
			if commits.Add(1) == 1 {
				return queue.ErrDamaged
			}
			return inner.Commit(ctx, j, more...)
		}}
		w.host("mx.a.example", nil, "a.example")
		w.start()
		w.settle(2 * time.Hour)
		if !w.jobs(id)[0].Held || len(observed[delivery.Trouble](w)) != 1 {
			t.Errorf("the job is not held: %+v", w.jobs(id)[0])
		}
	})
}

// A host that has enough of our connections has said nothing about the message.
func TestCrowdedHost(t *testing.T) {
	for name, answer := range map[string]string{"421": "421 4.7.0 too many connections", "554": "554 too many connections", "closed": smtptest.Close} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var h *host
				h = w.host("mx.a.example", func(c smtptest.Command) string {
					switch c.Verb {
					case "CONNECT":
						if _, _, open := h.Connections(); open > 5 {
							return answer + smtptest.Close
						}
					case ".":
						time.Sleep(time.Second)
					}
					return ""
				}, "a.example")
				w.config.Shaping.Default.Start = 20
				w.start()
				var ids []queue.ID
				for i := range 60 {
					ids = append(ids, w.enqueue(fmt.Sprintf("u%d@a.example", i)))
					if i == 4 {
						w.settle(100 * time.Millisecond) // so that what is refused is a connection beside others
					}
				}
				w.settle(10 * time.Minute)
				h.wantTaken(t, 60)
				if total, _, _ := h.Connections(); total <= 5 {
					t.Errorf("never more than 5 connections were tried")
				}
				for _, id := range ids {
					if j := w.jobs(id)[0]; j.Tries != 1 {
						t.Errorf("a message took %d attempts", j.Tries)
					}
				}
			})
		})
	}
}

// A host that turns us away though we have nothing there is one that turns us away.
func TestTurnedAwayIsAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "CONNECT" {
				return "421 4.7.0 too many connections"
			}
			return ""
		}, "a.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		if j := w.jobs(id)[0]; j.Tries != 1 {
			t.Errorf("counts as %d attempts", j.Tries)
		}
	})
}
