package boltqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Queue is a queue in a file. It implements [queue.Queue], [queue.Bulk], [queue.Notes] and [queue.Depths].
type Queue struct {
	path      string
	db        *bolt.DB
	file      *os.File // the one that db works on
	claims    *claims
	limits    *limits
	observer  *observer
	retention *retention
	room      *room
	lastBody  atomic.Uint64 // names the latest body
	memory    memory        // for bodies on their way in
	fresh     *fresh
	wake      chan struct{} // holds one token while somebody waits
	closing   chan struct{} // closed by Close
	stopped   chan struct{} // closed when the writer has ended

	// known is held for writing from before changes become visible until the lanes in memory know of them, and for reading by
	// who lists lanes: a job that moves from one to another is to be seen in one of them.
	known sync.RWMutex

	mu      sync.Mutex // guards all below
	waiting []*member  // the line to the writer
	enough  int        // the writer rests until so many are in it; below 2: it doesn't rest
	closed  bool
	doubt   *doubt // what must be settled before anything is written; nil almost always
}

var (
	_ queue.Queue  = (*Queue)(nil)
	_ queue.Bulk   = (*Queue)(nil)
	_ queue.Notes  = (*Queue)(nil)
	_ queue.Depths = (*Queue)(nil)
)

// Open opens the queue in the file at path, and makes the file if there is none; its folder must exist. All leases of
// earlier users have ended.
//
// The error names the path, as a *fs.PathError. It wraps [queue.ErrLocked] if another process has the file open and kept it
// for LockWait, [queue.ErrDamaged] if the file is cut off, overwritten or no queue at all ([Salvage] makes a new one of what is
// left), [queue.ErrVersion] if a newer version of this package wrote it.
func Open(path string, o Options) (*Queue, error) {
	o = o.withDefaults()
	observer := &observer{observe: o.Observe, once: map[string]bool{}}
	q := &Queue{
		path:      path,
		retention: &retention{keep: o.Retention},
		limits: &limits{
			maxBytes:    o.MaxBytes,
			maxMessages: int64(o.MaxMessages),
			minFree:     o.MinFree,
			observer:    observer,
		},
		observer: observer,
		claims:   newClaims(),
		wake:     make(chan struct{}, 1),
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	q.fresh = newFresh(&q.memory)
	if err := q.open(o); err != nil {
		return nil, fmt.Errorf("boltqueue: %w", pathError(path, err))
	}
	go q.write()
	if err := q.deleteDrafts(); err != nil {
		return nil, errors.Join(fmt.Errorf("boltqueue: %w", pathError(path, err)), q.Close())
	}
	return q, nil
}

// pathError makes err name the path, unless it does so already.
func pathError(path string, err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) && e.Path == path {
		return err
	}
	return &fs.PathError{Op: "open", Path: path, Err: err}
}

// open opens the file, checks it, and reads from it what is kept in memory.
func (q *Queue) open(o Options) (err error) {
	defer func() {
		if err != nil && q.db != nil {
			err = errors.Join(err, q.db.Close())
		} else if err != nil && q.file != nil {
			_ = q.file.Close() // bbolt, having failed, has mostly done so
		}
	}()
	defer rescue(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	fresh, newest, err := q.openBolt(o, mapReserve)
	if errors.Is(err, syscall.ENOMEM) { // the process may not have so many addresses
		var again bool
		again, newest, err = q.openBolt(o, 0)
		fresh = fresh || again
	}
	if errors.Is(err, bolterrors.ErrTimeout) {
		return queue.ErrLocked
	}
	if err != nil {
		return err
	}
	if fresh {
		err = syncFolder(q.path)
	}
	if newest != nil {
		err = cmp.Or(err, newest.renew(q.file))
	}
	if err != nil {
		return err
	}
	q.room = newRoom(q.db, q.file)
	q.limits.file = q.file
	poisoned, err := q.begin()
	if err != nil {
		return err
	}
	for _, k := range poisoned {
		q.observer.tell(Poisoned{k})
	}
	q.measure(q.limits.inUse.messages)
	return q.db.View(func(b *bolt.Tx) error {
		t, err := q.newTx(b)
		if err != nil {
			return err
		}
		defer func() { q.report(t.unreadable) }()
		return errors.Join(q.readLanes(t), q.readLastBody(b), q.readFinished(t))
	})
}

// openBolt has bbolt open the file, with so much of it mapped at least. It reports whether the file is new, and returns the
// meta that counts if it isn't.
//
// The freelist is stored when the file is closed, not with every commit: it has 8 octets for each free page, which is
// megabytes once a large queue was drained. A file that was not closed has none, and is scanned for free pages. As a hash
// map it doesn't slow down when much is free. More is mapped than there is, so that the writer need not wait for readers to
// end whenever the file has grown: a backup is one that takes time.
func (q *Queue) openBolt(o Options, mapped int) (fresh bool, newest *meta, err error) {
	q.db, err = bolt.Open(q.path, 0o600, &bolt.Options{
		FreelistType:   bolt.FreelistMapType,
		NoFreelistSync: true,
		Timeout:        max(o.LockWait, 1), // zero would wait for ever
		OpenFile: func(name string, flag int, perm os.FileMode) (f *os.File, err error) {
			f, newest, err = openChecked(name, flag, perm, o)
			q.file, fresh = f, err == nil && newest == nil
			return f, err
		},
		InitialMmapSize: mapped,
	})
	return fresh, newest, err
}

// epochBits is how many of a token's bits count claims; those above them count how often the file was opened, so that no
// token is given out twice. That is good for 10¹² claims and 16 million restarts.
const epochBits = 40

// begin brings the file up to date, counts its opening and judges what was going on when it was last open. It returns the
// jobs that it holds for that. That is one transaction, and more only to bring a large file up to date.
func (q *Queue) begin() (poisoned []queue.Key, err error) {
	var r relaning
	for done := false; err == nil && !done; {
		err = q.update(func(b *bolt.Tx) error {
			if err := upgrade(b); err != nil {
				return err
			}
			t, err := newTx(b)
			if err != nil {
				return err
			}
			defer func() { q.report(t.unreadable) }()
			if done, err = r.next(t); err != nil || !done {
				return err
			}
			poisoned, err = q.beginLife(t)
			return err
		})
	}
	return poisoned, err
}

// beginLife is begin in a file that is up to date.
func (q *Queue) beginLife(t *tx) (poisoned []queue.Key, err error) {
	if err := t.restoreMarks(); err != nil {
		return nil, err
	}
	unfinished, err := number(t.file(), unfinishedKey, 63)
	if err != nil {
		return nil, err
	}
	q.limits.inUse.messages = int64(unfinished)
	opened, err := number(t.file(), openedKey, 64-epochBits)
	if err != nil {
		return nil, err
	}
	closed, err := number(t.file(), closedKey, 64-epochBits)
	if err != nil {
		return nil, err
	}
	q.claims.noting = closed != opened
	if poisoned, err = q.claims.judge(t); err != nil {
		return nil, err
	}
	q.claims.token = queue.Token((opened + 1) << epochBits)
	return poisoned, putNumber(t.file(), openedKey, opened+1)
}

// readLastBody finds the name that the latest body has, so that the next one gets another.
func (q *Queue) readLastBody(b *bolt.Tx) error {
	k, _ := b.Bucket([]byte(bodiesBucket)).Cursor().Last()
	if k == nil {
		return nil
	}
	n, err := parseNumberKey(k[:min(8, len(k))])
	if err == nil && n > math.MaxInt64 {
		err = damaged("has a body %d, which is more than there can be", n)
	}
	q.lastBody.Store(n)
	return err
}

// deleteDrafts deletes what a crash has left of messages that were never stored, each in a transaction of its own.
func (q *Queue) deleteDrafts() error {
	var drafts []uint64
	err := q.view(func(t *tx) error {
		return t.drafts().ForEach(func(k, v []byte) error {
			if _, err := unseal(k, v); err != nil { // whose body would it delete?
				return t.unlessPassed(queue.Key{}, err)
			}
			n, err := parseNumberKey(k)
			drafts = append(drafts, n)
			return err
		})
	})
	for _, n := range drafts {
		if err == nil {
			err = q.submit(context.Background(), &deleteDraft{n}, 0)
		}
	}
	return err
}

// Close waits for changes that are under way, ends all leases and frees the file. It returns nil if the queue was closed
// before. Bodies that are still being read end in io.ErrUnexpectedEOF.
func (q *Queue) Close() error {
	q.mu.Lock()
	closed := q.closed
	q.closed = true
	q.mu.Unlock()
	if !closed {
		close(q.closing)
	}
	<-q.stopped
	var err error
	if !closed {
		err = q.end()
	}
	return q.wrap(errors.Join(err, q.db.Close()))
}

// end notes that the file is closed in order. With it the list of free pages is stored, so that the next Open need not look for
// them; the first commit after Open leaves it out again. If the disk has no room for that, the next Open takes the end for a
// crash, which does no harm.
func (q *Queue) end() error {
	if err := q.settleDoubt(); err != nil {
		return err
	}
	if q.room.reserve(q.room.free/q.room.pageSize*8+64<<10) != nil {
		return nil
	}
	q.db.NoFreelistSync = false // the writer, which reads it, has stopped
	err := q.update(func(b *bolt.Tx) error {
		file := b.Bucket([]byte(fileBucket))
		opened, err := number(file, openedKey, 64)
		if err != nil {
			return err
		}
		t, err := newTx(b)
		if err != nil {
			return err
		}
		return errors.Join(t.acquit(), putNumber(file, closedKey, opened))
	})
	if err != nil {
		return undoubted(err)
	}
	return sealFreelist(q.file)
}

// ready is how each method begins. If an earlier change is in doubt it waits for that to be settled.
func (q *Queue) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return q.wrap(err)
	}
	q.mu.Lock()
	err, doubt := q.unusable(), q.doubt
	q.mu.Unlock()
	if err == nil && doubt != nil {
		err = q.submit(ctx, nil, 0)
	}
	return err
}

// unusable says why the queue can't be used, if so. It needs q.mu.
func (q *Queue) unusable() error {
	if q.closed {
		return q.wrap(queue.ErrClosed)
	}
	return nil
}

// wrap adds whose error it is.
func (q *Queue) wrap(err error) error {
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		err = queue.ErrClosed
	case errors.Is(err, bolterrors.ErrIncompatibleValue), errors.Is(err, bolterrors.ErrBucketExists):
		err = damaged("has something in a place that isn't its own: %v", err)
	}
	return fmt.Errorf("boltqueue: %s: %w", q.path, err)
}
