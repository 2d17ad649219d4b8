package pgqueue

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

const (
	// firstPieces come with a body that is opened alone: 256 KiB, about. sharedPieces do if several are opened together, of whom there
	// are sharedOpens at most: 1 MiB of all.
	firstPieces, sharedPieces = 32, 4
	sharedOpens               = 32
)

// Open implements [queue.Queue]. The first 256 KiB come with it, the others when they are read. Callers that are waiting share a statement, with
// which 32 KB of each come. ctx also ends the reading.
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
	if err := q.readings.do(ctx, r); err != nil {
		return nil, err
	}
	return r, nil
}

// open opens a body by itself.
func (q *Queue) open(ctx context.Context, r *reader) error {
	err := q.openAll(ctx, []*reader{r}, firstPieces)
	if err == nil && !r.found {
		err = fmt.Errorf("pgqueue: %w: %s", queue.ErrNotFound, r.id)
	}
	return err
}

// openTogether opens those bodies that are there.
func (q *Queue) openTogether(ctx context.Context, list []*reader) error {
	return q.openAll(ctx, list, sharedPieces)
}

func (q *Queue) openAll(ctx context.Context, list []*reader, pieces int) error {
	ids := make([]queue.ID, len(list))
	for i, r := range list {
		ids[i] = r.id
	}
	text, err := jsonText(ids)
	if err != nil {
		return err
	}
	args := []any{text, strconv.Itoa(pieces)} // both are text, which takes the pipeline
	return q.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		for _, r := range list {
			r.pieces, r.found = nil, false
		}
		return q.own(c).each(ctx, q.sql["open"], args, func(scan func(...any) error) error {
			var i int
			var body, size int64
			var n *int
			var octets []byte
			if err := scan(&i, &body, &size, &n, &octets); err != nil {
				return err
			}
			r := list[i-1]
			r.body, r.left, r.found = body, size, true
			if n != nil {
				r.add(*n, octets)
			}
			return nil
		})
	})
}

func openFit(list []*reader) bool { return len(list) <= sharedOpens }

// reader reads a body.
type reader struct {
	q      *Queue
	ctx    context.Context
	id     queue.ID
	found  bool // it is there
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
