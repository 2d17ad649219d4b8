package boltqueue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/postroad/postroad/queue"
)

// numberedEntries makes messages, of which a few fill a transaction.
func numberedEntries(n int, change func(i int, e *queue.Entry)) iter.Seq[*queue.Entry] {
	return func(yield func(*queue.Entry) bool) {
		for i := range n {
			e := message(queue.ID(fmt.Sprintf("m%03d", i)), random(i, bulkSize/10), "example.com")
			change(i, e)
			if !yield(e) {
				return
			}
		}
	}
}

// Whichever entry can't be stored, those before it are, those after it aren't, and nothing else is left.
func TestEnqueueAllStops(t *testing.T) {
	const n = 45
	for _, at := range []int{0, 1, 9, 10, 11, 25, n - 1} {
		for name, bad := range map[string]struct {
			change func(*queue.Entry)
			want   error
		}{
			"body":     {func(e *queue.Entry) { e.Body = failing{random(1, 9)} }, errBody},
			"large":    {func(e *queue.Entry) { e.Body = failing{random(1, 3*segmentSize)} }, errBody},
			"invalid":  {func(e *queue.Entry) { e.Jobs = nil }, queue.ErrInvalid},
			"conflict": {func(e *queue.Entry) { e.Message.ID, e.Jobs[0].Key.ID = "taken", "taken" }, queue.ErrConflict},
		} {
			t.Run(fmt.Sprintf("%s at %d", name, at), func(t *testing.T) {
				q := mustOpen(t, newPath(t), Options{})
				taken := message("taken", nil, "example.com")
				taken.Message.Digest[0]++
				mustEnqueue(t, q, taken)
				durable, err := q.EnqueueAll(context.Background(), numberedEntries(n, func(i int, e *queue.Entry) {
					if i == at {
						bad.change(e)
					}
				}))
				if durable != at || !errors.Is(err, bad.want) {
					t.Errorf("%d are durable, error %v", durable, err)
				}
				if stored := len(list(t, q, queue.Filter{})) - 1; stored != at {
					t.Errorf("%d are stored, not %d", stored, at)
				}
				checkIndexes(t, q)
			})
		}
	}
}

// A ctx that ends between entries leaves a number of them stored that is told.
func TestEnqueueAllContext(t *testing.T) {
	q := mustOpen(t, newPath(t), Options{})
	ctx, cancel := context.WithCancel(context.Background())
	durable, err := q.EnqueueAll(ctx, numberedEntries(45, func(i int, _ *queue.Entry) {
		if i == 25 {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) || durable > 25 {
		t.Errorf("%d are durable, error %v", durable, err)
	}
	if stored := len(list(t, q, queue.Filter{})); stored != durable {
		t.Errorf("%d are stored, %d were said to be", stored, durable)
	}
	checkIndexes(t, q)
}
