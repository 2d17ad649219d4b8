package boltqueue

import (
	"cmp"
	"context"
	"fmt"
	"iter"
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

// EnqueueAll implements [queue.Bulk].
func (q *Queue) EnqueueAll(ctx context.Context, es iter.Seq[*queue.Entry]) (durable int, err error) {
	if err := q.ready(ctx); err != nil {
		return 0, err
	}
	c, size := new(enqueue), 0
	for e := range es {
		p, err := q.prepare(ctx, e, true)
		if err != nil { // those before it are fine, and come first
			n, before := q.store(ctx, c)
			return durable + n, cmp.Or(before, err)
		}
		c.entries = append(c.entries, p)
		if size += p.inMemory(); size < bulkSize {
			continue
		}
		n, err := q.store(ctx, c)
		durable += n
		if err != nil {
			return durable, err
		}
		c, size = new(enqueue), 0
	}
	n, err := q.store(ctx, c)
	return durable + n, err
}

// bulkSize is how much EnqueueAll holds in memory to store it in one transaction.
const bulkSize = 1 << 20

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
		size += p.inMemory()
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
				err = t.admit(p.inMemory())
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
	m, err := t.message(p.Message.ID)
	if err != nil || m == nil {
		return false, err
	}
	if m.Digest != p.Message.Digest {
		return false, fmt.Errorf("%w: %q", queue.ErrConflict, m.ID)
	}
	return true, nil
}

// put stores the message of p with its jobs and its body.
func (p *prepared) put(t *tx) error {
	m := &messageRecord{Message: p.Message}
	for _, j := range p.jobs {
		m.count(j)
		if err := t.mark(j); err != nil {
			return err
		}
		if err := t.putJob(nil, j); err != nil {
			return err
		}
	}
	if m.Unfinished > 0 {
		t.inUse.messages++
		var err error
		if m.Body, err = p.putBody(t); err != nil {
			return err
		}
	} else if err := t.finish(m); err != nil {
		return err
	}
	t.saw(m.Enqueued)
	return t.putMessage(m)
}

// count adds a job to what its message knows of its jobs.
func (m *messageRecord) count(j *jobRecord) {
	if j.Finished.IsZero() {
		m.Unfinished++
	} else if j.Finished.After(m.Ended) {
		m.Ended = j.Finished
	}
}

// mark gives the next marks to what is final in j.
func (t *tx) mark(j *jobRecord) (err error) {
	j.GiveMarks(func() queue.Mark {
		n, failed := t.marks.NextSequence()
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
