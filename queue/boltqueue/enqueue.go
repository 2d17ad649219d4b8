package boltqueue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postroad/postroad/queue"
)

// Enqueue implements [queue.Queue].
func (q *Queue) Enqueue(ctx context.Context, e *queue.Entry) (added bool, err error) {
	if err := q.ready(ctx); err != nil {
		return false, err
	}
	p, err := q.prepare(ctx, e, true)
	if err != nil {
		return false, err
	}
	c := &enqueue{entries: []*prepared{p}}
	_, err = q.store(ctx, c)
	return c.added == 1, err
}

// enqueue stores entries in their order, up to the first that is refused.
type enqueue struct {
	entries []*prepared
	stored  int   // so many are stored, or were before
	added   int   // so many of these are new
	refused error // why the next one isn't
}

// store has the entries of c stored and returns how many are.
func (q *Queue) store(ctx context.Context, c *enqueue) (int, error) {
	if len(c.entries) == 0 {
		return 0, nil
	}
	size := 0
	for _, p := range c.entries {
		size += p.size
	}
	err := q.submit(ctx, c, size)
	if err != nil {
		c.stored, c.added = 0, 0
	}
	q.discard(c.entries, err)
	return c.stored, cmp.Or(err, q.wrap(c.refused))
}

func (c *enqueue) limited() bool { return true }

func (c *enqueue) apply(t *tx) error {
	for _, p := range c.entries {
		known, err := p.known(t)
		if err == nil && !known {
			if err = p.full; err == nil {
				err = t.admit(p.size)
			}
		}
		if err != nil {
			c.refused = err
			return nil
		}
		if !known {
			if err := p.put(t); err != nil {
				return err
			}
			c.added++
		}
		c.stored++
	}
	return nil
}

// known reports whether the message of p is stored already; ErrConflict if another one is in its place.
func (p *prepared) known(t *tx) (bool, error) {
	m, err := t.message(p.message.ID)
	if err != nil || m == nil {
		return false, err
	}
	if m.Digest != p.message.Digest {
		return false, fmt.Errorf("%w: %q", queue.ErrConflict, m.ID)
	}
	return true, nil
}

// put stores the message of p with its jobs and its body.
func (p *prepared) put(t *tx) error {
	for _, j := range p.jobs {
		if err := j.put(t); err != nil {
			return err
		}
	}
	if p.message.Unfinished > 0 {
		t.inUse.messages++
		if err := p.putBody(t); err != nil {
			return err
		}
		t.added = append(t.added, p)
	} else if err := t.finish(p.message); err != nil {
		return err
	}
	t.saw(p.message.Enqueued)
	return t.messages().Put([]byte(p.message.ID), p.record)
}

func (p *prepared) putBody(t *tx) error {
	for i := range p.body {
		if err := p.body[i].put(t); err != nil {
			return err
		}
	}
	if p.draft.segments == 0 {
		return nil
	}
	p.adopted = true
	return t.drafts().Delete(numberKey(p.draft.body))
}

// preparedJob is a new job with its rows.
type preparedJob struct {
	*jobRecord
	rows *rows // nil if it has marks, which only the transaction can give
}

func prepareJob(j *jobRecord) preparedJob {
	ended := func(r queue.Recipient) bool { return r.State.Final() }
	if slices.ContainsFunc(j.Recipients, ended) {
		return preparedJob{j, nil}
	}
	return preparedJob{j, j.rows()}
}

func (j preparedJob) put(t *tx) error {
	if j.rows == nil {
		if err := t.mark(j.jobRecord); err != nil {
			return err
		}
		j.rows = j.jobRecord.rows()
	}
	return t.putJob(nil, j.jobRecord, j.rows)
}

// count adds a job to what its message knows of its jobs.
func (m *messageRecord) count(j *queue.Job) {
	if j.Finished.IsZero() {
		m.Unfinished++
	} else if j.Finished.After(m.Ended) {
		m.Ended = j.Finished
	}
}

// mark gives the next marks to what is final in j.
func (t *tx) mark(j *jobRecord) (err error) {
	j.GiveMarks(func() queue.Mark {
		n, failed := t.marks().NextSequence()
		err = cmp.Or(err, failed)
		return queue.Mark(n)
	})
	return err
}

// saw notes a time that a change names, so that retention can go by it.
func (t *tx) saw(at time.Time) {
	if at.After(t.latest) {
		t.latest = at
	}
}
