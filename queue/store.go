package queue

import (
	"context"
	"io"
	"slices"
	"time"
)

// What follows is for backends: the parts of Enqueue and Commit that are the same in all of them.

// ReadAll reads Body to its end, which it gives up when ctx ends, and calls Head. It returns the whole body as it is to be
// stored, for backends that can hold it in memory.
func (e *Entry) ReadAll(ctx context.Context) ([]byte, error) {
	var body, head []byte
	var err error
	if e.Body != nil {
		if body, err = io.ReadAll(&ctxReader{ctx, e.Body}); err != nil {
			return nil, err
		}
	}
	if e.Head != nil {
		if head, err = e.Head(); err != nil {
			return nil, err
		}
	}
	return append(append([]byte{}, head...), body...), nil // never nil: an empty body is one too
}

// ctxReader is a reader that ends with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// Stored returns copies of e's message and jobs as [Queue.Enqueue] stores them: with the size of the body, and without
// tokens, leases, lapses and marks. It is to be called after Body was read and Head was called.
func (e *Entry) Stored(size int64) (Message, []*Job) {
	m := e.Message
	m.Labels = slices.Clone(m.Labels)
	m.Size = size
	jobs := make([]*Job, len(e.Jobs))
	for i, j := range e.Jobs {
		c := j.Clone()
		c.Message, c.Token, c.Leased, c.Lapses = m, 0, time.Time{}, 0
		for k := range c.Recipients {
			c.Recipients[k].Mark = 0
		}
		jobs[i] = c
	}
	return m, jobs
}

// Committed returns what [Queue.Commit] of c stores in the place of j: a copy of c with the key, message, domain and marks of
// j, and without a token and a lease.
func (j *Job) Committed(c *Job) *Job {
	n := c.Clone()
	n.Key, n.Message, n.Domain, n.Token, n.Leased = j.Key, j.Message, j.Domain, 0, time.Time{}
	for i := range n.Recipients {
		r := &n.Recipients[i]
		r.Mark = 0
		if r.State.Final() && i < len(j.Recipients) {
			r.Mark = j.Recipients[i].Mark
		}
	}
	return n
}

// GiveMarks gives each recipient that is final and has no mark the one that next returns.
func (j *Job) GiveMarks(next func() Mark) {
	for i := range j.Recipients {
		if r := &j.Recipients[i]; r.State.Final() && r.Mark == 0 {
			r.Mark = next()
		}
	}
}

// Places returns the marks under which [Filter.Ended] lists j, in order: those of its recipients that no recipient of j has the
// next number of. What one commit has ended is so one place, if marks are given in a row.
func (j *Job) Places() []Mark {
	var marks []Mark
	for i := range j.Recipients {
		if m := j.Recipients[i].Mark; m != 0 {
			marks = append(marks, m)
		}
	}
	if len(marks) < 2 {
		return marks
	}
	slices.Sort(marks)
	places := marks[:0]
	for i, m := range marks {
		if i == len(marks)-1 || marks[i+1] != m+1 {
			places = append(places, m)
		}
	}
	return places
}

// At returns j as [Filter.Ended] lists it under place: without greater marks. It is a copy if there are any, else j itself.
func (j *Job) At(place Mark) *Job {
	if j.Mark() <= place {
		return j
	}
	c := j.Clone()
	for i := range c.Recipients {
		if c.Recipients[i].Mark > place {
			c.Recipients[i].Mark = 0
		}
	}
	return c
}
