package boltqueue

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	bolt "go.etcd.io/bbolt"
)

var _ io.WriterTo = (*Queue)(nil)

// WriteTo writes a copy of the queue as it is at one moment, while others go on using it. It is a file that [Open] opens, with
// everything but leases, and no larger than it need be. It implements [io.WriterTo].
//
// However slowly w takes it, nobody waits for that: the copy is first made in a nameless file beside the queue's own, at the
// speed of the disk. That needs as much room as the copy has, beyond MinFree; if there isn't, the error wraps
// syscall.ENOSPC. Only while that file is being written, what others delete or change can't be used again, so the queue's own
// file may grow by as much, and if it grows beyond 16 GiB and a multiple of 1 GiB, or on 32 bits beyond a power of two, the
// others wait for the copy to be done.
//
// A damaged file is an error that wraps [queue.ErrDamaged], so a copy that was written without error is whole. Mail that
// was sent since the copy was made is sent again by a queue that is opened from it.
func (q *Queue) WriteTo(w io.Writer) (int64, error) {
	f, err := q.snapshot()
	if err != nil {
		return 0, q.wrap(err)
	}
	defer f.close()
	n, err := io.Copy(w, f.File)
	return n, q.wrap(err)
}

// snapshot copies the queue, as it is now, to a file of its own.
func (q *Queue) snapshot() (f *nameless, err error) {
	q.mu.Lock()
	err = q.unusable()
	q.mu.Unlock()
	if err != nil {
		return nil, err
	}
	defer rescue(&err)
	path, err := filepath.EvalSymlinks(q.path)
	if err != nil {
		return nil, err
	}
	err = q.db.View(func(b *bolt.Tx) error {
		c, err := q.copier(b)
		if err != nil {
			return err
		}
		if free, size, _, ok := diskOf(q.file); ok && free-max(0, q.limits.floor(usage{size: size})) < c.size() {
			return fmt.Errorf("the copy has %d octets, %d are free: %w", c.size(), free, syscall.ENOSPC)
		}
		if f, err = newNameless(path); err != nil {
			return err
		}
		if err = c.copy(f); err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
		if err != nil {
			f.close()
		}
		return err
	})
	return f, err
}

// copier makes a copier of the state that b sees. As long as b is open its pages stay as they are. They are read from the
// file, as Open does, not from the map.
func (q *Queue) copier(b *bolt.Tx) (*copier, error) {
	info, err := q.file.Stat()
	if err != nil {
		return nil, err
	}
	m, err := newestMeta(q.file, info.Size()) // for what is the same in all
	if err != nil {
		return nil, err
	}
	m.root = uint64(b.Cursor().Bucket().Root())
	m.highWater = uint64(b.Size() / m.pageSize)
	m.txid = uint64(b.ID())
	w, err := walkWhole(q.file, m)
	if err != nil {
		return nil, err
	}
	return newCopier(w, q.closing), nil
}

// nameless is a file that is gone when it is closed.
type nameless struct {
	*os.File
	name string // if it couldn't be removed while it was open
}

func newNameless(beside string) (*nameless, error) {
	f, err := os.CreateTemp(filepath.Dir(beside), filepath.Base(beside)+".backup-*")
	if err != nil {
		return nil, err
	}
	n := &nameless{File: f}
	if os.Remove(f.Name()) != nil {
		n.name = f.Name()
	}
	return n, nil
}

func (n *nameless) close() {
	_ = n.Close() // it has been read, or is of no use
	if n.name != "" {
		_ = os.Remove(n.name)
	}
}
