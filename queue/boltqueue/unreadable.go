package boltqueue

import (
	"errors"
	"sync"

	"github.com/postroad/postroad/queue"
)

// Damage is of two kinds. To the structure of the file it is found by Open, which refuses the file. To one record, or to
// the pages of one body, it is the fate of one message, which the others must not share: it is passed over, and told.

// pass reports whether err is damage to one record, which is passed over.
func (t *tx) pass(k queue.Key, err error) bool {
	if !errors.Is(err, queue.ErrDamaged) {
		return false
	}
	t.unreadable = append(t.unreadable, Unreadable{Key: k, Err: err})
	return true
}

// unlessPassed is err, or nil if that is passed over.
func (t *tx) unlessPassed(k queue.Key, err error) error {
	if t.pass(k, err) {
		return nil
	}
	return err
}

// report tells what was passed over, unless it was told before.
func (q *Queue) report(us []Unreadable) {
	for _, u := range us {
		u.Err = q.wrap(u.Err)
		q.observer.tellOnce(u.Key.String()+" "+u.Err.Error(), u)
	}
}

// maxExtents is more than the pages that a segment, of which there are a few chunks, branches to.
const maxExtents = 64

// spareWalkers have the memory of the pages that they have read, to read others.
var spareWalkers = sync.Pool{New: func() any { return new(walker) }}

// intact reports damage to the pages of a segment, which are not looked at when the file is opened.
func (t *tx) intact(segment []byte) error {
	b := t.bodies().Bucket(segment)
	if b == nil || b.Root() == 0 || t.disk == nil {
		return nil
	}
	w := spareWalkers.Get().(*walker)
	defer spareWalkers.Put(w)
	size := int64(b.Tx().DB().Info().PageSize)
	w.begin(t.disk, size, uint64(b.Tx().Size()/size))
	w.extents = w.extents[:0]
	return w.descend(step{id: uint64(b.Root()), depth: segmentDepth})
}

// restoreMarks makes sure that the next mark is greater than those given out. The sequence of a bucket has no checksum.
func (t *tx) restoreMarks() error {
	c := t.marks().Cursor()
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		if _, err := unseal(k, v); t.pass(queue.Key{}, err) {
			continue
		}
		last, err := parseNumberKey(k)
		if err == nil && last > t.marks().Sequence() {
			err = t.marks().SetSequence(last)
		}
		return err
	}
	return nil
}
