package boltqueue

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"slices"

	"github.com/postroad/postroad/queue"
)

// This file knows bbolt's file format, as far as it takes to see that bbolt can open a file. bbolt trusts what it maps: beyond
// the end of a file that was cut off it dies by SIGBUS, and on a page that names itself as its child by stack overflow,
// and neither can be recovered from. So the metas, the size, the freelist and the first pages of all buckets are checked before.
// Numbers are in the byte order of the machine.
//
//	page:     id 8 | flags 2 | count 2 | overflow 4 | elements
//	meta:     magic 4 | version 4 | page size 4 | flags 4 | root 8 | sequence 8 | freelist 8 | high water 8 | txid 8 | FNV-1a 8
//	branch:   position 4 | key size 4 | page 8
//	leaf:     flags 4 | position 4 | key size 4 | value size 4
//	freelist: page 8, ...; if count is 0xffff the first is the count
const (
	pageHeader  = 16
	metaSize    = 64
	elementSize = 16

	metaMagic   = 0xED0CDAED
	metaVersion = 2

	branchFlag   = 0x01
	leafFlag     = 0x02
	freelistFlag = 0x10
	bucketFlag   = 0x01 // of a leaf's element

	noFreelist = ^uint64(0)
)

var native = binary.NativeEndian

// meta is one of the two pages that say where everything is. The valid one with the higher txid counts.
type meta struct {
	raw       []byte // the page up to the end of what matters
	offset    int64  // where raw stands in the file
	pageSize  int64
	root      uint64
	freelist  uint64
	highWater uint64 // the first page beyond those in use
	txid      uint64
}

// check reports what is wrong with the file. It returns the meta that counts, nil if the file is new.
func check(f *os.File) (*meta, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", queue.ErrDamaged)
	}
	if fresh, err := unborn(f, info.Size()); fresh || err != nil {
		return nil, err
	}
	m, err := newestMeta(f, info.Size())
	if err != nil {
		return nil, err
	}
	if m.highWater < 4 || m.highWater > uint64(info.Size()/m.pageSize) {
		return nil, damaged("has %d octets, %d pages of %d are in use: it was cut off", info.Size(), m.highWater, m.pageSize)
	}
	c := checker{f: f, meta: m}
	if m.closed() {
		err = c.checkFreelist()
	}
	return m, cmp.Or(err, c.checkBuckets())
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", queue.ErrDamaged, fmt.Sprintf(format, args...))
}

// unborn reports whether the file is empty, or as large as bbolt makes a new one and all zero: that is what a power loss
// leaves of it when its size has reached the disk and its contents have not. Nothing was ever accepted into it.
func unborn(f *os.File, size int64) (bool, error) {
	if size == 0 {
		return true, nil
	}
	if size != int64(4*os.Getpagesize()) {
		return false, nil
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return false, err
	}
	for _, c := range b {
		if c != 0 {
			return false, nil
		}
	}
	return true, f.Truncate(0)
}

// newestMeta returns the meta that bbolt will go by. One of the two may be invalid: a crash while it was written leaves it so.
func newestMeta(f *os.File, size int64) (*meta, error) {
	first := readMeta(f, 0)
	var second *meta
	for pageSize := int64(1 << 10); pageSize <= 1<<24 && pageSize < size && second == nil; pageSize <<= 1 {
		if first == nil || first.pageSize == pageSize {
			second = readMeta(f, pageSize)
		}
	}
	switch {
	case first == nil && second == nil:
		return nil, damaged("has no valid meta page: it is overwritten, or no queue")
	case second == nil || first != nil && first.txid > second.txid:
		return first, nil
	case second.offset != second.pageSize:
		return nil, damaged("has a meta page in the wrong place")
	}
	return second, nil
}

// readMeta returns the meta page at offset, nil if there is no valid one.
func readMeta(f *os.File, offset int64) *meta {
	raw := make([]byte, pageHeader+metaSize)
	if _, err := f.ReadAt(raw, offset); err != nil {
		return nil
	}
	b := raw[pageHeader:]
	if native.Uint32(b) != metaMagic || native.Uint32(b[4:]) != metaVersion || native.Uint64(b[56:]) != metaSum(b) {
		return nil
	}
	m := &meta{
		raw:       raw,
		offset:    offset,
		pageSize:  int64(native.Uint32(b[8:])),
		root:      native.Uint64(b[16:]),
		freelist:  native.Uint64(b[32:]),
		highWater: native.Uint64(b[40:]),
		txid:      native.Uint64(b[48:]),
	}
	if m.pageSize < 1<<10 || m.pageSize > 1<<24 || m.pageSize&(m.pageSize-1) != 0 {
		return nil
	}
	return m
}

// encode returns the page of m, with the fields that it was read with and those that have changed since.
func (m *meta) encode() []byte {
	raw := bytes.Clone(m.raw)
	native.PutUint64(raw, uint64(m.offset/m.pageSize))
	b := raw[pageHeader:]
	native.PutUint64(b[16:], m.root)
	native.PutUint64(b[32:], m.freelist)
	native.PutUint64(b[40:], m.highWater)
	native.PutUint64(b[48:], m.txid)
	native.PutUint64(b[56:], metaSum(b))
	return raw
}

// metaSum is the checksum of all that stands before it.
func metaSum(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b[:56])
	return h.Sum64()
}

// renew writes the meta once more, as it is, and syncs it. If an earlier sync of it failed, the system may show us a state
// that isn't on the disk and that it doesn't intend to write any more; building on it would let a power loss bring
// back the state before, with its pages overwritten.
func (m *meta) renew(f *os.File) error {
	return writeSynced(f, m.raw, m.offset)
}

func writeSynced(f *os.File, b []byte, offset int64) error {
	if _, err := f.WriteAt(b, offset); err != nil {
		return err
	}
	return f.Sync()
}

type checker struct {
	f *os.File
	*meta
	buf []byte // of the page that was read last
}

// page is the beginning of a page.
type page struct {
	id    uint64
	flags uint16
	count int
	size  int64  // of the whole, with what overflows
	b     []byte // at least its elements; until the next page is read
}

func (p page) end() uint64 { return p.id + uint64(native.Uint32(p.b[12:])) + 1 }

// page reads the beginning of a page that must be of one of some kinds.
func (c *checker) page(id uint64, kinds uint16) (p page, err error) {
	if id < 2 || id >= c.highWater {
		return p, damaged("refers to a page %d, which is not one of %d", id, c.highWater)
	}
	if err := c.read(id, c.pageSize); err != nil {
		return p, err
	}
	p = page{id: id, flags: native.Uint16(c.buf[8:]), count: int(native.Uint16(c.buf[10:])), b: c.buf}
	p.size = int64(p.end()-id) * c.pageSize
	if native.Uint64(p.b) != id || p.flags&kinds == 0 || p.flags&(p.flags-1) != 0 || p.end() > c.highWater {
		return p, damaged("has something else where page %d should be", id)
	}
	want := pageHeader + int64(p.count)*elementSize
	if p.flags == freelistFlag {
		want = p.size
	}
	if want > p.size {
		return p, damaged("has a page %d of %d elements in %d octets", id, p.count, p.size)
	}
	if want > c.pageSize {
		err = c.read(id, want)
		p.b = c.buf
	}
	return p, err
}

func (c *checker) read(id uint64, n int64) error {
	c.buf = slices.Grow(c.buf[:0], int(n))[:n]
	_, err := c.f.ReadAt(c.buf, int64(id)*c.pageSize)
	return err
}

// closed reports whether the file was closed by whoever used it last.
func (m *meta) closed() bool { return m.freelist != noFreelist }

func (c *checker) checkFreelist() error {
	p, err := c.page(c.freelist, freelistFlag)
	if err != nil {
		return err
	}
	ids, count := p.b[pageHeader:], uint64(p.count)
	if count == 0xffff {
		count, ids = native.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return damaged("has a freelist of %d pages where %d fit", count, len(ids)/8)
	}
	last := uint64(1)
	for i := range count {
		id := native.Uint64(ids[8*i:])
		if id <= last || id >= c.highWater {
			return damaged("has a freelist that is out of order")
		}
		last = id
	}
	return nil
}

// checkBuckets checks the page of the root, which lists the buckets, and the first page of each.
func (c *checker) checkBuckets() error {
	_, roots, err := c.refers(c.root)
	for _, id := range roots {
		if err == nil {
			_, _, err = c.refers(id)
		}
	}
	return err
}

// refers checks a page of a tree and returns the pages that it refers to: those it branches to, or those where the buckets in
// it begin.
func (c *checker) refers(id uint64) (p page, ids []uint64, err error) {
	p, err = c.page(id, branchFlag|leafFlag)
	if err != nil {
		return p, nil, err
	}
	if p.flags == branchFlag {
		ids, err = c.branches(p)
		return p, ids, err
	}
	err = checkLeaf(p, func(at, size int64) error {
		root, err := c.bucket(p, at, size)
		if root != 0 {
			ids = append(ids, root)
		}
		return err
	})
	return p, ids, err
}

// branches checks the elements of a branch and returns where they lead.
func (c *checker) branches(p page) (ids []uint64, err error) {
	if p.count == 0 {
		return nil, damaged("has a page %d without branches", p.id)
	}
	for i := range p.count {
		at := pageHeader + i*elementSize
		e := p.b[at:]
		end := int64(at) + int64(native.Uint32(e)) + int64(native.Uint32(e[4:]))
		child := native.Uint64(e[8:])
		if end > p.size || child < 2 || child >= c.highWater || child == p.id {
			return nil, damaged("has a page %d that branches to page %d", p.id, child)
		}
		ids = append(ids, child)
	}
	return ids, nil
}

// checkLeaf checks the elements of a leaf, and calls bucket with where the value of each stands that is a bucket.
func checkLeaf(p page, bucket func(at, size int64) error) error {
	for i := range p.count {
		at := pageHeader + i*elementSize
		e := p.b[at:]
		value := int64(at) + int64(native.Uint32(e[4:])) + int64(native.Uint32(e[8:]))
		size := int64(native.Uint32(e[12:]))
		if value+size > p.size {
			return damaged("has an element that ends outside its page")
		}
		if native.Uint32(e)&bucketFlag == 0 {
			continue
		}
		if err := bucket(value, size); err != nil {
			return err
		}
	}
	return nil
}

// bucketHeader is what a bucket's value begins with: the page of its root and its sequence. If the root is zero the page follows,
// of a bucket so small that it needs none of its own.
const bucketHeader = 16

// bucket returns the root of a bucket whose value stands in p, zero if its contents are there, too; these are checked.
func (c *checker) bucket(p page, at, size int64) (root uint64, err error) {
	if size < bucketHeader || size > c.pageSize {
		return 0, damaged("has a bucket of %d octets", size)
	}
	v := make([]byte, size)
	if end := at + size; end <= int64(len(p.b)) {
		copy(v, p.b[at:end])
	} else if _, err := c.f.ReadAt(v, int64(p.id)*c.pageSize+at); err != nil {
		return 0, err
	}
	if root = native.Uint64(v); root != 0 {
		return root, nil
	}
	v = v[bucketHeader:]
	if len(v) < pageHeader || native.Uint16(v[8:]) != leafFlag {
		return 0, damaged("has a bucket without contents")
	}
	inline := page{count: int(native.Uint16(v[10:])), size: int64(len(v)), b: v}
	if pageHeader+inline.count*elementSize > len(v) {
		return 0, damaged("has a bucket of %d elements in %d octets", inline.count, len(v))
	}
	return 0, checkLeaf(inline, func(int64, int64) error { return damaged("has a bucket in a bucket too small for one") })
}
