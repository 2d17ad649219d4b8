package boltqueue

import (
	"bytes"
	"hash/crc32"
	"io"
	"slices"
)

// pages reads the pages of a file. What it returns is as bbolt would have written it, or an error that wraps
// [queue.ErrDamaged]. It needs little memory, whatever a page says.
type pages struct {
	f         io.ReaderAt
	pageSize  int64
	highWater uint64 // the first page beyond those in use
	buf       []byte // beginning of the page that was read last
	window    []byte // what was read ahead
	windowAt  int64  // where it stands in the file
	next      int64  // where the page that was read last ends
	key, last []byte // keys of it that don't stand in buf, and the one before the last
	inner     *pages // for pages that stand in a value
}

// begin reads another file, or a later state of it.
func (r *pages) begin(f io.ReaderAt, pageSize int64, highWater uint64) {
	r.f, r.pageSize, r.highWater = f, pageSize, highWater
	r.window, r.next = r.window[:0], 0
}

// page is the beginning of a page.
type page struct {
	id    uint64
	flags uint16
	count int
	size  int64  // of the whole, with what overflows
	b     []byte // at least its elements; until the next page is read
}

// end is the page behind those that p takes up.
func (p page) end() uint64 { return p.id + uint64(native.Uint32(p.b[12:])) + 1 }

// page reads the beginning of a page that must be of one of some kinds.
func (r *pages) page(id uint64, kinds uint16) (p page, err error) {
	if id < 2 || id >= r.highWater {
		return p, damaged("refers to a page %d, which is not one of %d", id, r.highWater)
	}
	if err := r.read(id, r.pageSize); err != nil {
		return p, err
	}
	p = page{id: id, flags: native.Uint16(r.buf[8:]), count: int(native.Uint16(r.buf[10:])), b: r.buf}
	p.size = int64(p.end()-id) * r.pageSize
	if native.Uint64(p.b) != id || p.flags&kinds == 0 || p.flags&(p.flags-1) != 0 || p.end() > r.highWater {
		return p, damaged("has something else where page %d should be", id)
	}
	if p.flags == freelistFlag {
		return p, nil
	}
	want := pageHeader + int64(p.count)*elementSize
	if want > p.size {
		return p, damaged("has a page %d of %d elements in %d octets", id, p.count, p.size)
	}
	if want > r.pageSize {
		err = r.read(id, want)
		p.b = r.buf
	}
	return p, err
}

// Pages that come one after the other, without large gaps, are read many at a time: a file that isn't in the system's cache
// would else be read at the speed of a disk that is asked for a page and then for another.
const (
	windowSize = 256 << 10
	maxGap     = 32 << 10
)

func (r *pages) read(id uint64, n int64) error {
	at := int64(id) * r.pageSize
	if gap := at - r.next; n == r.pageSize && gap >= 0 && gap < maxGap && at >= r.windowAt+int64(len(r.window)) {
		r.window = slices.Grow(r.window[:0], windowSize)[:windowSize]
		read, err := r.f.ReadAt(r.window, at)
		if err != nil && err != io.EOF {
			read = 0 // it may be another page that can't be read
		}
		r.window, r.windowAt = r.window[:read], at
	}
	r.next = at + n
	r.buf = slices.Grow(r.buf[:0], int(n))[:n]
	if from := at - r.windowAt; from >= 0 && from+n <= int64(len(r.window)) {
		copy(r.buf, r.window[from:])
		return nil
	}
	_, err := r.f.ReadAt(r.buf, at)
	return err
}

// element is one of a page.
type element struct {
	key    []byte // until the next element is read
	child  uint64 // of a branch: the page it leads to
	bucket bool   // of a leaf: the value is a bucket
	at     int64  // of a leaf: where the value stands in the page
	size   int64  // of a leaf: octets of the value
}

// maxKey is what bbolt allows a key to have.
const maxKey = 32768

// elements calls visit with each element of a page. bbolt's searches and changes rely on what is checked here: keys in
// their order, and values just behind them, so that neither a size nor a position can be wrong.
func (r *pages) elements(p page, visit func(e element) error) error {
	end := pageHeader + int64(p.count)*elementSize
	r.last = r.last[:0]
	for i := range p.count {
		at := int64(pageHeader + i*elementSize)
		b := p.b[at:]
		var e element
		var position, keySize uint32
		if p.flags == branchFlag {
			position, keySize, e.child = native.Uint32(b), native.Uint32(b[4:]), native.Uint64(b[8:])
		} else {
			e.bucket, position, keySize, e.size = native.Uint32(b) == bucketFlag, native.Uint32(b[4:]), native.Uint32(b[8:]), int64(native.Uint32(b[12:]))
			if !e.bucket && native.Uint32(b) != 0 {
				return damaged("has an unknown kind of element in page %d", p.id)
			}
		}
		if at+int64(position) != end || keySize == 0 || keySize > maxKey || end+int64(keySize)+e.size > p.size {
			return damaged("has an element in the wrong place in page %d", p.id)
		}
		var err error
		if e.key, err = r.octets(p, end, int64(keySize), &r.key); err != nil {
			return err
		}
		if i > 0 && bytes.Compare(r.last, e.key) >= 0 {
			return damaged("has keys out of order in page %d", p.id)
		}
		r.last = append(r.last[:0], e.key...)
		e.at = end + int64(keySize)
		end = e.at + e.size
		if err := visit(e); err != nil {
			return err
		}
	}
	if p.size-end >= r.pageSize {
		return damaged("has a page %d that is too large", p.id)
	}
	return nil
}

// octets returns part of a page, from what was read of it or else from the file, into buf.
func (r *pages) octets(p page, at, size int64, buf *[]byte) ([]byte, error) {
	if at+size <= int64(len(p.b)) {
		return p.b[at : at+size], nil
	}
	*buf = slices.Grow((*buf)[:0], int(size))[:size]
	_, err := r.f.ReadAt(*buf, int64(p.id)*r.pageSize+at)
	return *buf, err
}

// bucketHeader is what a bucket's value begins with: the page of its root and its sequence. If the root is zero the page follows,
// of a bucket so small that it needs none of its own.
const bucketHeader = 16

// bucket returns the root of a bucket, zero if its contents are in the value, too; these are checked.
func (r *pages) bucket(p page, e element) (root uint64, err error) {
	if e.size < bucketHeader || e.size > r.pageSize {
		return 0, damaged("has a bucket of %d octets in page %d", e.size, p.id)
	}
	v, err := r.octets(p, e.at, e.size, new([]byte))
	if err != nil {
		return 0, err
	}
	if root = native.Uint64(v); root != 0 && e.size == bucketHeader {
		return root, nil
	}
	_, err = r.inline(v)
	return 0, err
}

// inline returns the page that stands in the value of a bucket.
func (r *pages) inline(v []byte) (page, error) {
	b := v[bucketHeader:]
	if native.Uint64(v) != 0 || len(b) < pageHeader {
		return page{}, damaged("has a bucket without contents")
	}
	p := page{flags: native.Uint16(b[8:]), count: int(native.Uint16(b[10:])), size: int64(len(b)), b: b}
	if p.flags != leafFlag || pageHeader+p.count*elementSize > len(b) {
		return page{}, damaged("has a bucket of %d elements in %d octets", p.count, len(b))
	}
	if r.inner == nil {
		r.inner = &pages{pageSize: 1} // which leaves no gap at the end
	}
	return p, r.inner.elements(p, func(e element) error {
		if e.bucket {
			return damaged("has a bucket in a bucket too small for one")
		}
		return nil
	})
}

// freelistPage returns the page, with what overflows from it, that lists these pages, as bbolt writes it.
func freelistPage(id uint64, free []byte, pageSize int64) []byte {
	count := len(free) / 8
	list := make([]byte, pageHeader, pageHeader+8+len(free))
	native.PutUint64(list, id)
	native.PutUint16(list[8:], freelistFlag)
	native.PutUint16(list[10:], uint16(min(count, 0xffff)))
	if count >= 0xffff {
		list = native.AppendUint64(list, uint64(count))
	}
	list = append(list, free...)
	pages := (int64(len(list)) + pageSize - 1) / pageSize
	native.PutUint32(list[12:], uint32(pages-1))
	return append(list, make([]byte, pages*pageSize-int64(len(list)))...)
}

// sum is the checksum of a page.
func (r *pages) sum(p page) (uint32, error) {
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, err := io.Copy(h, io.NewSectionReader(r.f, int64(p.id)*r.pageSize, p.size))
	return h.Sum32(), err
}
