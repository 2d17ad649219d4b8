package boltqueue

import (
	"errors"
	"fmt"

	"github.com/postroad/postroad/queue"
)

// doubt is about changes that are in the file, but perhaps not on the disk. The writes that follow would reuse pages of the
// state before, which may be the one that a power loss brings back, so none may follow until the doubt is settled.
type doubt struct {
	meta   *meta             // what makes the changes the newest state
	err    error             // why it could not be read
	stored func()            // brings leases and lanes in memory up to date, once the changes have become certain
	ids    map[queue.ID]bool // the messages concerned
}

// raiseDoubt is told that the meta page that is read now could not be synced.
func (q *Queue) raiseDoubt() {
	d := &doubt{stored: func() {}}
	d.meta, d.err = readNewestMeta(q.file)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.doubt = d
}

// settleDoubt writes the meta page of changes that are in doubt once more and syncs it. The pages that it leads to were synced
// before. Who made the changes was told that nobody knows; from here on it is known, and the queue goes on.
func (q *Queue) settleDoubt() error {
	d := q.doubt // which only the writer changes
	if d == nil {
		return nil
	}
	err := d.err
	if err == nil {
		err = d.meta.renew(q.file)
	}
	if err != nil {
		return fmt.Errorf("an earlier change can't be synced: %w", err)
	}
	d.stored()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.doubt = nil
	return nil
}

// concerned is a change that may be the repetition of one that is in doubt.
type concerned interface {
	concerns(ids map[queue.ID]bool) bool
}

func (c *enqueue) concerns(ids map[queue.ID]bool) bool { return anyOf(c.entries, ids) }

func (c *commit) concerns(ids map[queue.ID]bool) bool {
	return ids[c.job.Key.ID] || anyOf(c.more, ids)
}

func (c *writeAhead) concerns(ids map[queue.ID]bool) bool { return ids[c.of] }

func anyOf(ps []*prepared, ids map[queue.ID]bool) bool {
	for _, p := range ps {
		if ids[p.message.ID] {
			return true
		}
	}
	return false
}

// outcome is what a member is told if its group has ended in err. A change that is repeated while the doubt can't be settled is
// as much in doubt as before; what was written ahead never is, since nothing refers to it.
func (q *Queue) outcome(m *member, err error) error {
	if err == nil || q.doubt == nil {
		return err
	}
	c, ok := m.change.(concerned)
	if ok && c.concerns(q.doubt.ids) && !errors.Is(err, queue.ErrInDoubt) {
		return fmt.Errorf("%w: %w", queue.ErrInDoubt, err)
	}
	if w, ahead := m.change.(*writeAhead); ahead && !w.concerns(q.doubt.ids) {
		return undoubted(err)
	}
	return err
}

// undoubted is err, of a change without which nothing is stored: that it is in doubt doesn't matter.
func undoubted(err error) error {
	if errors.Is(err, queue.ErrInDoubt) {
		return fmt.Errorf("can't be synced: %v", err)
	}
	return err
}
