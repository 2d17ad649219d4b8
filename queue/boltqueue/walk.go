package boltqueue

import (
	"errors"
	"os"
	"syscall"
)

// A file that was not closed has no list of its free pages, and the only way to find them is to look at all that are in use.
// bbolt would do so in a goroutine of its own, where a damaged page ends the program. Here every reference is checked
// before it is followed and no page is visited twice, so that damage is an error, and what is found is stored as bbolt
// itself would have done, so that it need not look again.

// walker visits every page in use.
type walker struct {
	*checker
	used []uint64 // a bit for each page
}

// restoreFreelist makes of a file that was not closed one that was: it finds the pages in use and commits the list of all
// others. It returns the meta page that counts from now on.
func restoreFreelist(f *os.File, m *meta) (*meta, error) {
	w, err := walk(f, m)
	if err != nil {
		return nil, err
	}
	if err := m.renew(f); err != nil { // what is written next takes the place of the state before
		return nil, err
	}
	return w.storeFreelist()
}

// walk finds the pages in use of the state that m describes.
func walk(f *os.File, m *meta) (*walker, error) {
	w := &walker{&checker{f: f, meta: m}, make([]uint64, m.highWater/64+1)}
	for ahead := []uint64{m.root}; len(ahead) > 0; {
		last := len(ahead) - 1
		p, ids, err := w.refers(ahead[last])
		if err == nil {
			err = w.use(p)
		}
		if err != nil {
			return nil, err
		}
		ahead = append(ahead[:last], ids...)
	}
	return w, nil
}

// use marks a page and what overflows from it.
func (w *walker) use(p page) error {
	for id := p.id; id < p.end(); id++ {
		if w.uses(id) {
			return damaged("refers to page %d twice", id)
		}
		w.used[id/64] |= 1 << (id % 64)
	}
	return nil
}

func (w *walker) uses(id uint64) bool { return w.used[id/64]&(1<<(id%64)) != 0 }

// storeFreelist does what a transaction of bbolt does that changes nothing else: it writes the list behind all pages in use,
// syncs, and makes it count by writing the meta page that doesn't count now.
func (w *walker) storeFreelist() (*meta, error) {
	var free []byte
	count := uint64(0)
	for id := uint64(2); id < w.highWater; id++ {
		if !w.uses(id) {
			free = native.AppendUint64(free, id)
			count++
		}
	}
	list := make([]byte, pageHeader, pageHeader+8+len(free))
	native.PutUint64(list, w.highWater)
	native.PutUint16(list[8:], freelistFlag)
	native.PutUint16(list[10:], uint16(min(count, 0xffff)))
	if count >= 0xffff {
		list = native.AppendUint64(list, count)
	}
	list = append(list, free...)
	pages := (uint64(len(list)) + uint64(w.pageSize) - 1) / uint64(w.pageSize)
	native.PutUint32(list[12:], uint32(pages-1))
	list = append(list, make([]byte, int(pages)*int(w.pageSize)-len(list))...)
	if err := writeSynced(w.f, list, int64(w.highWater)*w.pageSize); errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return w.meta, nil // bbolt will look at all pages again, and survive that
	} else if err != nil {
		return nil, err
	}
	next := *w.meta
	next.freelist = w.highWater
	next.highWater += pages
	next.txid++
	next.offset = int64(next.txid%2) * next.pageSize
	next.raw = next.encode()
	return &next, writeSynced(w.f, next.raw, next.offset)
}
