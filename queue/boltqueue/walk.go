package boltqueue

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math/bits"
	"os"
)

// walker visits the pages of a file in the order of its tree, before bbolt does. Every reference is checked before it is
// followed and no page is visited twice, so that damage is an error that names a page. What it has passed bbolt can read and
// change: its recursions end, its sizes are true, and the pages it frees are its own.
//
// A file that was closed has a list of its free pages, and is not searched for pages of bodies, which are most of it. A
// damaged one harms one message only, and is found when that is read; see [tx.intact]. A file that was not closed has no such
// list, and the only way to find the free pages is to look at all that are in use. bbolt would do so in a goroutine of its
// own, where a damaged page ends the program. What is found here is stored as bbolt itself would have done, so that it need
// not look again.
type walker struct {
	pages
	file     *os.File
	meta     *meta
	used     []uint64 // a bit for each page; nil to walk through a few, which are noted as
	extents  []extent
	ahead    []step
	segments []uint64 // a bit for each page where a segment of a body begins
	torn     bool     // a segment has pages that can't be found
}

// step is a page that has yet to be visited.
type step struct {
	id     uint64
	depth  int    // how many buckets it is in, below the root
	bucket string // in which bucket of the root it is
	from   []byte // the first key, if known: a branch repeats it
	to     []byte // a key that is greater than all, if any is known
}

func newWalker(f *os.File, m *meta) *walker {
	return &walker{pages: *m.pages(f), file: f, meta: m, used: make([]uint64, m.highWater/64+1)}
}

// walk visits all pages but those of bodies.
func (w *walker) walk() error {
	if err := w.descend(step{id: w.meta.root}); err != nil {
		return err
	}
	for id := range w.eachSegment {
		if err := w.use(id, id+1); err != nil {
			return err
		}
	}
	return w.checkFree()
}

// checkFree looks for pages that are in use and said to be free: something leads to a state of them that is no more.
func (w *walker) checkFree() error {
	return w.eachFree(func(id uint64) error {
		if id < w.highWater && w.uses(id) {
			return damaged("refers to page %d, which is free", id)
		}
		return nil
	})
}

// eachFree calls visit with each page of the stored freelist.
func (w *walker) eachFree(visit func(id uint64) error) error {
	p, err := w.page(w.meta.freelist, freelistFlag)
	if err != nil {
		return err
	}
	ids := bufio.NewReader(io.NewSectionReader(w.f, int64(p.id)*w.pageSize+pageHeader, p.size-pageHeader))
	count := uint64(p.count)
	if count == 0xffff {
		if err := binary.Read(ids, native, &count); err != nil {
			return err
		}
	}
	var b [8]byte
	for range count {
		if _, err := io.ReadFull(ids, b[:]); err != nil {
			return err
		}
		if err := visit(native.Uint64(b[:])); err != nil {
			return err
		}
	}
	return nil
}

// walkAll visits all pages.
func (w *walker) walkAll() error {
	if err := w.descend(step{id: w.meta.root}); err != nil {
		return err
	}
	for id := range w.eachSegment {
		if w.descend(step{id: id, depth: segmentDepth}) != nil {
			w.torn = true
		}
	}
	return nil
}

// walkWhole visits all pages of a file whose bodies are intact, too.
func walkWhole(f *os.File, m *meta) (*walker, error) {
	w := newWalker(f, m)
	if err := w.walkAll(); err != nil {
		return nil, err
	}
	if w.torn {
		return nil, damaged("has a body with pages that can't be found")
	}
	return w, nil
}

// descend visits the pages of a tree.
func (w *walker) descend(root step) error {
	w.ahead = append(w.ahead[:0], root)
	for len(w.ahead) > 0 {
		last := len(w.ahead) - 1
		s := w.ahead[last]
		w.ahead = w.ahead[:last]
		if err := w.visit(s); err != nil {
			return err
		}
	}
	return nil
}

// visit checks a page and notes where it leads.
func (w *walker) visit(s step) error {
	p, err := w.page(s.id, branchFlag|leafFlag)
	if err != nil {
		return err
	}
	if err := w.use(p.id, p.end()); err != nil {
		return err
	}
	if p.count == 0 && (s.from != nil || p.flags == branchFlag) {
		return damaged("has an empty page %d", p.id)
	}
	n := 0
	return w.elements(p, func(e element) error {
		if n++; n == 1 && s.from != nil && !bytes.Equal(e.key, s.from) || s.to != nil && bytes.Compare(e.key, s.to) >= 0 {
			return damaged("has a page %d in the wrong place", p.id)
		}
		if p.flags == leafFlag {
			return w.enter(s, p, e)
		}
		child := s
		child.id, child.from = e.child, bytes.Clone(e.key)
		if n > 1 {
			w.ahead[len(w.ahead)-1].to = child.from
		}
		w.ahead = append(w.ahead, child)
		return nil
	})
}

// segmentDepth is the depth of what belongs to a segment of a body.
const segmentDepth = 2

// enter notes the page of a bucket in a leaf, if e is one.
func (w *walker) enter(s step, p page, e element) error {
	if !e.bucket {
		if s.depth == 0 || s.depth == 1 && s.bucket == bodiesBucket {
			return damaged("has something else where a bucket should be in page %d", p.id)
		}
		return nil
	}
	root, err := w.bucket(p, e)
	if err != nil || root == 0 {
		return err
	}
	if s.depth+1 == segmentDepth {
		return w.note(root)
	}
	w.ahead = append(w.ahead, step{id: root, depth: s.depth + 1, bucket: string(e.key)})
	return nil
}

// note notes the page where a segment begins.
func (w *walker) note(id uint64) error {
	if id < 2 || id >= w.highWater {
		return damaged("refers to a page %d, which is not one of %d", id, w.highWater)
	}
	if w.segments == nil {
		w.segments = make([]uint64, len(w.used))
	}
	if bit := uint64(1) << (id % 64); w.segments[id/64]&bit == 0 {
		w.segments[id/64] |= bit
		return nil
	}
	return damaged("refers to page %d twice", id)
}

// eachSegment yields the pages that were noted, in the order of the file, in which it is read fastest.
func (w *walker) eachSegment(yield func(id uint64) bool) {
	for i, word := range w.segments {
		for ; word != 0; word &= word - 1 {
			if !yield(uint64(64*i + bits.TrailingZeros64(word))) {
				return
			}
		}
	}
}

// use marks pages, which nothing else may use.
func (w *walker) use(id, end uint64) error {
	if id < 2 || end > w.highWater {
		return damaged("refers to a page %d, which is not one of %d", id, w.highWater)
	}
	if w.used == nil {
		return w.occupy(extent{id, end})
	}
	for ; id < end; id++ {
		if w.uses(id) {
			return damaged("refers to page %d twice", id)
		}
		w.used[id/64] |= 1 << (id % 64)
	}
	return nil
}

// extent is a page with what overflows from it.
type extent struct{ id, end uint64 }

// occupy is use for a few pages.
func (w *walker) occupy(x extent) error {
	for _, o := range w.extents {
		if x.id < o.end && o.id < x.end {
			return damaged("refers to page %d twice", max(x.id, o.id))
		}
	}
	if w.extents = append(w.extents, x); len(w.extents) > maxExtents {
		return damaged("has a segment of more than %d pages", maxExtents)
	}
	return nil
}

func (w *walker) uses(id uint64) bool { return w.used[id/64]&(1<<(id%64)) != 0 }

// restoreFreelist makes of a file that was not closed one that was: it finds the pages in use and commits the list of all
// others. It returns the meta page that counts from now on.
func (w *walker) restoreFreelist() (*meta, error) {
	if err := w.walkAll(); err != nil {
		return nil, err
	}
	if err := w.meta.renew(w.file); err != nil { // what is written next takes the place of the state before
		return nil, err
	}
	return w.storeFreelist()
}

// sumFreelist returns the checksum of the stored freelist, and zero if something else is in its place.
func (w *walker) sumFreelist() uint32 {
	p, err := w.page(w.meta.freelist, freelistFlag)
	if err != nil {
		return 0
	}
	sum, err := w.sum(p)
	if err != nil {
		return 0
	}
	return sum
}

// storeFreelist does what a transaction of bbolt does that changes nothing else: it writes the list behind all pages in use,
// syncs, and makes it count by writing the meta page that doesn't count now.
func (w *walker) storeFreelist() (*meta, error) {
	var free []byte
	for id := uint64(2); id < w.highWater; id++ {
		if !w.uses(id) && !w.torn {
			free = native.AppendUint64(free, id)
		}
	}
	list := freelistPage(w.highWater, free, w.pageSize)
	err := writeSynced(w.file, list, int64(w.highWater)*w.pageSize)
	if diskFull(err) && !w.torn {
		return w.meta, nil // bbolt will look at all pages again, and survive that
	} else if err != nil {
		return nil, err
	}
	next := *w.meta
	next.flags = checksum(nil, list)
	next.freelist = w.highWater
	next.highWater += uint64(len(list)) / uint64(w.pageSize)
	next.txid++
	next.offset = int64(next.txid%2) * next.pageSize
	next.raw = next.encode()
	return &next, writeSynced(w.file, next.raw, next.offset)
}

// sealFreelist adds its checksum to the freelist that bbolt has stored. Without it the list is not believed, since one that has
// changed would make bbolt overwrite pages that are in use.
func sealFreelist(f *os.File) error {
	m, err := readNewestMeta(f)
	if err != nil || !m.closed() {
		return err
	}
	m.flags = newWalker(f, m).sumFreelist()
	return writeSynced(f, m.encode(), m.offset)
}
