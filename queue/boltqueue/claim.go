package boltqueue

import (
	"container/heap"
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// Claim implements [queue.Queue].
func (q *Queue) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	if err := q.ready(ctx); err != nil {
		return queue.Claimed{}, err
	}
	if r.Lease <= 0 {
		return queue.Claimed{}, q.wrap(fmt.Errorf("%w: Lease is %v, not positive", queue.ErrInvalid, r.Lease))
	}
	q.claims.mu.Lock()
	defer q.claims.mu.Unlock()
	c := claim{claims: q.claims, ClaimRequest: r, until: r.Now.Add(r.Lease), taken: map[queue.Key]bool{}}
	if err := q.view(c.run); err != nil {
		return queue.Claimed{}, err
	}
	for _, j := range c.Jobs {
		c.lease(j, c.until)
	}
	return c.Claimed, nil
}

// claim is one call of Claim: it chooses jobs, which are leased when all has gone well.
type claim struct {
	*claims
	queue.ClaimRequest
	queue.Claimed
	t     *tx
	until time.Time
	taken map[queue.Key]bool // the keys of Jobs
}

func (c *claim) run(t *tx) error {
	c.t = t
	if len(c.Keys) > 0 {
		return c.byKey()
	}
	if c.Expired {
		next, err := c.take(t.expiry, nil, c.Limit)
		if err != nil {
			return err
		}
		c.Next = next
	}
	if c.Take == nil {
		return c.anyLane()
	}
	c.Lanes = make([]time.Time, len(c.Take))
	for i, take := range c.Take {
		next, err := c.takeLane(take)
		if err != nil {
			return err
		}
		c.Lanes[i] = next
		c.Next = earlier(c.Next, next)
	}
	return nil
}

func (c *claim) byKey() error {
	for _, k := range c.Keys {
		if c.left() == 0 {
			return nil
		}
		if _, leased := c.end(k); leased {
			continue
		}
		j, err := c.t.job(k)
		if err == nil && (j == nil || !j.Finished.IsZero()) {
			continue
		}
		if err := c.add(k); err != nil {
			return err
		}
	}
	return nil
}

// takeLane takes from one lane. A lane that isn't due costs no look at the file.
func (c *claim) takeLane(take queue.Take) (next time.Time, err error) {
	head, ok := c.lanes[take.Lane]
	if !ok {
		return time.Time{}, nil
	}
	if _, leased := c.end(head.key); !leased && (head.at.After(c.Now) || c.left() == 0) {
		return head.at, nil
	}
	return c.take(c.t.lanes, lanePrefix(take.Lane), min(take.N, c.left()))
}

// take chooses at most n jobs that are free and whose time in the index has come, in its order. It returns the earliest
// moment at which time alone makes another one claimable.
func (c *claim) take(index *bolt.Bucket, prefix []byte, n int) (next time.Time, err error) {
	for e, err := range c.t.entries(index, prefix) {
		if err != nil {
			return next, err
		}
		if !next.IsZero() && !e.at.Before(next) && (n <= 0 || e.at.After(c.Now)) {
			return next, nil // nothing behind e comes before next
		}
		end, leased := c.end(e.key)
		switch {
		case leased && !end.IsZero():
			next = earlier(next, later(e.at, end))
		case leased:
		case n <= 0 || e.at.After(c.Now):
			return earlier(next, e.at), nil
		default:
			if err := c.add(e.key); err != nil {
				return next, err
			}
			next = earlier(next, c.until)
			n--
		}
	}
	return next, nil
}

// left is how many more jobs may be chosen.
func (c *claim) left() int { return max(0, c.Limit-len(c.Jobs)) }

// end says until when k can't be claimed, as claims.leasedAt does, with what this claim has chosen.
func (c *claim) end(k queue.Key) (end time.Time, leased bool) {
	if c.taken[k] {
		return c.until, true
	}
	return c.leasedAt(k, c.Now)
}

// add chooses a job, unless it is damaged: nobody gets it from then on.
func (c *claim) add(k queue.Key) error {
	j, err := c.t.stored(k)
	if c.t.pass(k, err) {
		c.unreadable[k] = true
		return nil
	}
	if err != nil {
		return err
	}
	c.taken[k] = true
	c.Jobs = append(c.Jobs, &j.Job)
	return nil
}

// anyLane takes from all lanes, merging them by priority, due time and key. Only lanes whose first entry is due, or leased,
// are looked at in the file, and only as far as it takes.
func (c *claim) anyLane() error {
	var h laneHeap
	for l, head := range c.lanes {
		_, leased := c.end(head.key)
		if !leased && head.at.After(c.Now) {
			c.Next = earlier(c.Next, head.at)
			continue
		}
		h = append(h, &laneHead{lane: l, entry: head})
	}
	heap.Init(&h)
	for len(h) > 0 {
		best := h[0]
		free, next, err := c.advance(best)
		if err != nil {
			return err
		}
		c.Next = earlier(c.Next, next)
		switch {
		case free == nil:
			heap.Pop(&h)
		case free.compare(best.entry) != 0: // it only looked like the best one
			best.entry = *free
			heap.Fix(&h, 0)
		case c.left() == 0:
			c.Next = earlier(c.Next, free.at)
			return nil
		default:
			if err := c.add(free.key); err != nil {
				return err
			}
		}
	}
	return nil
}

// advance returns the first job of a lane that is due and can be taken, nil if there is none, and the moment at which time
// makes an earlier one of the lane claimable, or, if none is due, any.
func (c *claim) advance(h *laneHead) (free *entry, next time.Time, err error) {
	prefix := lanePrefix(h.lane)
	if h.cursor == nil {
		h.cursor = c.t.lanes.Cursor()
		h.k, h.v = h.cursor.Seek(prefix)
	}
	for ; h.k != nil && len(h.k) > len(prefix) && string(h.k[:len(prefix)]) == string(prefix); h.k, h.v = h.cursor.Next() {
		e, err := readEntry(h.k, h.v, len(prefix))
		if c.t.pass(e.key, err) {
			continue
		}
		if err != nil {
			return nil, next, err
		}
		end, leased := c.end(e.key)
		switch {
		case leased && !end.IsZero():
			next = earlier(next, later(e.at, end))
		case leased:
		case e.at.After(c.Now):
			return nil, earlier(next, e.at), nil
		default:
			return &e, next, nil
		}
	}
	return nil, next, nil
}

// laneHead is a lane and the first of its entries that may be free. The cursor stands there once the lane was looked at.
type laneHead struct {
	lane   queue.Lane
	entry  entry
	cursor *bolt.Cursor
	k, v   []byte
}

// laneHeap orders lanes by what is claimed first.
type laneHeap []*laneHead

func (h laneHeap) Len() int { return len(h) }
func (h laneHeap) Less(i, j int) bool {
	if a, b := h[i].lane.Priority, h[j].lane.Priority; a != b {
		return a > b
	}
	return h[i].entry.compare(h[j].entry) < 0
}
func (h laneHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *laneHeap) Push(x any)   { *h = append(*h, x.(*laneHead)) }
func (h *laneHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// earlier is the earlier of two times of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
