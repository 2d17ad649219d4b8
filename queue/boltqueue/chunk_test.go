package boltqueue

import (
	"bytes"
	"testing"
)

// What is lent has room for what was asked for, also if it was lent before, and what was in it is gone.
func TestMemory(t *testing.T) {
	var m memory
	for range 2 {
		for _, n := range []int{0, 1, smallChunk, smallChunk + 1, 4 * smallChunk, 4*smallChunk + 1, chunkSize} {
			c := m.chunk(n)
			if c.size() != 0 || c.room() < n || c.room() > max(smallChunk, 4*n) {
				t.Errorf("asked for %d octets: %d are there, and room for %d", n, c.size(), c.room())
			}
			c.fill(random(n, n))
			c.seal([]byte("key"))
			m.giveBack(c)
		}
	}
}

// A chunk grows with what is read, and the record is the same as if it had been made at once.
func TestSegmentFill(t *testing.T) {
	for _, size := range []int{0, 1, smallChunk - 1, smallChunk, smallChunk + 1, 4 * smallChunk, 4*smallChunk + 1, chunkSize} {
		var m memory
		var s segment
		if end, err := s.fill(random(size, size), &m); !end || err != nil {
			t.Fatalf("%d octets: end %v, error %v", size, end, err)
		}
		if size == 0 && len(s.chunks) == 0 {
			continue
		}
		s.seal([]byte("key"))
		var want bytes.Buffer
		want.ReadFrom(random(size, size))
		if len(s.chunks) != 1 || !bytes.Equal(s.chunks[0].record, seal(nil, s.chunkKey(0), want.Bytes())) {
			t.Errorf("%d octets became %d chunks, the first of them %.20q", size, len(s.chunks), s.chunks[0].record)
		}
	}
}

// A head and a body are copied into as few chunks as will do, and none grows.
func TestSegmentCopy(t *testing.T) {
	for _, sizes := range [][2]int{{1, 1}, {300, 10240}, {chunkSize, 1}, {chunkSize - 1, 2}, {10, chunkSize + 10}, {0, 3 * chunkSize}, {7, 3*chunkSize + 1}} {
		var m memory
		var body, whole segment
		if _, err := body.fill(random(1, sizes[1]), &m); err != nil {
			t.Fatal(err)
		}
		p := &prepared{}
		p.sealBody(bytes.Repeat([]byte("h"), sizes[0]), &body, &m)
		whole = p.body[0]
		if n := (sizes[0] + sizes[1] + chunkSize - 1) / chunkSize; len(whole.chunks) != n {
			t.Errorf("%v octets became %d chunks, not %d", sizes, len(whole.chunks), n)
		}
		for _, c := range whole.chunks {
			if r := c.room(); r != smallChunk && r != 4*smallChunk && r != chunkSize {
				t.Errorf("%v octets: a chunk has room for %d", sizes, r)
			}
		}
	}
}
