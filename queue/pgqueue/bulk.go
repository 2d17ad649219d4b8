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
		b.octets+len(p.octets) <= batchOctets && b.marks+p.marks <= maxMarks
}

func (b *batch) add(p *prepared) {
	b.list = append(b.list, p)
	b.jobs += len(p.jobs)
	b.octets += len(p.octets)
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

// EnqueueAll implements [queue.Bulk]. Some hundred messages share a transaction; while one commits the next one is filled, and
// what follows is read.
func (q *Queue) EnqueueAll(ctx context.Context, es iter.Seq[*queue.Entry]) (durable int, err error) {
	if err := q.usable(ctx); err != nil {
		return 0, err
	}
	var b batch
	last := newLoad()
	last.end(0, nil)
	for e := range es {
		p, err := prepare(ctx, e, ownDrafts{q})
		if err != nil {
			q.drop(p)
			last = q.load(ctx, last, b.list)
			<-last.done
			return last.durable, errors.Join(last.err, err)
		}
		if !b.fits(p) {
			last = q.load(ctx, last, b.list)
			b = batch{}
			if <-last.ready; last.failed() {
				q.drop(p)
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
	ready chan struct{} // closed when it is about to commit, or over: the next one may begin
	done  chan struct{} // closed when it is over, and what follows is known
	// durable is how many messages were stored up to this batch, and err why not all.
	durable int
	err     error
}

func newLoad() *load { return &load{ready: make(chan struct{}), done: make(chan struct{})} }

func (l *load) end(durable int, err error) {
	l.durable, l.err = durable, err
	l.begin()
	close(l.done)
}

// begin lets the next one begin.
func (l *load) begin() {
	select {
	case <-l.ready:
	default:
		close(l.ready)
	}
}

// failed reports whether l is over with an error.
func (l *load) failed() bool {
	select {
	case <-l.done:
		return l.err != nil
	default:
		return false
	}
}

// load begins to store a batch after the one before, which is ready.
func (q *Queue) load(ctx context.Context, before *load, list []*prepared) *load {
	l := newLoad()
	go func() {
		n, err := q.store(ctx, list, func() error { return l.turn(before) })
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

// patience is how long a batch waits for the one before. That can take long only if it has to be begun anew, and then the two may be
// in each other's way.
const patience = 5 * time.Second

// errTooEarly means that the batch before is not stored.
var errTooEarly = errors.New("pgqueue: the batch before is not stored")

// turn waits until l may commit.
func (l *load) turn(before *load) error {
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case <-before.done:
		if before.err != nil {
			return verdict{errTooEarly}
		}
		l.begin()
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
			if bad, err = q.putAll(ctx, pgxSession{a.conn}, list); err != nil {
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
