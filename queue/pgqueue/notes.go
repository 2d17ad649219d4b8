package pgqueue

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

// Get implements [queue.Notes].
func (q *Queue) Get(ctx context.Context, key string) (value []byte, err error) {
	err = q.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := one(ctx, pgxSession{c}, q.sql["get_note"], []any{[]byte(key)}, &value)
		return err
	})
	return value, err
}

// Set implements [queue.Notes].
func (q *Queue) Set(ctx context.Context, key string, value []byte) error {
	if len(key) == 0 || len(key) > 512 || len(value) > 64<<10 {
		return fmt.Errorf("pgqueue: %w: a note of %d octets under a key of %d", queue.ErrInvalid, len(value), len(key))
	}
	return q.write(ctx, func(ctx context.Context, a *attempt) (err error) {
		a.handed = true
		if value == nil {
			_, err = a.conn.Exec(ctx, q.sql["remove_note"], []byte(key))
		} else {
			_, err = a.conn.Exec(ctx, q.sql["set_note"], []byte(key), value)
		}
		return err
	})
}

// Keys implements [queue.Notes].
func (q *Queue) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for after := []byte{}; ; {
			page, err := q.noteKeys(ctx, prefix, after)
			if err != nil {
				yield("", err)
				return
			}
			for _, k := range page {
				if !yield(string(k), nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			after = page[len(page)-1]
		}
	}
}

func (q *Queue) noteKeys(ctx context.Context, prefix string, after []byte) (page [][]byte, err error) {
	err = q.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		page = nil
		return pgxSession{c}.each(ctx, q.sql["note_keys"], []any{[]byte(prefix), after, pageSize}, func(scan func(...any) error) error {
			var key []byte
			err := scan(&key)
			page = append(page, key)
			return err
		})
	})
	return page, err
}
