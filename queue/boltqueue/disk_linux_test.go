package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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

// When syncs fail, what was said to be queued is there, what was said to have failed isn't, and only of one change is it said
// that it can't be known. The system calls are made to fail from outside.
func TestSyncFails(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	if err := exec.Command(strace, "-o", os.DevNull, "true").Run(); err != nil {
		t.Skipf("strace is not allowed to trace: %v", err)
	}
	doubts := 0
	for nth := 3; nth < 11; nth++ { // of each thread; the first two are Open's
		path := newPath(t)
		if q, err := Open(path, Options{}); err != nil || q.Close() != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(strace, "-f", "-o", os.DevNull, "-e", fmt.Sprintf("inject=fdatasync:error=EIO:when=%d", nth), os.Args[0])
		cmd.Env = append(os.Environ(), roleVariable+"=doubter", pathVariable+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		q := mustOpen(t, path, Options{})
		for line := range bytes.Lines(out) {
			var said string
			var id queue.ID
			if _, err := fmt.Sscan(string(line), &said, &id); err != nil {
				t.Fatal(err)
			}
			stored := len(list(t, q, queue.Filter{ID: id})) > 0
			if said == "queued" && !stored || said == "failed" && stored {
				t.Errorf("sync %d fails: %s %s, but stored is %v", nth, said, id, stored)
			}
			if said == "doubt" {
				doubts++
			}
		}
		checkIndexes(t, q)
	}
	if doubts == 0 {
		t.Error("no failed sync left a doubt")
	}
}
