package boltqueue

import (
	"bufio"
	"io"
	"math/bits"

	"github.com/postroad/postroad/queue"
)

// copier copies the pages in use, without the free ones between them. They keep their order, so each comes to stand where
// its number among the pages in use says, and what refers to it is changed to that.
type copier struct {
	*walker
	before []uint64 // pages in use before each word of used
	count  uint64   // pages in use
	end    <-chan struct{}
}

// newCopier makes a copier of the pages that w has found to be in use. The copying ends early when end is closed.
func newCopier(w *walker, end <-chan struct{}) *copier {
	c := &copier{walker: w, before: make([]uint64, len(w.used)), end: end}
	w.used[0] |= 3 // the metas
	for i, word := range w.used {
		c.before[i] = c.count
		c.count += uint64(bits.OnesCount64(word))
	}
	return c
}

// place is where a page in use comes to stand.
func (c *copier) place(id uint64) uint64 {
	return c.before[id/64] + uint64(bits.OnesCount64(c.used[id/64]&(1<<(id%64)-1)))
}

// size is how many octets the copy has.
func (c *copier) size() int64 { return int64(c.count+1) * c.pageSize }

// copy writes a file with the same contents, that was closed and has no free pages.
func (c *copier) copy(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<20)
	free := freelistPage(c.count, nil, c.pageSize)
	for _, b := range c.metas(checksum(nil, free)) {
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	for id := uint64(2); id < c.highWater; {
		if !c.uses(id) {
			id++
			continue
		}
		select {
		case <-c.end:
			return queue.ErrClosed
		default:
		}
		p, err := c.moved(id)
		if err != nil {
			return err
		}
		if _, err := out.Write(p.b); err != nil {
			return err
		}
		id = p.end()
	}
	if _, err := out.Write(free); err != nil {
		return err
	}
	return out.Flush()
}

// metas returns both meta pages of the copy, whose freelist has that checksum. They say the same; the one whose turn it was is the later one.
func (c *copier) metas(free uint32) [2][]byte {
	m := *c.meta
	m.root, m.freelist, m.highWater, m.flags = c.place(m.root), c.count, c.count+1, free
	var pages [2][]byte
	for i := range pages {
		m.txid = c.meta.txid - (c.meta.txid+uint64(i))%2
		m.offset = int64(i) * m.pageSize
		pages[i] = append(m.encode(), make([]byte, m.pageSize-pageHeader-metaSize)...)
	}
	return pages
}

// maxPage bounds what a page is taken to be together with all that overflows from it: no record is as large.
const maxPage = 256 << 20

// moved reads a page as it is to be in the copy.
func (c *copier) moved(id uint64) (page, error) {
	p, err := c.page(id, branchFlag|leafFlag)
	if err == nil && p.size > maxPage {
		err = damaged("has a page %d of %d octets", id, p.size)
	}
	if err == nil {
		err = c.read(id, p.size)
	}
	if err != nil {
		return p, err
	}
	p.b = c.buf
	native.PutUint64(p.b, c.place(id))
	i := 0
	return p, c.elements(p, func(e element) error {
		i++
		switch {
		case p.flags == branchFlag:
			return c.move(p.b[pageHeader+(i-1)*elementSize+8:])
		case !e.bucket:
			return nil
		case e.size < bucketHeader:
			return damaged("has a bucket of %d octets", e.size)
		}
		return c.move(p.b[e.at:])
	})
}

// move changes the reference that b begins with. Zero refers to no page.
func (c *copier) move(b []byte) error {
	id := native.Uint64(b)
	if id == 0 {
		return nil
	}
	if id >= c.highWater || !c.uses(id) {
		return damaged("has changed while it was copied")
	}
	native.PutUint64(b, c.place(id))
	return nil
}
