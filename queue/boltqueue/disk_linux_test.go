package boltqueue

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/postroad/postroad/queue"
)

// A change that can't be written is an error, is not there, and does no harm to what follows.
func TestWriteFails(t *testing.T) {
	ctx := context.Background()
	path := newPath(t)
	var f *os.File
	q := mustOpen(t, path, Options{OpenFile: func(name string, flag int, perm os.FileMode) (_ *os.File, err error) {
		f, err = os.OpenFile(name, flag, perm)
		return f, err
	}})
	mustEnqueue(t, q, message("before", random(1, 1000), "example.com"))
	leased := claimAll(t, q, start)[0]

	heal := breakFile(t, f)
	if added, err := q.Enqueue(ctx, message("lost", random(1, 1000), "example.com")); added || err == nil || errors.Is(err, queue.ErrInDoubt) {
		t.Errorf("Enqueue on a broken disk: added %v, error %v", added, err)
	}
	if added, err := q.Enqueue(ctx, message("lost", random(1, 2*segmentSize), "example.com")); added || err == nil {
		t.Errorf("Enqueue of a large body on a broken disk: added %v, error %v", added, err)
	}
	leased.Recipients[0].State, leased.Finished = queue.Delivered, start
	if err := q.Commit(ctx, leased); err == nil || errors.Is(err, queue.ErrLeaseLost) {
		t.Errorf("Commit on a broken disk: %v", err)
	}
	heal()

	if err := q.Commit(ctx, leased); err != nil {
		t.Errorf("Commit after the disk has healed: %v", err)
	}
	mustEnqueue(t, q, message("after", random(1, 1000), "example.com"))
	if got := list(t, q, queue.Filter{Unfinished: true}); len(got) != 1 || got[0] != "after/0" {
		t.Errorf("unfinished jobs: %q", got)
	}
	checkIndexes(t, q)
}

// breakFile makes f unwritable behind the back of whoever has it, until heal is called.
func breakFile(t *testing.T, f *os.File) (heal func()) {
	t.Helper()
	fd := int(f.Fd())
	good, err := syscall.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	bad, err := os.Open(os.DevNull) // not writable
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Dup3(int(bad.Fd()), fd, 0); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(syscall.Dup3(good, fd, 0), syscall.Close(good), bad.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
