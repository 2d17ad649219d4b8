package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// later answers 450 to one recipient until it is told otherwise.
func later(address string, until *atomic.Bool) func(smtptest.Command) string {
	return func(c smtptest.Command) string {
		if c.Verb == "RCPT" && c.Address == address && !until.Load() {
			return "450 4.2.0 later"
		}
		return ""
	}
}

// A policy that panics must not make the Sender forget who has the message.
func TestPanickingPolicyCausesNoDuplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var open atomic.Bool
		h := w.host("mx.a.example", later("ben@a.example", &open), "a.example")
		w.config.Retry = retry.PolicyFunc(func(retry.Attempt) (time.Duration, bool) { panic("policy") })
		w.start()
		id := w.enqueue("ann@a.example", "ben@a.example")
		w.settle(3 * time.Hour)
		w.wantStates(id, "ann@a.example delivered", "ben@a.example pending")
		h.wantTaken(t, 1)
		open.Store(true)
		w.settle(24 * time.Hour)
		w.wantStates(id, "ann@a.example delivered", "ben@a.example delivered")
		h.wantTaken(t, 2)
		if list := observed[delivery.Trouble](w); len(list) == 0 || !strings.Contains(list[0].Err.Error(), "panic: policy") {
			t.Errorf("observed %v", list)
		}
	})
}

// panickingHandler is a host program's log handler on a bad day.
type panickingHandler struct{ slog.Handler }

func (panickingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (panickingHandler) Handle(context.Context, slog.Record) error { panic("log") }

// A log that panics holds up nothing: the report sets out, and the next attempt comes when it is due.
func TestPanickingLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			switch {
			case c.Address == "nobody@a.example":
				return "550 5.1.1 no such user"
			case c.Address == "ann@a.example" && c.Conn == 1:
				return "450 4.2.0 later"
			}
			return ""
		}, "a.example")
		home := w.host("mx.home.example", nil, "home.example")
		w.config.Retry = retry.Schedule{time.Minute}
		w.config.Log = slog.New(panickingHandler{slog.DiscardHandler})
		w.start()
		id := w.enqueue("nobody@a.example", "ann@a.example")
		w.settle(time.Second)
		home.wantTaken(t, 1)
		w.settle(time.Minute)
		w.wantStates(id, "ann@a.example delivered", "nobody@a.example bounced")
		if n := len(observed[delivery.Attempted](w)); n != 4 {
			t.Errorf("%d attempts are observed, want 4", n)
		}
	})
}

// hookedQueue calls its functions, those that are not nil, in place of the queue's methods.
type hookedQueue struct {
	queue.Queue
	enqueue func(context.Context, *queue.Entry) (bool, error)
	claim   func(context.Context, queue.ClaimRequest) (queue.Claimed, error)
	commit  func(context.Context, *queue.Job, ...*queue.Entry) error
	open    func(context.Context, queue.ID) (io.ReadCloser, error)
}

func (q *hookedQueue) Enqueue(ctx context.Context, e *queue.Entry) (bool, error) {
	if q.enqueue != nil {
		return q.enqueue(ctx, e)
	}
	return q.Queue.Enqueue(ctx, e)
}

func (q *hookedQueue) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	if q.claim != nil {
		return q.claim(ctx, r)
	}
	return q.Queue.Claim(ctx, r)
}

func (q *hookedQueue) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	if q.commit != nil {
		return q.commit(ctx, j, more...)
	}
	return q.Queue.Commit(ctx, j, more...)
}

func (q *hookedQueue) Open(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if q.open != nil {
		return q.open(ctx, id)
	}
	return q.Queue.Open(ctx, id)
}

func TestPanickingQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inner, claims := w.queue, 0
		w.queue = &hookedQueue{Queue: inner, claim: func(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
			if claims++; claims < 3 {
				panic("queue")
			}
			return inner.Claim(ctx, r)
		}}
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Minute)
		h.wantTaken(t, 1)
	})
}

// A message of which it isn't known whether it was stored is looked for.
func TestEnqueueInDoubtSetsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inner := w.queue
		w.queue = &hookedQueue{Queue: inner, enqueue: func(ctx context.Context, e *queue.Entry) (bool, error) {
			inner.Enqueue(ctx, e)
			return false, queue.ErrInDoubt
		}}
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.settle(time.Second)
		if _, err := w.sender.Enqueue(t.Context(), delivery.Message{To: delivery.To("ann@a.example")}); !errors.Is(err, queue.ErrInDoubt) {
			t.Fatal(err)
		}
		w.settle(time.Second)
		h.wantTaken(t, 1)
	})
}

// A message that is repeated under its Key may be one that the Sender has never heard of.
func TestRepeatedMessageSetsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.settle(time.Second)
		other, err := delivery.New(w.queue, w.config)
		if err != nil {
			t.Fatal(err)
		}
		m := delivery.Message{Key: "order 17", To: delivery.To("ann@a.example")}
		if _, err := other.Enqueue(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		w.send(m)
		w.settle(time.Second)
		h.wantTaken(t, 1)
	})
}

// A Key may be used again once the queue has forgotten the message, though it still remembers the report about it.
func TestReportOfAReusedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := func(c smtptest.Command) string {
			if c.Verb == "RCPT" {
				return "550 5.1.1 no such user"
			}
			return ""
		}
		m := delivery.Message{Key: "weekly", From: "sender@home.example", To: delivery.To("nobody@a.example")}
		first := newWorld(t)
		first.host("mx.a.example", refuse, "a.example")
		first.start()
		first.send(m)
		first.settle(time.Second)
		report := observed[delivery.Bounced](first)[0].Report

		second := newWorld(t)
		second.host("mx.a.example", refuse, "a.example")
		home := second.host("mx.home.example", nil, "home.example")
		_, err := second.queue.Enqueue(t.Context(), &queue.Entry{
			Message: queue.Message{ID: report, Enqueued: time.Now(), Expires: time.Now().Add(time.Hour)},
			Jobs:    []*queue.Job{{Key: queue.Key{ID: report}, Domain: "b.example", Due: time.Now().Add(time.Hour), Recipients: []queue.Recipient{{Address: "x@b.example"}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		second.start()
		id := second.send(m)
		second.settle(time.Minute)
		second.wantStates(id, "nobody@a.example bounced")
		home.wantTaken(t, 1)
	})
}

// That the stored message can't be read is nobody's fault but ours: no other host is asked, and no host is blamed.
func TestUnreadableBodyBlamesNoHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = &cutQueue{w.queue}
		w.host("mx1.a.example", nil, "a.example")
		second := w.host("mx2.a.example", nil, "a.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		if n, _, _ := second.Connections(); n != 0 {
			t.Errorf("the second host was asked")
		}
		if r := w.jobs(id)[0].Recipients[0].Reply; r.Host != "" || r.Text != "the stored message can't be read" {
			t.Errorf("the reply is %+v", r)
		}
		if len(observed[delivery.Trouble](w)) == 0 {
			t.Errorf("nobody is told that the queue has lost a body")
		}
	})
}

// Domains whose routes name no site don't share one.
func TestRoutesWithoutASite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stuck := w.host("mx.stuck.example", func(c smtptest.Command) string {
			if c.Verb == "." {
				return smtptest.Stall
			}
			return ""
		}, "stuck.example")
		quick := w.host("mx.quick.example", nil, "quick.example")
		w.config.Router = mx.RouterFunc(func(ctx context.Context, domain string) (*mx.Route, error) {
			route, err := w.route(ctx, domain)
			if route != nil {
				route.Site = ""
			}
			return route, err
		})
		w.config.Shaping.Default.Connections = 1
		w.start()
		w.enqueue("ann@quick.example") // so that both domains have been routed once
		w.enqueue("ann@stuck.example")
		w.settle(time.Second)
		w.enqueue("ben@stuck.example") // takes the only slot of the site that the first one has told of
		w.settle(time.Second)
		w.enqueue("ben@quick.example")
		w.settle(time.Second)
		quick.wantTaken(t, 2)
		stuck.wantTaken(t, 0)
	})
}

// A router's names are the host program's, and so is the mistake; nobody gets a second copy for it.
func TestOddHostName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx\xff.a.example", nil, "a.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(3 * time.Hour)
		w.wantStates(id, "ann@a.example delivered")
		h.wantTaken(t, 1)
	})
}

// A report that can never be composed costs an attempt now and then, not all the time there is.
func TestImpossibleReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		q := &faultyQueue{Queue: memqueue.New()}
		w.queue = q
		now := time.Now()
		id := queue.ID("broken")
		_, err := q.Enqueue(t.Context(), &queue.Entry{
			Message: queue.Message{ID: id, From: "no address", Enqueued: now, Expires: now.Add(time.Hour)},
			Jobs:    []*queue.Job{{Key: queue.Key{ID: id}, Domain: "a.example", Due: now, Recipients: []queue.Recipient{{Address: "ann@a.example"}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		q.commit = func(n int64) error {
			if n > 200 {
				return queue.ErrClosed // or this test would never end
			}
			return nil
		}
		w.start()
		w.settle(24 * time.Hour)
		if n := q.n.Load(); n > 100 {
			t.Errorf("%d commits", n)
		}
		w.wantStates(id, "ann@a.example bounced") // as told as anybody can be
	})
}

// Taking back a large message takes longer than one lease.
func TestWithdrawLargeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inner := w.queue
		slow := false
		w.queue = &hookedQueue{Queue: inner, commit: func(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
			if slow {
				time.Sleep(500 * time.Millisecond)
			}
			return inner.Commit(ctx, j, more...)
		}}
		w.config.Router = mx.RouterFunc(func(context.Context, string) (*mx.Route, error) { return nil, errors.New("not now") })
		w.config.Retry = retry.Schedule{2 * time.Minute}
		w.start()
		var to []string
		for i := range 300 {
			to = append(to, fmt.Sprintf("ann@d%d.example", i))
		}
		id := w.enqueue(to...)
		w.settle(time.Second)
		slow = true
		if _, err := w.sender.Withdraw(t.Context(), delivery.Selector{ID: id}); err != nil {
			t.Error(err)
		}
		for _, j := range w.jobs(id) {
			if j.Recipients[0].State != queue.Withdrawn {
				t.Errorf("%s is %v", j.Key, j.Recipients[0].State)
			}
		}
	})
}

// What a server has said about the message counts for more than that another one can't be reached.
func TestDeadBackupHidesNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx1.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" && c.Conn == 1 {
				return "450 4.7.1 greylisted, try again in 10 minutes"
			}
			return ""
		}, "a.example")
		dead := w.host("mx2.a.example", nil, "a.example")
		dead.Close()
		w.config.Retry = retry.Schedule{time.Minute}
		w.start()
		w.enqueue("ann@a.example")
		w.settle(9 * time.Minute)
		w.wantAttempts("ann@a.example deferred mx1.a.example 450")
	})
}

// A held recipient has no next attempt.
func TestHeldIsNotDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "." {
				return smtptest.Close
			}
			return ""
		}, "a.example")
		w.config.Uncertain = delivery.HoldUncertain
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		a := observed[delivery.Attempted](w)
		if len(a) != 1 || a[0].Outcome != delivery.OutcomeUncertain || !a[0].Due.IsZero() {
			t.Errorf("observed %+v", a)
		}
	})
}

// A commit that is in doubt to the last may have stored its report all the same.
func TestReportInDoubtSetsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inner := w.queue
		w.queue = &hookedQueue{Queue: inner, commit: func(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
			err := inner.Commit(ctx, j, more...)
			if j.Domain == "a.example" {
				err = queue.ErrInDoubt
			}
			return err
		}}
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" {
				return "550 5.1.1 no such user"
			}
			return ""
		}, "a.example")
		home := w.host("mx.home.example", nil, "home.example")
		w.start()
		id := w.enqueue("nobody@a.example")
		w.settle(2 * time.Hour)
		w.wantStates(id, "nobody@a.example bounced")
		home.wantTaken(t, 1)
	})
}
