package delivery_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A queue that keeps no notes takes no lasting command, and all others.
func TestWithoutNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = struct{ queue.Queue }{w.queue}
		w.start()
		ctx := context.Background()
		for what, err := range map[string]error{
			"Pause":     w.sender.Pause(ctx, delivery.Selector{}, time.Time{}, ""),
			"Resume":    w.sender.Resume(ctx, delivery.Selector{}),
			"Reroute":   w.sender.Reroute(ctx, delivery.Selector{}, "b.example"),
			"SetLimits": w.sender.SetLimits(ctx, "site", shaping.Limits{Connections: 1}),
		} {
			if !errors.Is(err, delivery.ErrNoNotes) {
				t.Errorf("%s: %v", what, err)
			}
		}
		w.wantRules()
		w.want(0)(w.sender.Hold(ctx, delivery.Selector{}))
	})
}

// Commands may be given by an observer, even while Run ends.
func TestObserverGivesCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" {
				time.Sleep(time.Second)
				return "450 4.2.0 later"
			}
			return ""
		}, "a.example")
		w.config.Observer = delivery.ObserverFunc(func(e delivery.Event) {
			w.observe(e)
			if e, ok := e.(delivery.Attempted); ok {
				time.Sleep(time.Second)
				w.do(w.sender.Pause(context.Background(), delivery.Selector{Domain: "a.example"}, time.Time{}, ""))
				if _, err := w.sender.Hold(context.Background(), delivery.Selector{ID: e.Message.ID}); err != nil {
					t.Error(err)
				}
			}
		})
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(1500 * time.Millisecond)
		w.stop()
		if j := w.jobs(id)[0]; !j.Held {
			t.Error("is not held")
		}
		w.wantRules("domain=a.example paused")
	})
}

// lapsedQueue has every job be a suspect that has ended three processes, and takes its time.
type lapsedQueue struct{ slowQueue }

func (q *lapsedQueue) Get(ctx context.Context, key string) ([]byte, error) {
	if strings.HasPrefix(key, "delivery/suspect/") {
		return []byte("3"), nil
	}
	return q.slowQueue.Get(ctx, key)
}

func (q *lapsedQueue) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	c, err := q.slowQueue.Claim(ctx, r)
	for _, j := range c.Jobs {
		j.Lapses = 5
	}
	return c, err
}

// What an observer commands when nobody listens any more keeps Run from ending no longer than it must.
func TestObserverGivesCommandsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = &lapsedQueue{slowQueue{w.queue.(notedQueue), time.Second}}
		w.config.Observer = delivery.ObserverFunc(func(e delivery.Event) {
			w.observe(e)
			if _, ok := e.(delivery.Held); ok {
				w.do(w.sender.Pause(context.Background(), delivery.Selector{Tenant: "shop"}, time.Time{}, ""))
			}
		})
		w.start()
		w.enqueue("ann@a.example")
		w.settle(1500 * time.Millisecond)
		w.stop()
		if n := len(observed[delivery.Held](w)); n != 1 {
			t.Errorf("%d jobs are held", n)
		}
		w.wantRules("tenant=shop paused")
	})
}

// Run ends although many jobs are on their way back.
func TestRunEndsWhileJobsAreKeptBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Shaping.Default.Connections, w.config.Shaping.Default.Start = 400, 400
		w.start()
		w.stop()
		for range 1000 {
			w.letter("ann@a.example", "", "news")
		}
		w.pause(delivery.Selector{Label: "news"}, time.Time{})
		w.queue = &slowQueue{w.queue.(notedQueue), time.Second}
		w.start()
		w.settle(2100 * time.Millisecond)
		w.stop()
		n := 0
		for j := range w.queue.Jobs(context.Background(), queue.Filter{Unfinished: true}) {
			if j.Due.After(time.Now()) {
				n++
			}
		}
		if n < 100 {
			t.Errorf("%d jobs were kept back", n)
		}
	})
}
