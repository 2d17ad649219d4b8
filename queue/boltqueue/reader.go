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
	buf     []byte // memory of a chunk
	chunk   []byte // what is left of it
	err     error  // what every further Read returns
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.chunk) == 0 {
		if r.err == nil && r.left == 0 {
			r.err = io.EOF
		}
		if r.err == nil {
			r.err = r.fetch()
		}
		if r.err != nil {
			return 0, r.err
		}
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// Close implements [io.Closer].
func (r *reader) Close() error {
	r.chunk, r.buf, r.err = nil, nil, os.ErrClosed
	return nil
}

// fetch copies the next chunk. Whatever keeps it from being there means that the body is cut short.
func (r *reader) fetch() error {
	if err := r.ctx.Err(); err != nil {
		return r.cut(err)
	}
	if err := r.q.view(r.next); err != nil {
		return r.cut(err)
	}
	r.chunk = r.buf
	if r.left -= int64(len(r.buf)); r.left < 0 {
		r.chunk = nil
		return r.cut(r.q.wrap(queue.ErrDamaged))
	}
	return nil
}

func (r *reader) cut(err error) error {
	return fmt.Errorf("body of %q: %w: %w", r.id, io.ErrUnexpectedEOF, err)
}

// next copies the next chunk into buf.
func (r *reader) next(t *tx) error {
	if r.segment != nil {
		if ok, err := r.read(t); ok || err != nil {
			return err
		}
	}
	k, err := nextSegment(t.bodies, r.body, r.segment)
	if err != nil {
		return err
	}
	if !follows(k, r.segment, r.body) {
		return fmt.Errorf("%w or deleted: %d octets are missing", queue.ErrDamaged, r.left)
	}
	if err := t.intact(k); err != nil {
		return err
	}
	r.segment, r.n = k, 0
	if ok, err := r.read(t); ok || err != nil {
		return err
	}
	return fmt.Errorf("%w: nothing at %q", queue.ErrDamaged, k)
}

// read copies chunk n of the segment; ok is false if there is none.
func (r *reader) read(t *tx) (ok bool, err error) {
	b := t.bodies.Bucket(r.segment)
	if b == nil {
		return false, nil
	}
	key := append(bytes.Clone(r.segment), r.n)
	v := b.Get(key)
	if v == nil {
		return false, nil
	}
	c, err := unseal(key, v)
	if err != nil {
		return false, err
	}
	r.buf = append(r.buf[:0], c...)
	r.n++
	return true, nil
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
