package pgqueue

import (
	"context"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

// Depths implements [queue.Depths]. It counts unfinished jobs, half a second or so for a million.
func (q *Queue) Depths(ctx context.Context, now time.Time) iter.Seq2[queue.Depth, error] {
	return func(yield func(queue.Depth, error) bool) {
		list, err := q.depths(ctx, now)
		if err != nil {
			yield(queue.Depth{}, err)
			return
		}
		for _, d := range list {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (q *Queue) depths(ctx context.Context, now time.Time) (list []queue.Depth, err error) {
	if err := checkMoments(now); err != nil {
		return nil, err
	}
	err = q.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		list = nil
		return pgxSession{c}.each(ctx, q.sql["depths"], []any{now.UTC()}, func(scan func(...any) error) error {
			var d queue.Depth
			var priority int16
			var due *time.Time
			err := scan(&d.Lane.Domain, &d.Lane.Tenant, &priority, &d.Lane.Retry, &d.Waiting, &d.Leased, &d.Held, &due)
			d.Lane.Priority, d.Due = queue.Priority(priority), at(due)
			list = append(list, d)
			return err
		})
	})
	return list, err
}
