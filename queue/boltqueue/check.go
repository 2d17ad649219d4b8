package boltqueue

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"os"

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
	c := checker{f, m}
	if err := c.checkFreelist(); err != nil {
		return nil, err
	}
	return m, c.checkBuckets()
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
	h := fnv.New64a()
	h.Write(b[:56])
	if native.Uint32(b) != metaMagic || native.Uint32(b[4:]) != metaVersion || native.Uint64(b[56:]) != h.Sum64() {
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

// renew writes the meta once more, as it is, and syncs it. If an earlier sync of it failed, the system may show us a state
// that isn't on the disk and that it doesn't intend to write any more; building on it would let a power loss bring
// back the state before, with its pages overwritten.
func (m *meta) renew(f *os.File) error {
	if _, err := f.WriteAt(m.raw, m.offset); err != nil {
		return err
	}
	return f.Sync()
}

type checker struct {
	f *os.File
	*meta
}

// page is the beginning of a page, as much of it as is looked at.
type page struct {
	flags uint16
	count int
	size  int64 // of the whole, with what overflows
	b     []byte
}

// maxElements is what the elements of a page take up at most, and more than the page takes up that lists the buckets.
const maxElements = pageHeader + 0xffff*elementSize

// page reads up to limit octets of a page that must be of one of some kinds.
func (c *checker) page(id uint64, kinds uint16, limit int64) (p page, err error) {
	if id < 2 || id >= c.highWater {
		return p, damaged("refers to a page %d, which is not one of %d", id, c.highWater)
	}
	h := make([]byte, pageHeader)
	if _, err := c.f.ReadAt(h, int64(id)*c.pageSize); err != nil {
		return p, err
	}
	pages := uint64(native.Uint32(h[12:])) + 1
	p = page{flags: native.Uint16(h[8:]), count: int(native.Uint16(h[10:])), size: int64(pages) * c.pageSize}
	if native.Uint64(h) != id || p.flags&kinds == 0 || p.flags&(p.flags-1) != 0 || pages > c.highWater-id {
		return p, damaged("has something else where page %d should be", id)
	}
	p.b = make([]byte, min(p.size, limit))
	_, err = c.f.ReadAt(p.b, int64(id)*c.pageSize)
	return p, err
}

func (c *checker) checkFreelist() error {
	if c.freelist == noFreelist {
		return damaged("has no freelist")
	}
	p, err := c.page(c.freelist, freelistFlag, math.MaxInt64)
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
	buckets, err := c.checkTree(c.root)
	if err != nil {
		return err
	}
	for _, v := range buckets {
		if len(v) < 16 {
			return damaged("has a bucket of %d octets", len(v))
		}
		if root := native.Uint64(v); root != 0 {
			_, err = c.checkTree(root)
		} else { // it stands here, after its header
			err = checkInline(v[16:])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func checkInline(b []byte) error {
	if len(b) < pageHeader || native.Uint16(b[8:]) != leafFlag {
		return damaged("has a bucket without contents")
	}
	_, err := checkLeaf(page{count: int(native.Uint16(b[10:])), size: int64(len(b)), b: b})
	return err
}

// checkTree checks the first page of a tree, and returns the values of those of its elements that are buckets.
func (c *checker) checkTree(id uint64) (buckets [][]byte, err error) {
	p, err := c.page(id, branchFlag|leafFlag, maxElements)
	if err != nil {
		return nil, err
	}
	if p.flags == leafFlag {
		return checkLeaf(p)
	}
	if p.count == 0 || pageHeader+p.count*elementSize > len(p.b) {
		return nil, damaged("has a page %d with %d branches", id, p.count)
	}
	for i := range p.count {
		at := pageHeader + i*elementSize
		e := p.b[at:]
		end := int64(at) + int64(native.Uint32(e)) + int64(native.Uint32(e[4:]))
		if child := native.Uint64(e[8:]); end > p.size || child < 2 || child >= c.highWater || child == id {
			return nil, damaged("has a page %d that branches to page %d", id, child)
		}
	}
	return nil, nil
}

// checkLeaf checks the elements of a leaf, and returns the values of buckets as far as they were read.
func checkLeaf(p page) (buckets [][]byte, err error) {
	if pageHeader+p.count*elementSize > len(p.b) {
		return nil, damaged("has a page with %d elements in %d octets", p.count, p.size)
	}
	for i := range p.count {
		at := pageHeader + i*elementSize
		e := p.b[at:]
		value := int64(at) + int64(native.Uint32(e[4:])) + int64(native.Uint32(e[8:]))
		end := value + int64(native.Uint32(e[12:]))
		if end > p.size {
			return nil, damaged("has an element that ends outside its page")
		}
		if native.Uint32(e)&bucketFlag != 0 && end <= int64(len(p.b)) {
			buckets = append(buckets, p.b[value:end])
		}
	}
	return buckets, nil
}
