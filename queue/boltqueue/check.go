package boltqueue

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"github.com/postroad/postroad/queue"
)

// This file knows bbolt's file format, as far as it takes to see that bbolt can be let near a file. bbolt trusts what it maps:
// beyond the end of a file that was cut off it dies by SIGBUS, on a page that leads back to itself by stack overflow, and
// a size that has changed makes it copy gigabytes. So the metas and the size are checked before, and then every page of
// the tree; see walk.go. Numbers are in the byte order of the machine.
//
//	page:     id 8 | flags 2 | count 2 | overflow 4 | elements | what they point to, in their order and without gaps
//	meta:     magic 4 | version 4 | page size 4 | flags 4 | root 8 | sequence 8 | freelist 8 | high water 8 | txid 8 | FNV-1a 8
//	branch:   position 4 | key size 4 | page 8
//	leaf:     flags 4 | position 4 | key size 4 | value size 4
//	freelist: page 8, ...; if count is 0xffff the first is the count
//
// bbolt has no use for the flags of a meta and passes them on. Here they are the CRC-32C of the freelist, if that was stored
// when the file was closed.
const (
	pageHeader  = 16
	metaSize    = 64
	elementSize = 16

	metaMagic   = 0xED0CDAED
	metaVersion = 2

	branchFlag   = 0x01
	leafFlag     = 0x02
	metaFlag     = 0x04
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
	flags     uint32
	root      uint64
	freelist  uint64
	highWater uint64 // the first page beyond those in use
	txid      uint64
}

// check reports what is wrong with the file, and makes one that was not closed one that was. It returns the meta that
// counts, nil if the file is new.
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
	w := newWalker(f, m)
	if m.closed() && w.sumFreelist() == m.flags {
		return m, w.walk()
	}
	return w.restoreFreelist()
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", queue.ErrDamaged, fmt.Sprintf(format, args...))
}

// unborn reports whether the file is empty, or what a power loss leaves of a new one: some of what bbolt writes first, and zeros.
// Nothing was ever accepted into it.
func unborn(f *os.File, size int64) (bool, error) {
	whole := newFile(os.Getpagesize())
	if size == 0 || size > int64(len(whole)) {
		return size == 0, nil
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return false, err
	}
	for i, c := range b {
		if c != 0 && c != whole[i] {
			return false, nil
		}
	}
	if bytes.Equal(b, whole) {
		return false, nil
	}
	return true, f.Truncate(0)
}

// newFile is a file as bbolt makes it: the metas, a freelist and a root with nothing in it.
func newFile(pageSize int) []byte {
	var b []byte
	for id, flags := range []uint16{metaFlag, metaFlag, freelistFlag, leafFlag} {
		b = append(b, make([]byte, pageSize)...)
		native.PutUint64(b[id*pageSize:], uint64(id))
		native.PutUint16(b[id*pageSize+8:], flags)
	}
	for id := range 2 {
		m := meta{raw: b[id*pageSize:][:pageHeader+metaSize], offset: int64(id * pageSize), pageSize: int64(pageSize), root: 3, freelist: 2, highWater: 4, txid: uint64(id)}
		native.PutUint32(m.raw[pageHeader:], metaMagic)
		native.PutUint32(m.raw[pageHeader+4:], metaVersion)
		native.PutUint32(m.raw[pageHeader+8:], uint32(pageSize))
		copy(m.raw, m.encode())
	}
	return b
}

// readNewestMeta returns the meta that bbolt goes by now.
func readNewestMeta(f *os.File) (*meta, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return newestMeta(f, info.Size())
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
		flags:     native.Uint32(b[12:]),
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
	native.PutUint32(b[12:], m.flags)
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

// closed reports whether the file was closed by whoever used it last.
func (m *meta) closed() bool { return m.freelist != noFreelist }

// pages reads the pages that m says are in use.
func (m *meta) pages(f io.ReaderAt) *pages {
	return &pages{f: f, pageSize: m.pageSize, highWater: m.highWater}
}
