package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// What was enqueued while nothing ran is found at the start; what is due later is not forgotten.
func TestRunFindsWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.stop()
		w.enqueue("ann@a.example")
		w.send(delivery.Message{To: delivery.To("ben@a.example"), SendAt: time.Now().Add(time.Hour)})
		w.settle(time.Minute)
		h.wantTaken(t, 0)
		w.start()
		w.settle(time.Second)
		h.wantTaken(t, 1)
		w.settle(time.Hour)
		h.wantTaken(t, 2)
	})
}

// slowHeads is a queue in which listing lanes takes its time.
type slowHeads struct{ queue.Queue }

func (q slowHeads) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	return func(yield func(*queue.Job, error) bool) {
		for j, err := range q.Queue.Jobs(ctx, f) {
			if !yield(j, err) {
				return
			}
			if f.Heads {
				time.Sleep(time.Minute)
			}
		}
	}
}

// Mail that comes while Run still reads which lanes there are doesn't wait for that, and what is there is found.
func TestRunReadsLanesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = slowHeads{w.queue}
		w.host("mx.a.example", nil, "a.example")
		h := w.host("mx.b.example", nil, "b0.example", "b1.example", "b2.example")
		w.start()
		w.stop()
		w.enqueue("ann@b0.example", "ann@b1.example", "ann@b2.example")
		w.start()
		w.settle(time.Second)
		w.wantStates(w.enqueue("ann@a.example"), "ann@a.example pending")
		w.settle(time.Second)
		if n := len(observed[delivery.Delivered](w)); n != 2 {
			t.Errorf("%d jobs were delivered, want that of the first lane and the new one", n)
		}
		w.settle(time.Hour)
		h.wantTaken(t, 3)
	})
}

func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		synctest.Wait()
		if err := w.sender.Run(t.Context()); !errors.Is(err, delivery.ErrRunning) {
			t.Errorf("a second Run: %v", err)
		}
	})
}

// An idle Sender doesn't poll. It looks once more after each lane whose jobs it had, when their leases would have run out.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		q := &faultyQueue{Queue: w.queue}
		w.queue = q
		w.host("mx.a.example", nil, "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		before := q.claims.Load()
		w.settle(4 * 24 * time.Hour)
		if n := q.claims.Load() - before; n > 1 {
			t.Errorf("%d claims in four idle days", n)
		}
	})
}

func TestSiteLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		busy := w.host("mx.busy.example", func(c smtptest.Command) string {
			if c.Verb == "." {
				time.Sleep(time.Second)
			}
			return ""
		}, "a.example", "b.example")
		quick := w.host("mx.quick.example", nil, "quick.example")
		w.config.Shaping.Default.Connections = 3
		for i := range 20 {
			w.routes[fmt.Sprintf("new%d.example", i)] = []mx.Host{busy.Host}
		}
		w.start()
		for i := range 20 { // nobody knows yet that these are of the same site
			w.enqueue(fmt.Sprintf("x@new%d.example", i))
		}
		for i := range 51 {
			w.enqueue(fmt.Sprintf("u%d@a.example", i))
			w.enqueue(fmt.Sprintf("u%d@b.example", i))
		}
		w.enqueue("ann@quick.example")
		w.settle(100 * time.Millisecond)
		quick.wantTaken(t, 1)
		w.settle(time.Minute)
		busy.wantTaken(t, 122)
		if busy.most > 3 {
			t.Errorf("%d connections at once", busy.most)
		}
	})
}

// Two Senders on one queue, many attempts at once: each message arrives once.
func TestExactlyOnceWithoutTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example", "b.example", "c.example")
		w.start()
		w.stop()
		for i := range 300 {
			w.enqueue(fmt.Sprintf("u%d@%c.example", i, 'a'+rune(i%3)))
		}
		w.start()
		w.start()
		w.settle(time.Minute)
		seen := make(map[string]int)
		for _, m := range h.wantTaken(t, 300) {
			seen[m.To[0].Address]++
		}
		if len(seen) != 300 {
			t.Errorf("%d of 300 recipients have their message", len(seen))
		}
	})
}

// faultyQueue fails as its functions say.
type faultyQueue struct {
	queue.Queue
	claims atomic.Int64
	commit func(n int64) error // asked before the n-th commit
	open   func() error
	n      atomic.Int64
}

func (q *faultyQueue) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	q.claims.Add(1)
	return q.Queue.Claim(ctx, r)
}

func (q *faultyQueue) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	if q.commit != nil {
		if err := q.commit(q.n.Add(1)); err != nil {
			return err
		}
	}
	return q.Queue.Commit(ctx, j, more...)
}

func (q *faultyQueue) Open(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if q.open != nil {
		if err := q.open(); err != nil {
			return nil, err
		}
	}
	return q.Queue.Open(ctx, id)
}

// A queue that can't commit for a while is asked again; the outcome is not forgotten and nothing is sent twice.
func TestCommitIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = &faultyQueue{Queue: w.queue, commit: func(n int64) error {
			if n < 8 {
				return queue.ErrInDoubt
			}
			return nil
		}}
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Minute)
		w.wantStates(id, "ann@a.example delivered")
		h.wantTaken(t, 1)
		if n := len(observed[delivery.Trouble](w)); n != 7 {
			t.Errorf("the observer is told of %d failed commits, want 7", n)
		}
	})
}

// A report that can't be composed is tried again without sending the mail again, and made without the original in the end.
func TestReportIsRetriedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		opens := 0
		w.queue = &faultyQueue{Queue: w.queue, open: func() error {
			if opens++; opens == 2 || opens == 3 {
				return errors.New("disk trouble")
			}
			return nil
		}}
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "." {
				return "554 5.6.0 no"
			}
			return ""
		}, "a.example")
		home := w.host("mx.home.example", nil, "home.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example failed")
		w.settle(time.Hour)
		w.wantStates(id, "ann@a.example bounced")
		home.wantTaken(t, 1)
		if total, _, _ := h.Connections(); total != 1 {
			t.Errorf("the mail was sent %d times", total)
		}
	})
}

func TestUnreadableBodyIsNotHalfSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = &cutQueue{w.queue}
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example pending")
		if j := w.jobs(id)[0]; j.Recipients[0].Uncertain {
			t.Errorf("a message whose end was never sent is not uncertain")
		}
		h.wantTaken(t, 0)
	})
}

// cutQueue loses the end of every body.
type cutQueue struct{ queue.Queue }

func (q *cutQueue) Open(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	body, err := q.Queue.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.MultiReader(io.LimitReader(body, 20), brokenReader{})), nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A panic in the host program's code ends an attempt, not the program.
func TestPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		var routes, policies, events atomic.Int64
		w.config.Router = mx.RouterFunc(func(ctx context.Context, domain string) (*mx.Route, error) {
			if routes.Add(1) == 1 {
				panic("router")
			}
			return w.route(ctx, domain)
		})
		w.config.Retry = retry.PolicyFunc(func(retry.Attempt) (time.Duration, bool) {
			if policies.Add(1) == 1 {
				panic("policy")
			}
			return time.Minute, true
		})
		w.config.Observer = delivery.ObserverFunc(func(e delivery.Event) {
			if w.observe(e); events.Add(1)%2 == 0 {
				panic("observer")
			}
		})
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(2 * time.Hour)
		w.wantStates(id, "ann@a.example delivered")
		h.wantTaken(t, 1)
		var found []string
		for _, e := range observed[delivery.Trouble](w) {
			for _, who := range []string{"router", "policy", "observer"} {
				if strings.Contains(e.Err.Error(), "panic: "+who) {
					found = append(found, who)
				}
			}
		}
		if len(found) < 3 {
			t.Errorf("told of panics in %v only", found)
		}
	})
}

func TestRoutingErrorWithoutACause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Router = mx.RouterFunc(func(context.Context, string) (*mx.Route, error) { return nil, &mx.Error{Domain: "a.example"} })
		w.config.Retry = retry.Schedule{time.Minute}
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(10*time.Minute - time.Second)
		if j := w.jobs(id)[0]; j.Tries != 10 || j.Recipients[0].Reply.Text != "no route" {
			t.Errorf("%d attempts in 10 minutes, the last said %q", j.Tries, j.Recipients[0].Reply.Text)
		}
	})
}

// A router without an answer is trouble like any other: the message waits for its next attempt.
func TestEmptyRoutes(t *testing.T) {
	for name, route := range map[string]*mx.Route{"no route": nil, "no hosts": {}, "no addresses": {Hosts: []mx.Host{{Name: "mx.a.example"}}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.config.Router = mx.RouterFunc(func(context.Context, string) (*mx.Route, error) { return route, nil })
				w.config.Retry = retry.Schedule{time.Minute}
				w.start()
				id := w.enqueue("ann@a.example")
				w.settle(10*time.Minute - time.Second)
				if j := w.jobs(id)[0]; j.Tries != 10 || j.Recipients[0].State != queue.Pending {
					t.Errorf("%d attempts in 10 minutes, %v", j.Tries, j.Recipients[0].State)
				}
			})
		})
	}
}

// Many restarts, servers with a random temper: every recipient ends by its expiry, and none is told twice.
func TestEveryRecipientEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var asked atomic.Int64
		moody := func(c smtptest.Command) string {
			if n := asked.Add(1); n%7 == 0 {
				return []string{"421 4.3.2 later", "450 4.2.0 busy", "550 5.7.1 no", smtptest.Close, "552 5.2.2 full"}[n/7%5]
			}
			return ""
		}
		for _, d := range []string{"a.example", "b.example", "home.example"} {
			w.host("mx1."+d, moody, d)
			w.host("mx2."+d, moody, d)
		}
		w.config.Concurrency = 1 // so that the servers' temper comes in nearly the same order each time
		var ids []queue.ID
		for round := range 20 {
			w.config.Shaping.Default.Connections = 1 + round%3
			w.start()
			for i := range 5 {
				ids = append(ids, w.enqueue(fmt.Sprintf("u%d-%d@a.example", round, i), fmt.Sprintf("u%d-%d@b.example", round, i)))
			}
			w.settle(time.Duration(round) * time.Minute)
			w.stop()
		}
		w.start()
		w.settle(6 * 24 * time.Hour)
		reports := make(map[string]int)
		for _, id := range ids {
			for _, j := range w.jobs(id) {
				if j.Finished.IsZero() || j.Finished.After(j.Message.Expires.Add(time.Minute)) {
					t.Errorf("%s has not ended in time: %+v", j.Key, j)
				}
			}
		}
		for _, b := range observed[delivery.Bounced](w) {
			for _, r := range b.Recipients {
				if reports[b.Key.String()+r.Address]++; reports[b.Key.String()+r.Address] > 1 {
					t.Errorf("%s of %s was reported twice", r.Address, b.Key)
				}
			}
		}
	})
}

func TestLogHasOneLinePerAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Address == "nobody@a.example" {
				return "550 5.1.1 no such user"
			}
			if c.Verb == "." {
				time.Sleep(time.Second)
				return "250 2.0.0 OK"
			}
			return ""
		}, "a.example")
		w.config.Log = slog.New(slog.NewTextHandler(&log, nil))
		w.start()
		at := time.Now().Add(time.Second).Format("2006-01-02T15:04:05.000Z07:00")
		id := w.enqueue("ann@a.example", "nobody@a.example")
		w.settle(2 * time.Second)
		w.stop()
		first, _, _ := strings.Cut(log.String(), "\n")
		want := `time=` + at + ` level=INFO msg=attempt id=` + string(id) + ` sender=sender@home.example ` +
			`recipients="[ann@a.example nobody@a.example]" host=mx.a.example reply="550 5.1.1 no such user" outcome="delivered 1, failed 1" took=1s`
		if first != want {
			t.Errorf("the line is\n%s\nwant\n%s", first, want)
		}
	})
}
