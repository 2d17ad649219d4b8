package boltqueue

import (
	"iter"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// claims is what claiming needs besides the file: who has which job, and where each lane begins. Nothing of it is on disk.
// The lock on the file proves that this process is alone, so leases die with it, and a restart frees all jobs at once.
type claims struct {
	mu     sync.Mutex // guards all below; taken before a reading transaction begins, never within one
	leases map[queue.Key]*lease
	lanes  lanes
	token  queue.Token // the latest one given out
	suspects
	// unreadable are jobs that could not be read, and that nobody gets.
	unreadable map[queue.Key]bool
}

// lease is the latest claim of a job that has not been committed since.
type lease struct {
	token  queue.Token
	end    time.Time
	lapses int  // leases before this one that ended without a commit and aren't in the job's record
	spent  bool // a commit is on its way to the disk; the job can't be claimed until it is known how that ended
	idle   bool // nobody has the job: it is a suspect that waits for another one

	inLane bool       // the job can be claimed from its lane: it isn't held
	lane   queue.Lane // where it is
	entry  entry      // what it has there
	from   *lane      // the lane that entry is kept away from; nil if it isn't
	place  int        // in the order of those; -1 if it has none
}

// back is when time alone makes the job claimable from its lane.
func (l *lease) back() time.Time { return later(l.entry.at, l.end) }

func newClaims() *claims {
	return &claims{leases: map[queue.Key]*lease{}, lanes: lanes{all: map[queue.Lane]*lane{}}, unreadable: map[queue.Key]bool{}}
}

// spend holds the leases of the commits of a group that have the right token: until their transaction has ended nobody claims the
// jobs, whatever the time. It is for all of them at once, since a claim in the making has the mutex for a while, and when the
// writer met that in the middle of its work, twice in a transaction, all who enqueue or commit waited for a tenth of their time.
func (c *claims) spend(group []*member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for commit := range commits(group) {
		l := c.leases[commit.job.Key]
		if commit.held = l != nil && l.token == commit.job.Token && !l.spent; commit.held {
			l.spent = true
		}
	}
}

// unspend gives back the leases of the commits of a group that were refused, or not looked at: mostly none.
func (c *claims) unspend(group []*member) {
	for commit := range commits(group) {
		if commit.held && !commit.spent {
			c.mu.Lock()
			c.restore(c.leases[commit.job.Key])
			c.mu.Unlock()
		}
	}
}

// commits are those in a group.
func commits(group []*member) iter.Seq[*commit] {
	return func(yield func(*commit) bool) {
		for _, m := range group {
			if c, ok := m.change.(*commit); ok && !yield(c) {
				return
			}
		}
	}
}

// restore ends that a lease is held for a commit.
func (c *claims) restore(l *lease) {
	if l.spent = false; l.place < 0 {
		c.lanes.giveBack(l)
	}
}

// settle ends the leases that a transaction has spent and brings the lanes up to date, or gives the leases back if the
// transaction failed.
func (c *claims) settle(t *tx, stored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range t.spent {
		l := c.leases[k]
		if stored {
			c.lanes.release(l)
			delete(c.leases, k)
			c.clear(k)
		} else {
			c.restore(l)
		}
	}
	if !stored {
		return
	}
	for _, m := range t.moves {
		if m.is != nil { // first, so that a lane to which the only job returns isn't forgotten
			c.lanes.add(m.is)
		}
		if m.was != nil {
			c.lanes.remove(m.was)
		}
		if m.is == nil || m.is.held {
			continue
		}
		if l := c.leases[m.is.key]; l == nil || l.from == nil { // it may be claimed already
			c.lanes.offer(m.is.lane, m.is.entry)
		}
	}
}

// leasedAt reports whether k can't be claimed at now, and from when on it can; zero if only the end of a commit tells.
func (c *claims) leasedAt(k queue.Key, now time.Time) (end time.Time, leased bool) {
	l := c.leases[k]
	switch {
	case l == nil:
		return time.Time{}, c.unreadable[k]
	case l.end.After(now):
		return l.end, true
	}
	return time.Time{}, l.spent
}

// lease gives j, which is as it is stored, a new token.
func (c *claims) lease(j *queue.Job, end time.Time) {
	c.token++
	l := &lease{token: c.token, end: end}
	if old := c.leases[j.Key]; old != nil {
		l.lapses = old.lapses
		if old.token != 0 {
			l.lapses++
		}
	}
	c.set(j, l)
	j.Token, j.Leased = l.token, end
	j.Lapses += l.lapses
}

// set makes l the lease of j, which is as it is stored.
func (c *claims) set(j *queue.Job, l *lease) {
	l.inLane, l.lane, l.entry, l.place = !j.Held, j.Lane(), entry{j.Due, j.Key}, -1
	if old := c.leases[j.Key]; old != nil {
		c.lanes.release(old)
	}
	c.leases[j.Key] = l
	c.lanes.keep(l)
}

// unlease takes back what lease has done; old is the lease before it, if any.
func (c *claims) unlease(k queue.Key, old *lease) {
	c.lanes.giveBack(c.leases[k])
	delete(c.leases, k)
	if old != nil {
		c.leases[k] = old
	}
}

// show adds to a stored job what is known of its lease.
func (c *claims) show(j *queue.Job) {
	j.Token = 0
	if l := c.leases[j.Key]; l != nil {
		j.Lapses += l.lapses
		if !l.idle {
			j.Leased = l.end
		}
	}
}
