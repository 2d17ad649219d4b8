package boltqueue

import (
	"context"
	"iter"
	"time"

	"github.com/postroad/postroad/queue"
)

// depthsAtOnce is how many lanes are looked at while claims wait.
const depthsAtOnce = 1024

// Depths implements [queue.Depths]. The counts are kept in memory, so it takes as long as a claim that looks at each lane,
// however many jobs there are.
func (q *Queue) Depths(ctx context.Context, now time.Time) iter.Seq2[queue.Depth, error] {
	return func(yield func(queue.Depth, error) bool) {
		names, err := q.laneNames(ctx)
		for len(names) > 0 && err == nil {
			var list []queue.Depth
			n := min(len(names), depthsAtOnce)
			list, err = q.depths(ctx, names[:n], now)
			names = names[n:]
			for _, d := range list {
				if !yield(d, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(queue.Depth{}, err)
		}
	}
}

func (q *Queue) laneNames(ctx context.Context) (names []queue.Lane, err error) {
	if err := q.ready(ctx); err != nil {
		return nil, err
	}
	q.claims.mu.Lock()
	defer q.claims.mu.Unlock()
	for name := range q.claims.lanes.all {
		names = append(names, name)
	}
	return names, nil
}

// depths are those of the lanes of these names.
func (q *Queue) depths(ctx context.Context, names []queue.Lane, now time.Time) (list []queue.Depth, err error) {
	if err := q.ready(ctx); err != nil {
		return nil, err
	}
	q.claims.mu.Lock()
	defer q.claims.mu.Unlock()
	free, held := q.claims.leased(now)
	c := claim{claims: q.claims, ClaimRequest: queue.ClaimRequest{Now: now}}
	list = make([]queue.Depth, 0, len(names))
	err = q.view(func(t *tx) error {
		c.t = t
		for _, name := range names {
			l := c.lanes.all[name]
			if l == nil || l.free+l.held == 0 {
				continue
			}
			d := queue.Depth{Lane: name, Leased: free[name] + held[name]}
			d.Waiting = max(0, l.free-free[name]) // what was just enqueued can be leased before it is counted
			d.Held = max(0, l.held-held[name])
			if d.Due, err = c.firstDue(l); err != nil {
				return err
			}
			list = append(list, d)
		}
		return nil
	})
	return list, err
}

// leased counts the jobs of each lane that are leased at now: those that aren't held, and those that are.
func (c *claims) leased(now time.Time) (free, held map[queue.Lane]int) {
	free, held = map[queue.Lane]int{}, map[queue.Lane]int{}
	for _, le := range c.leases {
		switch {
		case le.idle || !le.end.After(now):
		case le.inLane:
			free[le.lane]++
		default:
			held[le.lane]++
		}
	}
	return free, held
}

// firstDue is the earliest Due of the jobs of l that are neither leased nor held, zero if there are none.
func (c *claim) firstDue(l *lane) (due time.Time, err error) {
	for l.place >= 0 {
		ok, err := c.atHead(l)
		if err != nil {
			return due, err
		}
		if ok {
			due = l.head.at
			break
		}
	}
	for _, le := range l.away {
		if le.idle || !le.end.After(c.Now) {
			due = earlier(due, le.entry.at)
		}
	}
	return due, nil
}
