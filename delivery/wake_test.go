package delivery_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

// lateQueue gets a message from another process when its lanes have just been listed, and wakes who listens then.
type lateQueue struct {
	queue.Queue
	add    func()
	listen chan struct{} // who listens; nil: nobody
}

func (q *lateQueue) Wake(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	context.AfterFunc(ctx, func() { close(out) })
	q.listen = out
	return out
}

func (q *lateQueue) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	return func(yield func(*queue.Job, error) bool) {
		q.Queue.Jobs(ctx, f)(yield)
		if add := q.add; add != nil && f.Heads {
			q.add = nil
			add()
			if q.listen != nil {
				q.listen <- struct{}{}
			}
		}
	}
}

func TestWokenWhileStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inner := w.queue
		other, err := delivery.New(inner, w.config)
		if err != nil {
			t.Fatal(err)
		}
		w.queue = &lateQueue{Queue: inner, add: func() {
			if _, err := other.Enqueue(t.Context(), delivery.Message{To: delivery.To("ann@a.example")}); err != nil {
				t.Error(err)
			}
		}}
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.settle(time.Minute)
		h.wantTaken(t, 1)
	})
}

// failingList is a queue whose lanes can't be listed the second time.
type failingList struct {
	*wakingQueue
	lists int
}

func (q *failingList) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	if f.Heads {
		if q.lists++; q.lists == 2 {
			return func(yield func(*queue.Job, error) bool) { yield(nil, errors.New("no connection")) }
		}
	}
	return q.wakingQueue.Jobs(ctx, f)
}

func TestWokenByAQueueInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		q := &wakingQueue{Queue: w.queue, wake: make(chan struct{})}
		w.queue = &failingList{wakingQueue: q}
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.settle(time.Second)
		e, err := w.sender.Prepare(t.Context(), delivery.Message{To: delivery.To("ann@a.example")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Enqueue(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		q.wake <- struct{}{}
		w.settle(time.Minute)
		h.wantTaken(t, 1)
	})
}

// wakingQueue is a queue to which somebody else adds.
type wakingQueue struct {
	queue.Queue
	wake chan struct{}
}

func (q *wakingQueue) Wake(ctx context.Context) <-chan struct{} {
	out := make(chan struct{})
	go func() {
		defer close(out)
		for {
			select {
			case <-q.wake:
				select {
				case out <- struct{}{}:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func TestWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		q := &wakingQueue{Queue: w.queue, wake: make(chan struct{})}
		w.queue = q
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.settle(time.Second)
		e, err := w.sender.Prepare(t.Context(), delivery.Message{To: delivery.To("ann@a.example")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Enqueue(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		w.settle(time.Hour)
		h.wantTaken(t, 0)
		q.wake <- struct{}{}
		w.settle(time.Second)
		h.wantTaken(t, 1)
	})
}
