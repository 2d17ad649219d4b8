package memqueue

import (
	"context"
	"fmt"

	"github.com/postroad/postroad/queue"
)

// EnqueueLeased implements [queue.Leaser].
func (q *Queue) EnqueueLeased(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) (leased []*queue.Job, added bool, err error) {
	m, err := read(ctx, e)
	if err != nil {
		return nil, false, err
	}
	named, err := l.Named(e)
	if err != nil {
		return nil, false, fmt.Errorf("memqueue: %w", err)
	}
	if err := q.lock(ctx); err != nil {
		return nil, false, err
	}
	defer q.mu.Unlock()
	if added, err = q.store(m); !added {
		return nil, false, err
	}
	c := claim{q: q, r: queue.ClaimRequest{Now: l.Now, Lease: l.Lease}}
	for _, n := range named {
		if r := m.jobs[n]; r.Finished.IsZero() && !r.Held && !r.Claimable().After(l.Now) {
			c.lease(r)
		}
	}
	return c.result.Jobs, true, nil
}
