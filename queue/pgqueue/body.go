package pgqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/postroad/postroad/queue"
)

const (
	// segmentSize is how much of a body is sent to the database at once. A body that is no larger goes with its message.
	segmentSize = 256 << 10
	// pieceSize is how much of a body is in a row; the statements know it, too.
	pieceSize = 8000
	// smallBody is the room that reading a body begins with, and largeBody how much of it is kept for the next one.
	smallBody = 16 << 10
	largeBody = 64 << 10
)

// drafts writes bodies ahead.
type drafts interface {
	begin(ctx context.Context) (body int64, err error)
	write(ctx context.Context, body int64, piece int, octets []byte) error
}

// prepared is an entry whose body has been read to its end.
type prepared struct {
	message messageRow
	jobs    []jobRow
	stored  []*queue.Job // what jobs are made of
	leased  []*queue.Job // those that are leased as they are stored
	tokens  []int64      // theirs
	head    []byte       // what Head returned
	octets  []byte       // the body, unless that was written ahead
	marks   int          // of recipients that have ended
	due     bool         // a job is due at once
	digest  [32]byte
	added   bool // it wasn't stored before, and now is
}

// prepare checks e and reads its body. What is more than a segment is written ahead.
func (q *Queue) prepare(ctx context.Context, e *queue.Entry, to drafts) (*prepared, error) {
	if err := e.Check(); err != nil {
		return nil, fmt.Errorf("pgqueue: %w", err)
	}
	room := q.rooms.Get().(*[]byte)
	p := &prepared{}
	size, err := p.read(ctx, e, to, room)
	if cap(*room) <= largeBody {
		q.rooms.Put(room)
	}
	if err != nil {
		return p, err
	}
	var m queue.Message
	m, p.stored = e.Stored(size)
	if err := p.encode(&m, p.stored); err != nil {
		return p, err
	}
	return p, nil
}

// read reads e's Body, by way of room, and calls its Head.
func (p *prepared) read(ctx context.Context, e *queue.Entry, to drafts, room *[]byte) (size int64, err error) {
	for piece, more := 0, e.Body != nil; more; {
		*room, err = fill(ctx, (*room)[:0], e.Body)
		if err != nil && err != io.EOF {
			return 0, fmt.Errorf("pgqueue: reading %s: %w", e.Message.ID, err)
		}
		more = err == nil
		size += int64(len(*room))
		if !more && p.message.Draft == nil {
			p.octets = bytes.Clone(*room)
			break
		}
		if err := p.ahead(ctx, to, piece, *room); err != nil {
			return 0, err
		}
		piece += (len(*room) + pieceSize - 1) / pieceSize
	}
	if e.Head == nil {
		return size, nil
	}
	head, err := e.Head()
	if err != nil {
		return 0, fmt.Errorf("pgqueue: the head of %s: %w", e.Message.ID, err)
	}
	p.head = head
	return size + int64(len(head)), nil
}

// length is how many octets go with the message.
func (p *prepared) length() int { return len(p.head) + len(p.octets) }

// ahead writes a segment of the body ahead.
func (p *prepared) ahead(ctx context.Context, to drafts, piece int, segment []byte) error {
	if p.message.Draft == nil {
		body, err := to.begin(ctx)
		if err != nil {
			return err
		}
		p.message.Draft = &body
	}
	if len(segment) == 0 {
		return nil
	}
	return to.write(ctx, *p.message.Draft, piece, segment)
}

// fill reads r until b, which begins small, is a full segment. At the end of r the error is io.EOF.
func fill(ctx context.Context, b []byte, r io.Reader) ([]byte, error) {
	for len(b) < segmentSize {
		if err := ctx.Err(); err != nil {
			return b, err
		}
		if len(b) == cap(b) {
			grown := make([]byte, len(b), min(4*cap(b), segmentSize))
			copy(grown, b)
			b = grown
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// encode makes the rows of p.
func (p *prepared) encode(m *queue.Message, jobs []*queue.Job) error {
	if err := checkMoments(m.Enqueued, m.Expires); err != nil {
		return err
	}
	p.digest = m.Digest
	row := messageRow{
		ID: m.ID, Digest: hexBytes(m.Digest), Sender: m.From, Tenant: m.Tenant, Priority: m.Priority, Labels: append([]string{}, m.Labels...), Size: m.Size,
		Enqueued: moment(m.Enqueued), Expires: moment(m.Expires), UTF8: m.UTF8, EightBit: m.EightBit, Return: m.Return,
		Envelope: m.EnvelopeID, TLS: m.TLS, Draft: p.message.Draft,
	}
	p.jobs = make([]jobRow, 0, len(jobs))
	for _, j := range jobs {
		if j.Finished.IsZero() {
			row.Unfinished++
			p.due = p.due || !j.Due.After(m.Enqueued)
		} else if ended := moment(j.Finished); row.Ended == nil || ended.After(*row.Ended) {
			row.Ended = ended
		}
		if err := p.encodeJob(j); err != nil {
			return err
		}
	}
	if row.Unfinished > 0 {
		row.Ended = nil
	} else {
		p.head, p.octets = nil, nil // nobody is going to read it
	}
	row.Length = p.length()
	p.message = row
	return nil
}

func (p *prepared) encodeJob(j *queue.Job) error {
	if err := checkMoments(j.Due, j.Finished); err != nil {
		return err
	}
	recipients, err := encodeRecipients(j.Recipients)
	if err != nil {
		return err
	}
	attempts, err := encodeAttempts(j.Attempts)
	if err != nil {
		return err
	}
	row := jobRow{
		N: j.Key.N, Lane: newLaneID(j.Domain, j.Message.Tenant, j.Message.Priority), Domain: j.Domain, Due: moment(j.Due),
		Finished: moment(j.Finished), Held: j.Held, Via: j.Via, Tries: j.Tries, Recipients: recipients, Attempts: attempts,
	}
	for i := range j.Recipients {
		if j.Recipients[i].State.Final() {
			if row.Marks == nil {
				row.Marks = make([]int, len(j.Recipients))
			}
			p.marks++
			row.Marks[i] = p.marks
		}
	}
	p.jobs = append(p.jobs, row)
	return nil
}

// ownDrafts are written in transactions of their own.
type ownDrafts struct{ *Queue }

func (d ownDrafts) begin(ctx context.Context) (body int64, err error) {
	err = d.Queue.write(ctx, func(ctx context.Context, a *attempt) (err error) {
		body, err = draftsIn{d.Queue, d.own(a.conn)}.begin(ctx)
		return err
	})
	return body, err
}

func (d ownDrafts) write(ctx context.Context, body int64, piece int, octets []byte) error {
	return d.Queue.write(ctx, func(ctx context.Context, a *attempt) error {
		return draftsIn{d.Queue, d.own(a.conn)}.write(ctx, body, piece, octets)
	})
}

// draftsIn are written in a transaction.
type draftsIn struct {
	*Queue
	session
}

func (d draftsIn) begin(ctx context.Context) (body int64, err error) {
	_, err = one(ctx, d.session, d.sql["draft"], nil, &body)
	return body, err
}

func (d draftsIn) write(ctx context.Context, body int64, piece int, octets []byte) error {
	found, err := one(ctx, d.session, d.sql["ahead"], []any{body, piece, octets}, &body)
	if err == nil && !found {
		err = verdict{errSwept}
	}
	return err
}

// errSwept is what comes of a body that nothing was read of for a day.
var errSwept = errors.New("pgqueue: what was stored of the body was swept away, since it took more than a day to read; enqueue it again")

// drop removes what was written ahead for nothing. What it fails to remove is swept some day.
func (q *Queue) drop(list ...*prepared) {
	for _, p := range list {
		if p == nil || p.message.Draft == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(q.life, grace)
		_ = q.write(ctx, func(ctx context.Context, a *attempt) error {
			_, err := a.conn.Exec(ctx, q.sql["drop"], *p.message.Draft)
			return err
		})
		cancel()
	}
}
