package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
)

// file is the path of a queue of boltqueue.
type file string

func (f file) String() string { return string(f) }

func (f file) path(as string) string {
	if as == "" {
		return string(f)
	}
	return string(f) + "." + as
}

func (f file) exists(_ context.Context, as string) (bool, error) {
	_, err := os.Stat(f.path(as))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// rename proves by the file's lock that nobody uses it. Whoever locks it just before it is renamed has it locked afterwards, too.
func (f file) rename(ctx context.Context, from, to string) error {
	q, err := f.open(ctx, from)
	if errors.Is(err, queue.ErrLocked) {
		return fmt.Errorf("%s: %w", f, errInUse)
	}
	if err == nil {
		err = q.Close()
	}
	if err == nil {
		err = os.Rename(f.path(from), f.path(to))
	}
	if err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(string(f)))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// open keeps whatever is finished: for how long is for the programs to say that use the queue.
func (f file) open(_ context.Context, as string) (opened, error) {
	return boltqueue.Open(f.path(as), boltqueue.Options{Retention: math.MaxInt64})
}
