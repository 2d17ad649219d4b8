package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// Hold, Release and Withdraw by each field, running or not.
func TestHoldReleaseWithdraw(t *testing.T) {
	for name := range each("") {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s running=%v", name, running), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					h := w.host("mx.a.example", nil, "a.example")
					w.start()
					w.enqueue("eve@a.example") // so that the site is known
					w.settle(time.Second)
					w.pause(delivery.Selector{}, time.Time{})
					first := w.letter("ann@a.example", "shop", "news")
					other := w.letter("ben@b.example", "forum", "bills")
					w.settle(time.Second)
					sel := each(first)[name]
					if !running {
						w.stop()
						if sel.Site != "" {
							sel.Site = "a.example" // nobody knows better
						}
					}
					ctx := context.Background()
					w.want(1)(w.sender.Hold(ctx, sel))
					w.want(0)(w.sender.Hold(ctx, sel))
					w.resume(delivery.Selector{})
					if running {
						w.settle(time.Hour)
						h.wantTaken(t, 1)
					}
					w.wantPending(first)
					w.want(1)(w.sender.Release(ctx, sel))
					n, err := w.sender.Release(ctx, sel)
					if gone := running && sel.ID != "" && errors.Is(err, queue.ErrNotFound); n != 0 || err != nil && !gone {
						t.Errorf("released again: %d, error %v", n, err) // it may have been sent by now
					}
					if running {
						w.settle(time.Second)
						h.wantTaken(t, 2)
					}
					w.wantWithdrawn(running, sel, first)
					if s := w.states(other); s[0] == "ben@b.example withdrawn" {
						t.Error("another message is withdrawn")
					}
				})
			})
		}
	}
}

// wantWithdrawn withdraws what a selector matches: one message, or none if it has gone.
func (w *world) wantWithdrawn(gone bool, sel delivery.Selector, id queue.ID) {
	w.t.Helper()
	n, err := w.sender.Withdraw(context.Background(), sel)
	switch {
	case gone && sel.ID != "":
		if n != 0 || !errors.Is(err, queue.ErrNotFound) {
			w.t.Errorf("%d, %v", n, err)
		}
	case gone:
		w.want(0)(n, err)
	default:
		w.want(1)(n, err)
		w.wantStates(id, "ann@a.example withdrawn")
	}
}

// What is being sent isn't changed, and that is said; what waits behind it is.
func TestChangeInFlight(t *testing.T) {
	for what, change := range map[string]func(*delivery.Sender, context.Context, delivery.Selector) (int, error){
		"Hold": (*delivery.Sender).Hold, "Withdraw": (*delivery.Sender).Withdraw,
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				h := w.host("mx.a.example", func(c smtptest.Command) string {
					if c.Verb == "RCPT" {
						time.Sleep(time.Minute)
					}
					return ""
				}, "a.example")
				w.config.Shaping.Default.Connections = 1
				w.start()
				for range 250 {
					w.letter("ann@a.example", "", "news")
				}
				w.settle(30 * time.Second)
				n, err := change(w.sender, context.Background(), delivery.Selector{Label: "news"})
				if n != 249 || !errors.Is(err, delivery.ErrInFlight) || !strings.Contains(err.Error(), "1 of 250 jobs of label=news") {
					t.Errorf("%d are changed, error %v", n, err)
				}
				w.settle(10 * time.Hour)
				h.wantTaken(t, 1)
			})
		})
	}
}

// Right after a pause has sent jobs back they can be changed: nobody sends them.
func TestChangeRightAfterPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", nil, "a.example")
		w.config.Shaping.Default.MessageRate = shaping.Rate{N: 1, Per: time.Hour}
		w.queue = &slowQueue{w.queue.(notedQueue), time.Second}
		w.start()
		for range 30 {
			w.letter("ann@a.example", "", "news")
		}
		w.settle(time.Minute)
		w.pause(delivery.Selector{Label: "news"}, time.Time{})
		left := 0
		for range w.queue.Jobs(context.Background(), queue.Filter{Unfinished: true}) {
			left++
		}
		w.want(left)(w.sender.Withdraw(context.Background(), delivery.Selector{Label: "news"}))
	})
}

type notedQueue interface {
	queue.Queue
	queue.Notes
}

// slowQueue takes its time for claims and commits.
type slowQueue struct {
	notedQueue
	wait time.Duration
}

func (q *slowQueue) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	time.Sleep(q.wait)
	return q.notedQueue.Claim(ctx, r)
}

func (q *slowQueue) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	time.Sleep(q.wait)
	return q.notedQueue.Commit(ctx, j, more...)
}

// countingQueue calls cut when some jobs are committed, and notes how many were leased by their keys at once.
type countingQueue struct {
	notedQueue
	after   atomic.Int64
	cut     func()
	largest atomic.Int64
}

func (q *countingQueue) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	q.largest.Store(max(q.largest.Load(), int64(len(r.Keys))))
	return q.notedQueue.Claim(ctx, r)
}

func (q *countingQueue) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	if q.after.Add(-1) == 0 {
		q.cut()
	}
	return q.notedQueue.Commit(ctx, j, more...)
}

// Many jobs are changed a few at a time. If ctx ends half-way, what was changed is counted, and nothing is left leased.
func TestChangeOfMany(t *testing.T) {
	const many = 5_000
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", nil, "a.example")
		q := &countingQueue{notedQueue: w.queue.(notedQueue)}
		w.queue = q
		w.start()
		w.stop()
		for i := range many / 100 {
			for range 100 {
				w.letter("ann@a.example", "", "news", fmt.Sprint(i))
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		q.cut = cancel
		q.after.Store(many/2 + 50)
		n, err := w.sender.Hold(ctx, delivery.Selector{Label: "news"})
		if !errors.Is(err, context.Canceled) || n != many/2+100 {
			t.Errorf("%d held, error %v", n, err)
		}
		held := 0
		for j := range w.queue.Jobs(context.Background(), queue.Filter{Unfinished: true}) {
			if j.Held {
				held++
			}
		}
		if held != n {
			t.Errorf("%d are held, not %d", held, n)
		}
		w.want(many - n)(w.sender.Hold(context.Background(), delivery.Selector{Label: "news"}))
		if n := q.largest.Load(); n > 100 {
			t.Errorf("%d jobs leased at once", n)
		}
	})
}

// Two commands at once don't get in each other's way.
func TestChangesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = &slowQueue{w.queue.(notedQueue), time.Second}
		w.start()
		w.pause(delivery.Selector{}, time.Time{})
		for range 150 {
			w.letter("ann@a.example", "", "news")
		}
		w.settle(time.Minute)
		done := make(chan error, 2)
		for _, change := range []func(context.Context, delivery.Selector) (int, error){w.sender.Hold, w.sender.Withdraw} {
			go func() { _, err := change(context.Background(), delivery.Selector{Label: "news"}); done <- err }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		w.want(0)(w.sender.Release(context.Background(), delivery.Selector{Label: "news"}))
	})
}

func TestSelectorsThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		ctx := context.Background()
		for _, sel := range []delivery.Selector{
			{ID: "no/id"}, {Domain: "two words"}, {Domain: "a@b.example"}, {Tenant: strings.Repeat("x", 5000)}, {Label: "\xff"}, {Site: "\xff"},
		} {
			_, held := w.sender.Hold(ctx, sel)
			_, flushed := w.sender.Flush(ctx, sel)
			for _, err := range []error{
				held, flushed, w.sender.Pause(ctx, sel, time.Time{}, ""), w.sender.Resume(ctx, sel), w.sender.Reroute(ctx, sel, "b.example"), w.sender.Reroute(ctx, sel, ""),
			} {
				if err == nil || strings.Count(err.Error(), "delivery:") != 1 {
					t.Errorf("%v: %v", sel, err)
				}
			}
		}
		w.wantRules()
	})
}
