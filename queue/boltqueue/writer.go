package boltqueue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// change is what a caller wants of the file.
type change interface {
	// apply makes the change in t, or notes in itself why it is refused and leaves t alone. An error is the storage's,
	// and fails the whole transaction.
	apply(t *tx) error
}

// member is a change that waits for the writer.
type member struct {
	change               // nil if it only waits for a doubt to be settled
	size   int           // octets it adds, roughly
	err    error         // what became of the transaction; to be read after done
	done   chan struct{} // closed when the transaction has ended
}

// groupSize bounds what one transaction takes in, since bbolt holds it in memory.
const groupSize = 4 << 20

// submit hands c to the writer and waits for the end of its transaction, also if ctx ends meanwhile: the change may
// be on its way to the disk, and the caller is to hear the truth.
func (q *Queue) submit(ctx context.Context, c change, size int) error {
	if err := ctx.Err(); err != nil {
		return q.wrap(err)
	}
	m := &member{change: c, size: size, done: make(chan struct{})}
	if err := q.enter(m); err != nil {
		return err
	}
	<-m.done
	return m.err
}

// enter puts m at the end of the line to the writer.
func (q *Queue) enter(m *member) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.unusable(); err != nil {
		return err
	}
	q.waiting = append(q.waiting, m)
	if len(q.waiting) < q.enough {
		return nil // the writer rests, and takes m when it goes on
	}
	select {
	case q.wake <- struct{}{}:
	default: // it is awake, and will look again
	}
	return nil
}

// write is the only goroutine that changes the file. Whatever waits when a transaction ends shares the next one and its
// sync. A lone caller pays for one commit and no delay; after a transaction of several there is a rest.
func (q *Queue) write() {
	defer close(q.stopped)
	for open := true; open; {
		select {
		case <-q.wake:
		case <-q.closing: // nobody joins the line any more, but those in it are served
			open = false
		}
		for group := q.nextGroup(); len(group) > 0; group = q.nextGroup() {
			began := time.Now()
			if fit := q.makeRoom(group); len(fit) > 0 {
				err := q.commitGroup(fit)
				for _, m := range fit {
					m.err = q.wrap(q.outcome(m, err))
				}
			}
			for _, m := range group {
				close(m.done)
			}
			if len(group) > 1 && open {
				q.rest(len(group), time.Since(began))
			}
		}
	}
}

// maxRest bounds the rest after a transaction.
const maxRest = 2 * time.Millisecond

// rest waits after a transaction until as many wait for the next one, but no longer than it took. Those who have shared it are just
// about to come back. To take the first of them at once, and leave the others to yet another transaction, cost a third more syncs
// and a twentieth of the processor time.
func (q *Queue) rest(enough int, took time.Duration) {
	if !q.await(enough) {
		return
	}
	over := time.NewTimer(min(took, maxRest))
	defer over.Stop()
	select {
	case <-q.wake:
	case <-over.C:
	case <-q.closing:
	}
	q.await(0)
}

// await has the writer be woken when so many wait, and not before. It reports false if they do already.
func (q *Queue) await(enough int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.enough = 0; len(q.waiting) >= enough {
		return false
	}
	q.enough = enough
	select {
	case <-q.wake: // for those who wait already
	default:
	}
	return true
}

// nextGroup takes members off the line, in order, up to groupSize.
func (q *Queue) nextGroup() []*member {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.waiting) && (n == 0 || size+q.waiting[n].size <= groupSize) {
		size += q.waiting[n].size
		n++
	}
	group := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return group
}

// commitGroup makes the changes of group in one transaction, and then brings leases and lanes in memory up to date.
func (q *Queue) commitGroup(group []*member) error {
	if err := q.settleDoubt(); err != nil {
		return err
	}
	group = slices.DeleteFunc(slices.Clone(group), func(m *member) bool { return m.change == nil })
	if len(group) == 0 {
		return nil
	}
	var t *tx
	var oldest time.Time
	inUse := q.limits.now()
	q.known.Lock()
	defer q.known.Unlock()
	q.claims.spend(group)
	defer q.claims.unspend(group)
	err := q.update(func(b *bolt.Tx) (err error) {
		if t, err = q.newTx(b); err != nil {
			return err
		}
		t.limits, t.fresh, t.inUse = q.limits, q.fresh, inUse
		for _, m := range group {
			if err := m.apply(t); err != nil {
				return err
			}
		}
		if t.inUse.messages != inUse.messages {
			if err := putNumber(t.file(), unfinishedKey, uint64(max(0, t.inUse.messages))); err != nil {
				return err
			}
		}
		oldest, err = t.purge(q.retention.saw(t.latest), purgeLimit(len(group))+t.purges)
		return err
	})
	if t == nil {
		return err
	}
	q.report(t.unreadable)
	stored := func() {
		q.claims.settle(t, true)
		q.retention.committed(oldest)
		q.measure(t.inUse.messages)
	}
	switch {
	case err == nil:
		stored()
		for _, p := range t.added {
			q.fresh.add(p)
		}
	case errors.Is(err, queue.ErrInDoubt):
		q.doubt.ids, q.doubt.stored = t.ids, stored
	default:
		q.claims.settle(t, false)
		q.measure(inUse.messages)
	}
	return err
}

// measure notes what is in use after a transaction, with so many unfinished messages.
func (q *Queue) measure(messages int64) {
	q.room.measure()
	q.limits.committed(q.room.inUse(), messages)
}

// update runs fn in a writing transaction and commits it.
//
// bbolt writes and syncs the pages, then writes and syncs the meta page that makes them the newest state. An error of Commit
// doesn't say which of these failed, but the file does: as long as the old meta page is the one that is read, the new state
// can never appear, and the change has failed. If the new one is read, only its sync can have failed, and nobody knows
// which of the two a power loss would leave: the change is in doubt.
//
// It doesn't use bbolt's Update, which looks for free pages in the whole file if fn panics, in a goroutine of its own.
func (q *Queue) update(fn func(*bolt.Tx) error) (err error) {
	defer rescue(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	b, err := q.db.Begin(true)
	if err != nil {
		return err
	}
	defer b.Rollback() // does nothing after Commit
	if err := fn(b); err != nil {
		return err
	}
	id := b.ID()
	if err = b.Commit(); err == nil {
		return nil
	}
	visible := false
	if e := q.db.View(func(b *bolt.Tx) error { visible = b.ID() >= id; return nil }); e != nil || !visible {
		return err
	}
	q.raiseDoubt()
	return fmt.Errorf("%w: %w", queue.ErrInDoubt, err)
}

// view runs fn in a reading transaction. fn must not wait for a mutex of q: when the file grows, the writer waits for the
// readers there are and holds up new ones, so a holder of the mutex that begins to read would wait for ever.
func (q *Queue) view(fn func(*tx) error) (err error) {
	q.mu.Lock()
	err = q.unusable()
	q.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() { err = q.wrap(err) }()
	var unreadable []Unreadable
	defer func() { q.report(unreadable) }()
	defer rescue(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return q.db.View(func(b *bolt.Tx) error {
		t, err := q.newTx(b)
		if err != nil {
			return err
		}
		err = fn(t)
		unreadable = t.unreadable
		return err
	})
}

// rescue makes an error of a panic: bbolt panics when a page it reads isn't what it should be, and a damaged file must
// not end the program. Its transactions roll back on the way up, so the file is as it was. With SetPanicOnFault that is so
// for pages, too, that can't be read at all. What makes bbolt go round in circles, or fail in a goroutine of its own, can't
// be caught like this; Open looks for that.
func rescue(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", queue.ErrDamaged, p)
	}
}
