package pgqueue

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/postroad/postroad/queue"
)

// Bounds of what EnqueueAll stores with one statement.
const (
	batchMessages = 500
	batchJobs     = 2000
	batchOctets   = 2 << 20
)

// batch is messages to be stored together.
type batch struct {
	list         []*prepared
	jobs, octets int
	marks        int
}

func (b *batch) fits(p *prepared) bool {
	return len(b.list) == 0 || len(b.list) < batchMessages && b.jobs+len(p.jobs) <= batchJobs &&
		b.octets+p.length() <= batchOctets && b.marks+p.marks <= maxMarks
}

func (b *batch) add(p *prepared) {
	b.list = append(b.list, p)
	b.jobs += len(p.jobs)
	b.octets += p.length()
	b.marks += p.marks
}

// fitTogether reports whether messages may be stored together.
func fitTogether(list []*prepared) bool {
	var b batch
	for _, p := range list {
		if !b.fits(p) {
			return false
		}
		b.add(p)
	}
	return true
}

// EnqueueAll implements [queue.Bulk]. Some hundred messages share a transaction. Two of these are under way at a time, and commit in
// their order, while what follows is read.
func (q *Queue) EnqueueAll(ctx context.Context, es iter.Seq[*queue.Entry]) (durable int, err error) {
	if err := q.usable(ctx); err != nil {
		return 0, err
	}
	var b batch
	last := newLoad(nil)
	last.end(0, nil)
	for e := range es {
		p, err := q.prepare(ctx, e, ownDrafts{q})
		if err != nil {
			q.drop(p)
			last = q.load(ctx, last, b.list)
			<-last.done
			return last.durable, errors.Join(last.err, err)
		}
		if !b.fits(p) {
			before := last
			last = q.load(ctx, before, b.list)
			b = batch{}
			if <-before.done; before.err != nil {
				q.drop(p)
				<-last.done
				return last.durable, last.err
			}
		}
		b.add(p)
	}
	last = q.load(ctx, last, b.list)
	<-last.done
	return last.durable, last.err
}

// load is a batch on its way.
type load struct {
	ids  map[queue.ID]bool
	done chan struct{} // closed when it is over, and what follows is known
	// durable is how many messages were stored up to this batch, and err why not all.
	durable int
	err     error
}

func newLoad(list []*prepared) *load {
	l := &load{ids: make(map[queue.ID]bool, len(list)), done: make(chan struct{})}
	for _, p := range list {
		l.ids[p.message.ID] = true
	}
	return l
}

func (l *load) end(durable int, err error) {
	l.durable, l.err = durable, err
	close(l.done)
}

// meets reports whether l has a message of the batch before. The two would wait for each other.
func (l *load) meets(before *load) bool {
	for id := range l.ids {
		if before.ids[id] {
			return true
		}
	}
	return false
}

// load begins to store a batch that is to commit after the one before.
func (q *Queue) load(ctx context.Context, before *load, list []*prepared) *load {
	l := newLoad(list)
	go func() {
		if l.meets(before) {
			<-before.done
		}
		n, err := q.store(ctx, list, before.turn)
		<-before.done
		if errors.Is(err, errTooEarly) && before.err == nil {
			n, err = q.store(ctx, list, func() error { return nil })
		}
		if before.err != nil {
			q.drop(list...)
			err = before.err
		}
		l.end(before.durable+n, err)
	}()
	return l
}

// patience is how long a batch waits for the one before. That can take long only if it waits for somebody else who enqueues the same,
// or has to be begun anew, and then the two may be in each other's way.
const patience = 5 * time.Second

// errTooEarly means that the batch before is not stored.
var errTooEarly = errors.New("pgqueue: the batch before is not stored")

// turn waits until the next batch may commit.
func (l *load) turn() error {
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case <-l.done:
		if l.err != nil {
			return verdict{errTooEarly}
		}
		return nil
	case <-over.C:
		return verdict{errTooEarly}
	}
}

// store stores messages in one transaction, up to the first that can't be, when it is their turn. It returns how many these are.
func (q *Queue) store(ctx context.Context, list []*prepared, turn func() error) (n int, err error) {
	if len(list) == 0 {
		return 0, nil
	}
	bad := 0
	err = q.write(ctx, func(ctx context.Context, a *attempt) error {
		return a.transaction(ctx, func() (err error) {
			if bad, err = q.putAll(ctx, q.own(a.conn), list); err != nil {
				return err
			}
			return turn()
		})
	})
	switch {
	case err == nil:
		q.announce()
		return len(list), nil
	case errors.Is(err, queue.ErrInDoubt), errors.Is(err, errTooEarly):
		return 0, err // what was written ahead may be needed
	case errors.Is(err, queue.ErrConflict) && bad > 0:
		good, failed := q.store(ctx, list[:bad], turn)
		if failed != nil {
			return good, failed
		}
		n = good
	}
	q.drop(list[n:]...)
	return n, err
}
