package boltqueue

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/queue"
)

// Claim implements [queue.Queue].
func (q *Queue) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	if err := q.ready(ctx); err != nil {
		return queue.Claimed{}, err
	}
	if r.Lease <= 0 {
		return queue.Claimed{}, q.wrap(fmt.Errorf("%w: Lease is %v, not positive", queue.ErrInvalid, r.Lease))
	}
	defer q.purgeIdly(r.Now)
	c := claim{claims: q.claims, ClaimRequest: r, until: r.Now.Add(r.Lease)}
	notes, err := q.lease(&c)
	if err == nil {
		err = q.noteClaims(ctx, notes)
	}
	if err != nil {
		c.undo()
		return queue.Claimed{}, err
	}
	return c.Claimed, nil
}

// lease leases what c asks for, and returns what is to be noted of it.
func (q *Queue) lease(c *claim) ([]note, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lanes.lapse(c.Now)
	if err := q.view(c.run); err != nil || len(c.Keys) > 0 {
		return nil, err
	}
	return c.toNote(c.Jobs, c.Now), nil
}

// claim is one call of Claim.
type claim struct {
	*claims
	queue.ClaimRequest
	queue.Claimed
	t      *tx
	until  time.Time
	before []*lease // of each of Jobs, the lease it had, or nil
}

func (c *claim) run(t *tx) error {
	c.t = t
	if err := c.choose(); err != nil {
		return err
	}
	for _, j := range c.Jobs { // a lane from which the last job was taken otherwise than by its name is forgotten
		if l := c.lanes.all[j.Lane()]; l != nil && l.stale {
			if _, err := c.atHead(l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *claim) choose() (err error) {
	if len(c.Keys) > 0 {
		return c.byKey()
	}
	if c.Expired {
		if err := c.takeExpired(); err != nil {
			return err
		}
	}
	if c.Take == nil {
		return c.anyLane()
	}
	c.Lanes = make([]time.Time, len(c.Take))
	for i := range c.Take {
		if c.Lanes[i], err = c.takeLane(&c.Take[i]); err != nil {
			return err
		}
		c.Next = earlier(c.Next, c.Lanes[i])
	}
	return nil
}

// left is how many more jobs may be leased.
func (c *claim) left() int { return max(0, c.Limit-len(c.Jobs)) }

func (c *claim) isLeased(k queue.Key) bool {
	_, leased := c.leasedAt(k, c.Now)
	return leased
}

// add leases a job, unless it is a suspect that must wait, or damaged: nobody gets that one from then on.
func (c *claim) add(k queue.Key) (bool, error) {
	j, err := c.t.stored(k)
	if c.t.pass(k, err) {
		c.unreadable[k] = true
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if len(c.Keys) == 0 && c.ends[k] > 0 {
		if c.mustWait(c.Now) {
			c.putOff(&j.Job, c.Now.Add(suspectWait))
			return false, nil
		}
		c.running = k
	}
	c.before = append(c.before, c.leases[k])
	c.Jobs = append(c.Jobs, &j.Job)
	c.lease(&j.Job, c.until)
	return true, nil
}

// undo gives back what was leased. Nobody has heard of the tokens, so only a later claim can have come between.
func (c *claim) undo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, j := range c.Jobs {
		if l := c.leases[j.Key]; l != nil && l.token == j.Token {
			c.unlease(j.Key, c.before[i])
		}
	}
}

func (c *claim) byKey() error {
	for _, k := range c.Keys {
		if c.left() == 0 {
			return nil
		}
		if l := c.leases[k]; c.isLeased(k) && (l == nil || !l.idle) {
			continue
		}
		j, err := c.t.job(k)
		if err == nil && (j == nil || !j.Finished.IsZero()) {
			continue
		}
		if _, err := c.add(k); err != nil {
			return err
		}
	}
	return nil
}

// takeExpired leases what has expired, and finds out when something else does.
func (c *claim) takeExpired() error {
	for e, err := range c.t.entries(c.t.expiry(), nil, nil) {
		if err != nil {
			return err
		}
		waits := c.left() == 0 || e.at.After(c.Now)
		if waits && !c.Next.IsZero() && !e.at.Before(c.Next) {
			return nil // nothing behind e comes before Next
		}
		end, leased := c.leasedAt(e.key, c.Now)
		switch {
		case leased && !end.IsZero():
			c.Next = earlier(c.Next, later(e.at, end))
		case leased:
		case waits:
			c.Next = earlier(c.Next, e.at)
			return nil
		default:
			if _, err := c.add(e.key); err != nil {
				return err
			}
			if l := c.leases[e.key]; l != nil {
				c.Next = earlier(c.Next, l.end)
			}
		}
	}
	return nil
}

// anyLane takes from all lanes, by priority, due time and key. It looks at no more lanes than it takes from, and one of each
// priority.
func (c *claim) anyLane() error {
	for p := len(c.lanes.order) - 1; p >= 0; p-- {
		for order := &c.lanes.order[p]; len(*order) > 0; {
			l := (*order)[0]
			if ok, err := c.atHead(l); err != nil {
				return err
			} else if !ok {
				continue // another lane may be first now
			}
			if c.left() == 0 || l.head.at.After(c.Now) {
				c.Next = earlier(c.Next, l.head.at)
				break
			}
			if _, err := c.add(l.head.key); err != nil {
				return err
			}
		}
	}
	if away := c.lanes.away; len(away) > 0 {
		c.Next = earlier(c.Next, away[0].back())
	}
	return nil
}

// takeLane takes from one lane, and returns when time alone makes more of it claimable. A lane that isn't due costs no look
// at the file.
func (c *claim) takeLane(take *queue.Take) (next time.Time, err error) {
	l := c.lanes.all[take.Lane]
	if l == nil {
		return next, nil
	}
	for n := take.N; l.place >= 0; {
		if ok, err := c.atHead(l); err != nil {
			return next, err
		} else if !ok {
			continue
		}
		if n <= 0 || c.left() == 0 || l.head.at.After(c.Now) {
			next = l.head.at
			break
		}
		added, err := c.add(l.head.key)
		if err != nil {
			return next, err
		}
		if added {
			n--
		}
	}
	for _, le := range l.away {
		if le.place >= 0 { // else only the end of a commit tells
			next = earlier(next, le.back())
		}
	}
	return next, nil
}

// atHead reports whether the head of l is an entry that nobody has leased. If not, it looks for one that is.
func (c *claim) atHead(l *lane) (bool, error) {
	if !l.stale && !c.unreadable[l.head.key] && !(l.lapsed && c.isLeased(l.head.key)) {
		return true, nil
	}
	prefix := lanePrefix(l.Lane, false)
	for e, err := range c.t.entries(c.t.lanes(), prefix, l.head.in(prefix)) {
		if err != nil {
			return false, err
		}
		le := c.leases[e.key]
		leased := c.isLeased(e.key)
		if leased && le != nil {
			c.lanes.keep(le) // it had ended for an earlier claim, whose Now was later, or is being committed
		}
		if !leased && (le == nil || le.from == nil) {
			c.lanes.setHead(l, e)
			return false, nil
		}
	}
	c.lanes.clearHead(l)
	c.lanes.lapse(c.Now)
	return false, nil
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
