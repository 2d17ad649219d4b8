package pgqueue

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

// Open implements [queue.Queue]. The first 256 KiB come with it, the others when they are read. ctx also ends the reading.
func (q *Queue) Open(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if err := q.usable(ctx); err != nil {
		return nil, err
	}
	if !id.Valid() {
		return nil, fmt.Errorf("pgqueue: %w: %.100q", queue.ErrNotFound, id)
	}
	r := &reader{q: q, ctx: ctx, id: id}
	if head, octets, found := q.fresh.take(id, time.Now()); found {
		r.pieces, r.left = [][]byte{octets}, int64(len(head)+len(octets))
		if len(head) > 0 {
			r.pieces = [][]byte{head, octets}
		}
		return r, nil
	}
	found := false
	err := q.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		r.pieces, found = nil, false
		return q.own(c).each(ctx, q.sql["open"], []any{string(id)}, func(scan func(...any) error) error {
			found = true
			var n *int
			var octets []byte
			if err := scan(&r.body, &r.left, &n, &octets); err != nil || n == nil {
				return err
			}
			r.add(*n, octets)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("pgqueue: %w: %s", queue.ErrNotFound, id)
	}
	return r, nil
}

// reader reads a body.
type reader struct {
	q      *Queue
	ctx    context.Context
	id     queue.ID
	body   int64
	left   int64 // octets that are still to be returned
	last   int   // the number of the last piece
	pieces [][]byte
	closed bool
}

func (r *reader) add(n int, octets []byte) {
	r.pieces = append(r.pieces, octets)
	r.last = n
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	switch {
	case r.closed:
		return 0, fmt.Errorf("pgqueue: body of %s: %w", r.id, io.ErrClosedPipe)
	case len(p) == 0:
		return 0, nil
	case r.left == 0:
		return 0, io.EOF
	}
	if len(r.pieces) == 0 {
		if err := r.fetch(); err != nil {
			return 0, err
		}
	}
	piece := r.pieces[0]
	n := copy(p[:min(int64(len(p)), r.left)], piece)
	r.left -= int64(n)
	if r.pieces[0] = piece[n:]; n == len(piece) {
		r.pieces = r.pieces[1:]
	}
	return n, nil
}

// fetch reads the next pieces.
func (r *reader) fetch() error {
	err := r.q.read(r.ctx, func(ctx context.Context, c *pgx.Conn) error {
		r.pieces = nil
		return r.q.own(c).each(ctx, r.q.sql["read"], []any{r.body, r.last}, func(scan func(...any) error) error {
			var n int
			var octets []byte
			if err := scan(&n, &octets); err != nil {
				return err
			}
			r.add(n, octets)
			return nil
		})
	})
	if err == nil && len(r.pieces) == 0 {
		err = fmt.Errorf("pgqueue: body of %s: %d octets are missing: %w", r.id, r.left, io.ErrUnexpectedEOF)
	}
	return err
}

// Close implements [io.Closer].
func (r *reader) Close() error {
	r.closed, r.pieces = true, nil
	return nil
}
