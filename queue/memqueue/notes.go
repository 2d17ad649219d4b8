package memqueue

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/postroad/postroad/queue"
)

// Get implements [queue.Notes].
func (q *Queue) Get(ctx context.Context, key string) ([]byte, error) {
	if err := q.lock(ctx); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	return slices.Clone(q.notes[key]), nil
}

// Set implements [queue.Notes].
func (q *Queue) Set(ctx context.Context, key string, value []byte) error {
	if len(key) == 0 || len(key) > 512 || len(value) > 64<<10 {
		return fmt.Errorf("memqueue: %w: a note of %d octets under a key of %d", queue.ErrInvalid, len(value), len(key))
	}
	if err := q.lock(ctx); err != nil {
		return err
	}
	defer q.mu.Unlock()
	if value == nil {
		delete(q.notes, key)
	} else {
		q.notes[key] = slices.Clone(value)
	}
	return nil
}

// Keys implements [queue.Notes].
func (q *Queue) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := q.lock(ctx); err != nil {
			yield("", err)
			return
		}
		keys := slices.Sorted(maps.Keys(q.notes))
		q.mu.Unlock()
		for _, k := range keys {
			if strings.HasPrefix(k, prefix) && !yield(k, nil) {
				return
			}
		}
	}
}
