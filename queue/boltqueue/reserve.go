package boltqueue

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// When bbolt can't write a page because the disk is full, it rolls back by looking for free pages in the whole file, which
// takes seconds if the queue is deep. So the blocks that a transaction may write to are asked of the disk before it begins, and
// one for which there are none fails without harm. Enqueuing leaves some behind that only other changes use: commits
// go on when the disk is full, and finishing messages makes room.

const (
	// spareRoom is what enqueuing leaves to other changes.
	spareRoom = 2 << 20
	// pagesPerChange is how many pages of its trees bbolt writes anew for a change, at most: five indexes, a few pages deep.
	pagesPerChange = 32
	// maxStep is how far ahead of its need the file asks for blocks.
	maxStep = 16 << 20
)

// room is where the file's next pages can go. Only the writer uses it.
type room struct {
	db        *bolt.DB
	file      *os.File
	pageSize  int64
	highWater int64 // octets up to the end of the last page
	free      int64 // octets of free pages before that
	reserved  int64 // up to here the disk has given the file its blocks
}

func newRoom(db *bolt.DB, f *os.File) *room {
	r := &room{db: db, file: f, pageSize: int64(db.Info().PageSize)}
	r.measure()
	r.reserved = r.highWater
	if r.extend(0, r.highWater+spareRoom, r.highWater+spareRoom) != nil {
		_ = allocate(f, 0, r.highWater) // a copy of a file may have left out what is zero
	}
	return r
}

// measure learns what the latest transaction has left.
func (r *room) measure() {
	_ = r.db.View(func(b *bolt.Tx) error { // fails only if the file is closed
		s := r.db.Stats()
		r.highWater = b.Size()
		r.free = int64(s.FreePageN+s.PendingPageN) * r.pageSize
		r.db.AllocSize = int(min(max(r.highWater/4, 64<<10), maxStep)) // how much bbolt makes the file longer than it must
		return nil
	})
}

// inUse is how many octets of the file its pages take up.
func (r *room) inUse() int64 { return r.highWater - r.free }

// reserve makes sure that n octets of new pages can be written. Half of what is free in the file is taken to be in pieces that
// are too small.
func (r *room) reserve(n int64) error {
	n -= r.free / 2
	if n <= 0 || r.highWater+n <= r.reserved {
		return nil
	}
	end := r.highWater + n
	return r.extend(r.reserved, end, end+spareRoom+min(r.highWater/8, maxStep))
}

// extend asks for blocks up to end, or up to more if there is plenty.
func (r *room) extend(from, end, more int64) error {
	if free, _, _, ok := diskOf(r.file); ok && free < 2*(more-from) {
		more = end
	}
	err := allocate(r.file, from, more-from)
	if diskFull(err) {
		return fmt.Errorf("no room on the disk: %w", err)
	}
	r.reserved = max(r.reserved, more) // also if this file system can't do it: then a write will tell
	return nil
}

// diskFull reports whether err says that there is no room, on the disk or for this user.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// makeRoom reserves room for the changes of a group, and returns those that there is room for. The others have failed.
func (q *Queue) makeRoom(group []*member) []*member {
	err := q.room.reserve(q.room.need(group) + spareRoom)
	if err == nil {
		return group
	}
	var needed []*member
	for _, m := range group {
		if l, ok := m.change.(limited); ok && l.limited() {
			m.err = q.wrap(fmt.Errorf("%w: %w", queue.ErrFull, err))
		} else {
			needed = append(needed, m)
		}
	}
	if err := q.room.reserve(q.room.need(needed)); err != nil {
		for _, m := range needed {
			m.err = q.wrap(err)
		}
		return nil
	}
	return needed
}

// limited is a change that can wait until there is room, such as one that brings a message in.
type limited interface{ limited() bool }

// need is how many octets of pages a group writes, at most: what it adds, and the pages of trees that it changes, which
// can't be more than there are.
func (r *room) need(group []*member) int64 {
	pages := int64(pagesPerChange*len(group) + 4*purgeLimit(len(group)))
	n := min(pages*r.pageSize, r.inUse()+64*r.pageSize)
	for _, m := range group {
		n += 2 * int64(m.size)
	}
	return n
}
