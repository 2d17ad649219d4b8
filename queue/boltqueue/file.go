package boltqueue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/postroad/postroad/queue"
)

// openChecked opens and locks the file and makes sure that bbolt can be let near it. It returns the meta page that bbolt
// will go by, nil if the file is new. If most of the file is free another one has taken its place, if that was possible.
func openChecked(name string, flag int, perm os.FileMode, o Options) (*os.File, *meta, error) {
	f, m, err := openSound(name, flag, perm, o)
	if err != nil || m == nil || !wasteful(f, m) {
		return f, m, err
	}
	c, err := compact(f, m, name, o)
	if c == nil {
		return f, m, nil
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		m, err = check(c)
	}
	if err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return c, m, nil
}

// openSound opens and locks the file and checks it.
func openSound(name string, flag int, perm os.FileMode, o Options) (*os.File, *meta, error) {
	f, err := openLocked(name, flag, perm, o)
	if err != nil {
		return nil, nil, err
	}
	m, err := check(f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, m, nil
}

// openLocked opens and locks the file. A compaction puts another file in its place, so what was locked may not be it any
// more; whoever compacts locks the new one before that, so that there is always one that is locked.
func openLocked(name string, flag int, perm os.FileMode, o Options) (*os.File, error) {
	end := time.Now().Add(o.LockWait)
	for range 10 {
		f, err := o.OpenFile(name, flag, perm)
		if err != nil {
			return nil, err
		}
		if err = lock(f, time.Until(end)); err == nil && isAt(f, name) {
			if canCompact { // or the lock isn't ours yet
				_ = removeCompacted(name)
			}
			return f, nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w, or replaced over and over", queue.ErrLocked)
}

// isAt reports whether f is the file that name leads to.
func isAt(f *os.File, name string) bool {
	here, err := os.Stat(name)
	info, err2 := f.Stat()
	return err == nil && err2 == nil && os.SameFile(here, info)
}

// syncFolder makes a new file's name as durable as what is in it.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
