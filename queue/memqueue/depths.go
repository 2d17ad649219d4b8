package memqueue

import (
	"context"
	"iter"
	"time"

	"github.com/postroad/postroad/queue"
)

// Depths implements [queue.Depths]. It looks at each unfinished job, but copies none.
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
	if err := q.lock(ctx); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	for name, l := range q.lanes {
		list = append(list, l.depth(name, now))
	}
	return list, nil
}

// depth counts the jobs of a lane.
func (l *line) depth(name queue.Lane, now time.Time) queue.Depth {
	d := queue.Depth{Lane: name}
	for _, h := range []*jobHeap{&l.ready, &l.later, &l.held} {
		for _, r := range h.list {
			switch {
			case r.Leased.After(now):
				d.Leased++
			case r.Held:
				d.Held++
			default:
				d.Waiting++
				d.Due = earlier(d.Due, r.Due)
			}
		}
	}
	return d
}
