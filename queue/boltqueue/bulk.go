package boltqueue

import (
	"cmp"
	"context"
	"iter"

	"github.com/postroad/postroad/queue"
)

// bulkSize is how much EnqueueAll stores in one transaction. It holds as much again for the next one.
const bulkSize = 2 << 20

// EnqueueAll implements [queue.Bulk]. While one transaction is written, entries for the next are read.
func (q *Queue) EnqueueAll(ctx context.Context, es iter.Seq[*queue.Entry]) (durable int, err error) {
	if err := q.ready(ctx); err != nil {
		return 0, err
	}
	b := bulk{q: q, ctx: ctx, next: new(enqueue)}
	for e := range es {
		p, err := q.prepare(ctx, e)
		if err != nil { // those before it are fine, and come first
			err = cmp.Or(b.flush(), err)
			return b.durable, err
		}
		if err := b.add(p); err != nil {
			return b.durable, err
		}
	}
	err = b.flush()
	return b.durable, err
}

// bulk is one call of EnqueueAll.
type bulk struct {
	q       *Queue
	ctx     context.Context
	durable int
	next    *enqueue      // what has been read
	size    int           // of that
	under   chan struct{} // closed when what is under way to the disk has been stored; nil if nothing is
	n       int           // so many of that are
	err     error         // why not all
}

// add stores what has been read if it is enough.
func (b *bulk) add(p *prepared) error {
	b.next.entries = append(b.next.entries, p)
	if b.size += p.size; b.size < bulkSize {
		return nil
	}
	return b.store()
}

// store sends what has been read on its way, once all before it is stored.
func (b *bulk) store() error {
	c := b.next
	b.next, b.size = new(enqueue), 0
	if err := b.wait(); err != nil {
		b.q.discard(c.entries, err)
		return err
	}
	b.under = make(chan struct{})
	go func() {
		defer close(b.under)
		b.n, b.err = b.q.store(b.ctx, c)
	}()
	return nil
}

// wait waits for what is under way.
func (b *bulk) wait() error {
	if b.under == nil {
		return nil
	}
	<-b.under
	b.under = nil
	b.durable += b.n
	return b.err
}

// flush stores everything that has been read.
func (b *bulk) flush() error { return cmp.Or(b.store(), b.wait()) }
