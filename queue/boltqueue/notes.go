package boltqueue

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/postroad/postroad/queue"
)

// The bounds of a note, as [queue.Notes] says.
const (
	maxNoteKey = 512
	maxNote    = 64 << 10
)

// Get implements [queue.Notes].
func (q *Queue) Get(ctx context.Context, key string) (value []byte, err error) {
	if err := q.ready(ctx); err != nil {
		return nil, err
	}
	err = q.view(func(t *tx) error {
		v := t.notes().Get([]byte(key))
		if v == nil {
			return nil
		}
		fields, err := unseal([]byte(key), v)
		value = append([]byte{}, fields...) // not nil, even if it is empty
		return err
	})
	return value, err
}

// Set implements [queue.Notes].
func (q *Queue) Set(ctx context.Context, key string, value []byte) error {
	if err := q.ready(ctx); err != nil {
		return err
	}
	if len(key) == 0 || len(key) > maxNoteKey {
		return q.wrap(fmt.Errorf("%w: key of %d octets, not 1 to %d", queue.ErrInvalid, len(key), maxNoteKey))
	}
	if len(value) > maxNote {
		return q.wrap(fmt.Errorf("%w: note %q of %d octets, more than %d", queue.ErrInvalid, key, len(value), maxNote))
	}
	return q.submit(ctx, &setNote{[]byte(key), value}, len(value))
}

type setNote struct{ key, value []byte }

func (c *setNote) apply(t *tx) error {
	if c.value == nil {
		return t.notes().Delete(c.key)
	}
	return put(t.notes(), c.key, c.value)
}

// Keys implements [queue.Notes].
func (q *Queue) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for after, more := "", true; more; {
			var keys []string
			err := q.ready(ctx)
			if err == nil {
				keys, more, err = q.keys(prefix, after)
			}
			if err != nil {
				yield("", err)
				return
			}
			for _, k := range keys {
				if !yield(k, nil) {
					return
				}
				after = k
			}
		}
	}
}

// keys returns a page of keys with prefix, behind the one given, and whether there may be more.
func (q *Queue) keys(prefix, after string) (keys []string, more bool, err error) {
	err = q.view(func(t *tx) error {
		c := t.notes().Cursor()
		for k, _ := c.Seek([]byte(max(prefix, after))); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, _ = c.Next() {
			if string(k) == after {
				continue
			}
			if keys = append(keys, string(k)); len(keys) == pageSize {
				more = true
				return nil
			}
		}
		return nil
	})
	return keys, more, err
}
