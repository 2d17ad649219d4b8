package boltqueue

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/postroad/postroad/queue"
)

// Open implements [queue.Queue]. The reader holds one chunk of the body, which it copies out of a transaction that ends before
// Read returns: a transaction that stays open while somebody reads slowly would keep the file from reusing any space.
func (q *Queue) Open(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if err := q.ready(ctx); err != nil {
		return nil, err
	}
	r := &reader{ctx: ctx, q: q, id: id}
	if r.fresh = q.fresh.take(id); r.fresh != nil {
		r.chunk = r.fresh.body()
		return r, nil
	}
	err := q.view(func(t *tx) error {
		m, err := t.message(id)
		if err == nil && (m == nil || m.Unfinished == 0) {
			err = fmt.Errorf("%w: %q", queue.ErrNotFound, id)
		}
		if err == nil {
			r.body, r.left = m.Body, m.Size
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// reader streams a body.
type reader struct {
	ctx     context.Context
	q       *Queue
	id      queue.ID
	body    uint64
	left    int64  // octets not yet read from the file
	segment []byte // key of the one being read; nil before the first
	n       byte   // chunk of it that comes next
	fresh   *chunk // all there is; nil if it is to be read from the file
	buf     []byte // memory of a chunk
	chunk   []byte // what is left of it
	err     error  // what every further Read returns
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.chunk) > 0 {
		n := copy(p, r.chunk)
		r.chunk = r.chunk[n:]
		return n, nil
	}
	if r.err == nil && r.left == 0 {
		r.err = io.EOF
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.fetch(p)
	if err != nil {
		r.err = r.cut(err)
	}
	if n == 0 {
		return 0, r.err
	}
	return n, nil
}

// Close implements [io.Closer].
func (r *reader) Close() error {
	if r.fresh != nil {
		r.q.memory.giveBack(r.fresh)
	}
	r.chunk, r.buf, r.fresh, r.err = nil, nil, nil, os.ErrClosed
	return nil
}

// fetch copies the next chunks to p, in one transaction, and of the last one what p has no room for to buf. Whatever keeps
// one from being there means that the body is cut short.
func (r *reader) fetch(p []byte) (n int, err error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	err = r.q.view(func(t *tx) error {
		for n < len(p) && r.left > 0 {
			c, err := r.next(t)
			if err != nil {
				return err
			}
			if r.left -= int64(len(c)); r.left < 0 {
				return queue.ErrDamaged
			}
			fits := copy(p[n:], c)
			n += fits
			r.buf = append(r.buf[:0], c[fits:]...)
			r.chunk = r.buf
		}
		return nil
	})
	return n, err
}

func (r *reader) cut(err error) error {
	return fmt.Errorf("body of %q: %w: %w", r.id, io.ErrUnexpectedEOF, err)
}

// next is the next chunk, in the memory of the file.
func (r *reader) next(t *tx) ([]byte, error) {
	if r.segment != nil {
		if c, err := r.read(t); c != nil || err != nil {
			return c, err
		}
	}
	k, err := nextSegment(t.bodies(), r.body, r.segment)
	if err != nil {
		return nil, err
	}
	if !follows(k, r.segment, r.body) {
		return nil, fmt.Errorf("%w or deleted: %d octets are missing", queue.ErrDamaged, r.left)
	}
	if err := t.intact(k); err != nil {
		return nil, err
	}
	r.segment, r.n = k, 0
	if c, err := r.read(t); c != nil || err != nil {
		return c, err
	}
	return nil, fmt.Errorf("%w: nothing at %q", queue.ErrDamaged, k)
}

// read is chunk n of the segment, nil if there is none.
func (r *reader) read(t *tx) ([]byte, error) {
	b := t.bodies().Bucket(r.segment)
	if b == nil {
		return nil, nil
	}
	key := append(bytes.Clone(r.segment), r.n)
	v := b.Get(key)
	if v == nil {
		return nil, nil
	}
	r.n++
	return unseal(key, v)
}

// follows reports whether k is the key of the segment that comes after last, or of the first one if last is nil.
func follows(k, last []byte, body uint64) bool {
	head, written := segmentKey(body, headPart, 0), segmentKey(body, bodyPart, 0)
	if last == nil {
		return bytes.Equal(k, head) || bytes.Equal(k, written)
	}
	part, n := last[len(last)-5], binary.BigEndian.Uint32(last[len(last)-4:])
	return bytes.Equal(k, segmentKey(body, part, n+1)) || part == headPart && bytes.Equal(k, written)
}
