package boltqueue

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Options are what [Open] may be told. The zero value is a good choice.
type Options struct {
	// LockWait is how long Open waits for another process to close the file. Defaults to 2 seconds; a negative value
	// doesn't wait.
	LockWait time.Duration
	// Retention is how long a finished message is kept to recognise its ID and to be listed, without its body. Since a
	// queue reads no clock, it is measured from the time the message finished to the latest time named by what is
	// enqueued or finished; messages go a few at a time, with the changes that come later. Defaults to 7 days.
	Retention time.Duration
	// Observe, if not nil, is told what goes on in the queue that no caller hears. It is called by one goroutine at a time, which
	// waits for it; it must not use the queue.
	Observe func(Event)
	// OpenFile opens the file, and is called once. Defaults to os.OpenFile.
	OpenFile func(name string, flag int, perm os.FileMode) (*os.File, error)
}

// Queue is a queue in a file. It implements [queue.Queue], [queue.Bulk] and [queue.Notes].
type Queue struct {
	path      string
	retention time.Duration
	db        *bolt.DB
	claims    *claims
	lastBody  atomic.Uint64 // names the latest body
	memory    sync.Pool     // of *[chunkSize]byte, for bodies that are being read
	wake      chan struct{} // holds one token while somebody waits
	closing   chan struct{} // closed by Close
	stopped   chan struct{} // closed when the writer has ended

	mu      sync.Mutex // guards all below
	waiting []*member  // the line to the writer
	closed  bool
	failed  error // why nothing can be written any more
}

var (
	_ queue.Queue = (*Queue)(nil)
	_ queue.Bulk  = (*Queue)(nil)
	_ queue.Notes = (*Queue)(nil)
)

// Open opens the queue in the file at path, and makes the file if there is none; its folder must exist. All leases of
// earlier users have ended.
//
// The error names the path, as a *fs.PathError. It wraps [queue.ErrLocked] if another process has the file open and kept it
// for LockWait, [queue.ErrDamaged] if the file is cut off, overwritten or no queue at all, [queue.ErrVersion] if a newer
// version of this package wrote it.
func Open(path string, o Options) (*Queue, error) {
	o.LockWait = cmp.Or(o.LockWait, 2*time.Second)
	o.Retention = cmp.Or(o.Retention, 7*24*time.Hour)
	if o.OpenFile == nil {
		o.OpenFile = os.OpenFile
	}
	q := &Queue{
		path:      path,
		retention: o.Retention,
		claims:    newClaims(),
		wake:      make(chan struct{}, 1),
		closing:   make(chan struct{}),
		stopped:   make(chan struct{}),
	}
	q.memory.New = func() any { return new([chunkSize]byte) }
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
	var file *os.File
	var newest *meta
	defer func() {
		if err != nil && q.db != nil {
			err = errors.Join(err, q.db.Close())
		} else if err != nil && file != nil {
			_ = file.Close() // bbolt, having failed, has mostly done so
		}
	}()
	defer rescue(&err)
	// The freelist is stored when the file is closed, not with every commit: it has 8 octets for each free page, which is
	// megabytes once a large queue was drained. A file that was not closed has none, and is scanned for free pages. As a hash
	// map it doesn't slow down when much is free. Readers are short, so there is no need to map more of the file than there is.
	q.db, err = bolt.Open(q.path, 0o600, &bolt.Options{
		FreelistType:   bolt.FreelistMapType,
		NoFreelistSync: true,
		Timeout:        max(o.LockWait, 1), // zero would wait for ever
		NoStatistics:   true,
		OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
			file, newest, err = openChecked(name, flag, perm, o)
			return file, err
		},
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return queue.ErrLocked
	}
	if err != nil {
		return err
	}
	if newest == nil {
		err = syncFolder(q.path)
	} else {
		err = newest.renew(file)
	}
	if err != nil {
		return err
	}
	if err := q.update(q.begin); err != nil {
		return err
	}
	return q.db.View(func(b *bolt.Tx) error { return errors.Join(q.readLanes(b), q.readLastBody(b)) })
}

// openChecked opens and locks the file and makes sure that bbolt can be let near it. It returns the meta page that bbolt
// will go by, nil if the file is new.
func openChecked(name string, flag int, perm os.FileMode, o Options) (*os.File, *meta, error) {
	f, err := o.OpenFile(name, flag, perm)
	if err != nil {
		return nil, nil, err
	}
	err = lock(f, o.LockWait)
	var m *meta
	if err == nil {
		m, err = check(f)
	}
	if err == nil && m != nil && !m.closed() {
		m, err = restoreFreelist(f, m)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, m, nil
}

// syncFolder makes a new file's name as durable as what is in it.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// epochBits is how many of a token's bits count claims; those above them count how often the file was opened, so that no
// token is given out twice. That is good for 10¹² claims and 16 million restarts.
const epochBits = 40

// begin brings the file up to date and counts its opening.
func (q *Queue) begin(b *bolt.Tx) error {
	if err := upgrade(b); err != nil {
		return err
	}
	if _, err := newTx(b); err != nil { // is every bucket there?
		return err
	}
	file := b.Bucket([]byte(fileBucket))
	epoch, err := number(file, openedKey, 64-epochBits)
	if err != nil {
		return err
	}
	epoch++
	q.claims.token = queue.Token(epoch << epochBits)
	return putNumber(file, openedKey, epoch)
}

// readLanes finds the first entry of each lane, with one seek for each.
func (q *Queue) readLanes(b *bolt.Tx) error {
	t, err := newTx(b)
	if err != nil {
		return err
	}
	c := t.lanes.Cursor()
	for k, v := c.First(); k != nil; {
		l, n, err := parseLane(k)
		if err != nil {
			return err
		}
		e, err := readEntry(k, v, n)
		if err != nil {
			return err
		}
		q.claims.lanes.offer(l, e)
		k, v = c.Seek(afterPrefix(k[:n]))
	}
	return nil
}

// readLastBody finds the name that the latest body has, so that the next one gets another.
func (q *Queue) readLastBody(b *bolt.Tx) error {
	k, _ := b.Bucket([]byte(bodiesBucket)).Cursor().Last()
	if k == nil {
		return nil
	}
	n, err := parseNumberKey(k[:min(8, len(k))])
	q.lastBody.Store(n)
	return err
}

// afterPrefix is the least key behind all that begin with prefix.
func afterPrefix(prefix []byte) []byte {
	n := len(prefix)
	for prefix[n-1] == 0xff {
		n--
	}
	key := bytes.Clone(prefix[:n])
	key[n-1]++
	return key
}

// deleteDrafts deletes what a crash has left of messages that were never stored, each in a transaction of its own.
func (q *Queue) deleteDrafts() error {
	var drafts []uint64
	err := q.view(func(t *tx) error {
		return t.drafts.ForEach(func(k, _ []byte) error {
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
	if !closed && q.failed == nil {
		err = q.end()
	}
	return q.wrap(errors.Join(err, q.db.Close()))
}

// end notes that the file is closed in order. With it the list of free pages is stored, so that the next Open need not look for
// them; the first commit after Open leaves it out again.
func (q *Queue) end() error {
	q.db.NoFreelistSync = false // the writer, which reads it, has stopped
	return q.update(func(b *bolt.Tx) error {
		file := b.Bucket([]byte(fileBucket))
		opened, err := number(file, openedKey, 64)
		if err != nil {
			return err
		}
		return putNumber(file, closedKey, opened)
	})
}

// ready is how each method begins.
func (q *Queue) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return q.wrap(err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.unusable()
}

// unusable says why the queue can't be used, if so. It needs q.mu.
func (q *Queue) unusable() error {
	if q.closed {
		return q.wrap(queue.ErrClosed)
	}
	return q.wrap(q.failed)
}

// wrap adds whose error it is.
func (q *Queue) wrap(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = queue.ErrClosed
	}
	return fmt.Errorf("boltqueue: %s: %w", q.path, err)
}
