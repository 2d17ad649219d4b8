package boltqueue

import (
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// claims is what claiming needs besides the file: who has which job, and where each lane begins. Nothing of it is on disk.
// The lock on the file proves that this process is alone, so leases die with it, and a restart frees all jobs at once.
type claims struct {
	mu     sync.Mutex // guards all below; taken before a reading transaction begins, never within one
	leases map[queue.Key]*lease
	lanes  map[queue.Lane]entry // the first entry of every lane that has any
	// unreadable are jobs that could not be read, and that nobody gets.
	unreadable map[queue.Key]bool
	token      queue.Token // the latest one given out
}

// lease is the latest claim of a job that has not been committed since.
type lease struct {
	token  queue.Token
	end    time.Time
	lapses int  // leases before this one that ended without a commit and aren't in the job's record
	spent  bool // a commit is on its way to the disk; the job can't be claimed until it is known how that ended
}

// spend reports whether token is the one that k is leased under, and if so holds the lease for a commit.
func (c *claims) spend(k queue.Key, token queue.Token) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.leases[k]
	if l == nil || l.token != token || l.spent {
		return false
	}
	l.spent = true
	return true
}

// settle ends the leases that a transaction has spent, or gives them back if it failed. If it was stored, heads are the
// first entries of the lanes it touched, nil for a lane that has none left.
func (c *claims) settle(spent []queue.Key, heads map[queue.Lane]*entry, stored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !stored {
		for _, k := range spent {
			c.leases[k].spent = false
		}
		return
	}
	for _, k := range spent {
		delete(c.leases, k)
	}
	for l, e := range heads {
		if e == nil {
			delete(c.lanes, l)
		} else {
			c.lanes[l] = *e
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

// lease gives j a new token.
func (c *claims) lease(j *queue.Job, end time.Time) {
	lapses := 0
	if old := c.leases[j.Key]; old != nil {
		lapses = old.lapses + 1
	}
	c.token++
	c.leases[j.Key] = &lease{token: c.token, end: end, lapses: lapses}
	j.Token, j.Leased = c.token, end
	j.Lapses += lapses
}

// show adds to a stored job what is known of its lease.
func (c *claims) show(j *queue.Job) {
	j.Token = 0
	if l := c.leases[j.Key]; l != nil {
		j.Leased = l.end
		j.Lapses += l.lapses
	}
}
