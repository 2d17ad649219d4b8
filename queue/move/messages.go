package move

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/postroad/postroad/queue"
)

// moveMessages stores one batch after the other: each goes on to the end, or to a body that can't be read.
func (m *mover) moveMessages(ctx context.Context) error {
	next, stop := iter.Pull2(messages(m.from.Jobs(ctx, queue.Filter{})))
	defer stop()
	for more := true; more; {
		b := batch{mover: m, next: next}
		stored, err := enqueueAll(ctx, m.to, b.entries(ctx))
		b.body.close()
		if b.err != nil || err != nil && !b.damaged(stored) {
			return errors.Join(b.err, err)
		}
		if err != nil {
			m.Unreadable++
			if m.options.Unreadable != nil {
				m.options.Unreadable(b.latest, b.body.err)
			}
		}
		more = err != nil
	}
	return nil
}

func enqueueAll(ctx context.Context, to queue.Queue, es iter.Seq[*queue.Entry]) (durable int, err error) {
	if bulk, ok := to.(queue.Bulk); ok {
		return bulk.EnqueueAll(ctx, es)
	}
	for e := range es {
		if _, err := to.Enqueue(ctx, e); err != nil {
			return durable, err
		}
		durable++
	}
	return durable, nil
}

// messages gathers the jobs of each message, which a listing has in a row.
func messages(jobs iter.Seq2[*queue.Job, error]) iter.Seq2[[]*queue.Job, error] {
	return func(yield func([]*queue.Job, error) bool) {
		var list []*queue.Job
		for j, err := range jobs {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(list) > 0 && list[0].Key.ID != j.Key.ID {
				if !yield(list, nil) {
					return
				}
				list = nil
			}
			list = append(list, j)
		}
		if len(list) > 0 {
			yield(list, nil)
		}
	}
}

// batch is what one call stores.
type batch struct {
	*mover
	next func() ([]*queue.Job, error, bool)

	read   int // messages
	latest queue.ID
	body   *body
	err    error // of the listing
}

func (b *batch) entries(ctx context.Context) iter.Seq[*queue.Entry] {
	return func(yield func(*queue.Entry) bool) {
		for {
			jobs, err, ok := b.next()
			if b.err = err; err != nil || !ok {
				return
			}
			unfinished := unfinished(jobs)
			if jobs[0].Key.N != 0 && unfinished == 0 {
				continue // it is being purged
			}
			b.read++
			b.latest, b.body = jobs[0].Key.ID, &body{}
			if unfinished > 0 {
				b.body.open = func() (io.ReadCloser, error) { return b.from.Open(ctx, jobs[0].Key.ID) }
			}
			if !yield(&queue.Entry{Message: jobs[0].Message, Jobs: jobs, Body: b.body}) {
				return
			}
			if unfinished > 0 {
				b.Unfinished++
			} else {
				b.Finished++
			}
		}
	}
}

func unfinished(jobs []*queue.Job) (n int) {
	for _, j := range jobs {
		if j.Finished.IsZero() {
			n++
		}
	}
	return n
}

// damaged reports whether all that was read is stored but for the latest message, whose body is damaged.
func (b *batch) damaged(stored int) bool {
	return stored == b.read-1 && (errors.Is(b.body.err, io.ErrUnexpectedEOF) || errors.Is(b.body.err, queue.ErrDamaged))
}

// body reads a stored body, which it opens when it is first read. It remembers why it could not be read.
type body struct {
	open func() (io.ReadCloser, error) // nil: there is none
	r    io.ReadCloser
	err  error
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (n int, err error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case b.open == nil:
		return 0, io.EOF
	}
	if b.r == nil {
		r, err := b.open()
		if err != nil {
			b.err = err
			return 0, err
		}
		b.r = r
	}
	if n, err = b.r.Read(p); err != nil {
		b.err = err
		b.close()
	}
	return n, err
}

// close lets go of what there is to read, which may be nothing.
func (b *body) close() {
	if b != nil && b.r != nil {
		b.r.Close() // nothing depends on it
		b.r = nil
	}
}
