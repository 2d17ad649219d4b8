package boltqueue

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/bits"
	"sync"
)

// A body is stored in segments, each a bucket of its own, because bbolt copies the values that share a page whenever one of
// them changes. A segment has a few chunks, small enough that each reader can hold one.
const (
	chunkSize   = 64 << 10
	segmentSize = 256 << 10
)

// chunk is part of a body in the place where it becomes a record: behind the version, with room for the checksum. So it is
// sealed without being copied.
type chunk struct{ record []byte }

func (c *chunk) size() int { return len(c.record) - 1 }
func (c *chunk) room() int { return cap(c.record) - frame }

// maxEmptyReads is how often a reader may return nothing, and no error, in a row.
const maxEmptyReads = 100

// fill reads r until c is full or r returns an error.
func (c *chunk) fill(r io.Reader) error {
	for empty := 0; c.size() < c.room(); {
		n, err := r.Read(c.record[len(c.record) : cap(c.record)-crc32.Size])
		c.record = c.record[:len(c.record)+n]
		if err != nil {
			return err
		}
		if n > 0 {
			empty = 0
		} else if empty++; empty == maxEmptyReads {
			return io.ErrNoProgress
		}
	}
	return nil
}

// seal makes c the record that belongs to key. Nothing can be added to it any more.
func (c *chunk) seal(key []byte) {
	c.record[0] = format
	c.record = binary.BigEndian.AppendUint32(c.record, checksum(key, c.record))
}

// body is what is in c, which is sealed.
func (c *chunk) body() []byte { return c.record[1 : len(c.record)-crc32.Size] }

// smallChunk is what a chunk begins with: who has little to send, or sends it slowly, holds little.
const smallChunk = 4 << 10

// memory lends chunks. Allocated anew, and once more to be sealed, they were 14 KB for a message of 10 KiB.
type memory struct {
	spare [3]sync.Pool // of *chunk, with room for smallChunk, four times as much, and chunkSize
}

// chunk is an empty one that has room for n octets, or for some more.
func (m *memory) chunk(n int) *chunk {
	class := sizeClass(n)
	if c, ok := m.spare[class].Get().(*chunk); ok {
		return c
	}
	return &chunk{make([]byte, 1, frame+smallChunk<<(2*class))}
}

// grow moves what is in c, which is full, to a larger chunk.
func (m *memory) grow(c *chunk) *chunk {
	larger := m.chunk(c.room() + 1)
	larger.record = append(larger.record, c.record[1:]...)
	m.giveBack(c)
	return larger
}

func (m *memory) giveBack(c *chunk) {
	c.record = c.record[:1]
	m.spare[sizeClass(c.room())].Put(c)
}

// sizeClass says which of the chunks has room for n octets.
func sizeClass(n int) int { return (bits.Len(uint(max(0, n-1)/smallChunk)) + 1) / 2 }
