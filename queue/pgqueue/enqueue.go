package pgqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

// maxMarks is how many recipients can end in one transaction; see ended.sql.
const maxMarks = 1<<20 - 1

// Enqueue implements [queue.Queue]. A message of up to 256 KiB is one statement, which callers that are waiting share; a larger
// one is written ahead, 256 KiB to a transaction.
func (q *Queue) Enqueue(ctx context.Context, e *queue.Entry) (added bool, err error) {
	_, added, err = q.arrive(ctx, e, nil)
	return added, err
}

// arrive stores a message, and leases what l asks for, if it isn't nil.
func (q *Queue) arrive(ctx context.Context, e *queue.Entry, l *queue.LeaseRequest) (leased []*queue.Job, added bool, err error) {
	if err := q.usable(ctx); err != nil {
		return nil, false, err
	}
	p, err := q.prepare(ctx, e, ownDrafts{q})
	if err == nil && l != nil {
		err = q.lease(ctx, e, p, l)
	}
	if err != nil {
		q.drop(p)
		return nil, false, err
	}
	err = q.arrivals.do(ctx, p)
	switch {
	case errors.Is(err, queue.ErrInDoubt): // it may still be on its way
		q.untold.add(p.tokens, time.Now())
		return nil, false, err
	case err != nil:
		q.drop(p)
		return nil, false, err
	case !p.added:
		return nil, false, nil
	}
	q.fresh.add(p, time.Now())
	if len(p.leased) < p.message.Unfinished {
		q.announce()
	}
	return p.leased, true, nil
}

// enqueue stores a message by itself.
func (q *Queue) enqueue(ctx context.Context, p *prepared) error {
	if err := q.enqueueTogether(ctx, []*prepared{p}); err != nil || p.added {
		return err
	}
	q.drop(p)
	return q.read(ctx, func(ctx context.Context, c *pgx.Conn) error { return q.known(ctx, q.own(c), p) })
}

// enqueueTogether stores messages in one transaction, and notes which of them were not stored before.
func (q *Queue) enqueueTogether(ctx context.Context, list []*prepared) error {
	return q.write(ctx, func(ctx context.Context, a *attempt) error {
		var stored map[int]bool
		put := func() (err error) {
			stored, err = q.put(ctx, q.own(a.conn), list...)
			return err
		}
		var err error
		if slices.ContainsFunc(list, (*prepared).special) {
			err = a.transaction(ctx, put)
		} else {
			a.handed = true
			err = put()
		}
		for i, p := range list {
			p.added = err == nil && stored[i]
		}
		return err
	})
}

// special reports whether it takes more than one statement to store the message.
func (p *prepared) special() bool { return p.message.Draft != nil || p.marks > 0 }

// put stores messages and returns which of them were not stored before. If none is special it is one statement.
func (q *Queue) put(ctx context.Context, s session, list ...*prepared) (stored map[int]bool, err error) {
	drafts, err := q.take(ctx, s, list)
	if err != nil {
		return nil, err
	}
	messages := make([]messageRow, 0, len(list))
	var jobs []jobRow
	octets := q.together(list)
	defer q.buffers.Put(octets)
	marks, at := 0, 0
	for i, p := range list {
		row := p.message
		row.I, row.At = i, at
		at += p.length()
		if row.Draft != nil && !drafts[*row.Draft] {
			continue // it was swept
		}
		messages = append(messages, row)
		for _, j := range p.jobs {
			j.I = i
			j.Marks = shifted(j.Marks, marks)
			jobs = append(jobs, j)
		}
		marks += p.marks
	}
	if marks > maxMarks {
		return nil, verdict{fmt.Errorf("pgqueue: %w: more than %d recipients have ended", queue.ErrInvalid, maxMarks)}
	}
	given, err := encodeRows(s, q.types.message, messages)
	if err != nil {
		return nil, err
	}
	listed, err := encodeRows(s, q.types.job, jobs)
	if err != nil {
		return nil, err
	}
	stored = make(map[int]bool, len(list))
	err = s.each(ctx, q.statement(s, "put"), []any{given, listed, *octets}, func(scan func(...any) error) error {
		var i int
		err := scan(&i)
		stored[i] = true
		return err
	})
	if err == nil {
		err = q.complete(ctx, s, list, stored)
	}
	return stored, err
}

// take returns which of the drafts of messages are still there, and has them stay.
func (q *Queue) take(ctx context.Context, s session, list []*prepared) (drafts map[int64]bool, err error) {
	var bodies []int64
	for _, p := range list {
		if p.message.Draft != nil {
			bodies = append(bodies, *p.message.Draft)
		}
	}
	if bodies == nil {
		return nil, nil
	}
	text, err := jsonText(bodies)
	if err != nil {
		return nil, err
	}
	drafts = make(map[int64]bool)
	err = s.each(ctx, q.sql["take"], []any{text}, func(scan func(...any) error) error {
		var body int64
		err := scan(&body)
		drafts[body] = true
		return err
	})
	return drafts, err
}

// complete has the messages that were stored own their drafts, and gives marks to recipients that have ended.
func (q *Queue) complete(ctx context.Context, s session, list []*prepared, stored map[int]bool) error {
	var drafts []int64
	var ended []queue.ID
	for i, p := range list {
		if stored[i] && p.message.Draft != nil {
			drafts = append(drafts, *p.message.Draft)
		}
		if stored[i] && p.marks > 0 {
			ended = append(ended, p.message.ID)
		}
	}
	if drafts != nil {
		if err := q.change(ctx, s, "adopt", drafts); err != nil {
			return err
		}
	}
	if ended != nil {
		return q.change(ctx, s, "mark", ended)
	}
	return nil
}

// change runs a statement that takes a list and returns nothing.
func (q *Queue) change(ctx context.Context, s session, statement string, list any) error {
	text, err := jsonText(list)
	if err != nil {
		return err
	}
	_, err = one(ctx, s, q.sql[statement], []any{text})
	return err
}

// together has the bodies of messages one behind the other, in memory that is used again and again.
func (q *Queue) together(list []*prepared) *[]byte {
	octets := q.buffers.Get().(*[]byte)
	*octets = (*octets)[:0]
	for _, p := range list {
		*octets = append(append(*octets, p.head...), p.octets...)
	}
	return octets
}

// shifted counts marks on from those of the messages before.
func shifted(marks []int, by int) []int {
	if by == 0 || marks == nil {
		return marks
	}
	list := make([]int, len(marks))
	for i, m := range marks {
		if m > 0 {
			list[i] = m + by
		}
	}
	return list
}

// known returns nil if the message that was not stored is there already.
func (q *Queue) known(ctx context.Context, s session, p *prepared) error {
	var digest []byte
	found, err := one(ctx, s, q.sql["digest"], []any{string(p.message.ID)}, &digest)
	switch {
	case err != nil:
		return err
	case found && [32]byte(digest) == p.digest:
		return nil
	case found:
		return verdict{fmt.Errorf("pgqueue: %w: %s", queue.ErrConflict, p.message.ID)}
	case p.message.Draft != nil:
		return verdict{errSwept}
	}
	return verdict{fmt.Errorf("%w: %s was removed while it was enqueued again", ErrUnavailable, p.message.ID)}
}

// putAll stores messages in a transaction, but for those that are stored already. The first that is in conflict with what is
// stored is the error, and its number returned.
func (q *Queue) putAll(ctx context.Context, s session, list []*prepared) (bad int, err error) {
	stored, err := q.put(ctx, s, list...)
	if err != nil {
		return 0, err
	}
	for i, p := range list {
		if !stored[i] {
			if err := q.known(ctx, s, p); err != nil {
				return i, err
			}
		}
	}
	return len(list), nil
}
