package memqueue

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/queue"
)

// Claim implements [queue.Queue].
func (q *Queue) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	if r.Lease <= 0 {
		return queue.Claimed{}, fmt.Errorf("memqueue: %w: Lease is %v, not positive", queue.ErrInvalid, r.Lease)
	}
	if err := q.lock(ctx); err != nil {
		return queue.Claimed{}, err
	}
	defer q.mu.Unlock()
	c := claim{q: q, r: r}
	if len(r.Keys) > 0 {
		c.takeKeys()
		return c.result, nil
	}
	if r.Expired {
		c.take(q.expiring, r.Limit)
	}
	if r.Take == nil {
		c.take(q.all, r.Limit)
	}
	for _, t := range r.Take {
		c.take(q.lanes[t.Lane], t.N)
	}
	c.lookAhead()
	return c.result, nil
}

// claim is a claim under way.
type claim struct {
	q      *Queue
	r      queue.ClaimRequest
	result queue.Claimed
}

// take leases at most n jobs of l.
func (c *claim) take(l *line, n int) {
	for ; l != nil && n > 0 && len(c.result.Jobs) < c.r.Limit; n-- {
		r := l.first(c.r.Now)
		if r == nil {
			return
		}
		c.lease(r)
	}
}

func (c *claim) takeKeys() {
	for _, k := range c.r.Keys {
		m := c.q.messages[k.ID]
		if m == nil || k.N < 0 || k.N >= len(m.jobs) || len(c.result.Jobs) >= c.r.Limit {
			continue
		}
		if r := m.jobs[k.N]; r.Finished.IsZero() && !r.Leased.After(c.r.Now) {
			c.lease(r)
		}
	}
}

func (c *claim) lease(r *record) {
	c.q.unfile(r)
	if r.Token != 0 {
		r.Lapses++
	}
	c.q.token++
	r.Token, r.Leased = c.q.token, c.r.Now.Add(c.r.Lease)
	c.q.file(r)
	c.result.Jobs = append(c.result.Jobs, r.Clone())
}

// lookAhead says when the same claim would lease more.
func (c *claim) lookAhead() {
	if c.r.Expired {
		c.result.Next = c.q.expiring.next(c.r.Now)
	}
	if c.r.Take == nil {
		c.result.Next = earlier(c.result.Next, c.q.all.next(c.r.Now))
		return
	}
	c.result.Lanes = make([]time.Time, len(c.r.Take))
	for i, t := range c.r.Take {
		if l := c.q.lanes[t.Lane]; l != nil {
			c.result.Lanes[i] = l.next(c.r.Now)
		}
		c.result.Next = earlier(c.result.Next, c.result.Lanes[i])
	}
}

// earlier is the earlier one of two times that may be zero, which is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
