//go:build unix && !solaris && !aix

package boltqueue

import (
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/postroad/postroad/queue"
)

// Whoever waits for a file that is being compacted gets the one that takes its place.
func TestCompactLocked(t *testing.T) {
	path, left := drainedFile(t, 50, 9000)
	var heard func() string
	var end func() error
	err := Compact(path, Options{OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
		if name != path { // the lock is ours, and the other file isn't there yet
			cmd, in, out := child(t, "waiter", path)
			heard = func() string {
				out.Scan()
				return out.Text()
			}
			end = func() error { return errors.Join(in.Close(), cmd.Wait()) }
			if got := heard(); got != "found" {
				t.Fatalf("the other process said %q", got)
			}
		}
		return os.OpenFile(name, flag, perm)
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"found", "open"} {
		if got := heard(); got != want {
			t.Fatalf("after the compaction the other process said %q, want %q", got, want)
		}
	}
	if q, err := Open(path, Options{LockWait: -1}); err == nil {
		t.Errorf("the other process has another file (%v)", q.Close())
	} else if !errors.Is(err, queue.ErrLocked) {
		t.Error(err)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	checkCopied(t, path, left, 9000)
}

// A kill at any moment of a compaction leaves the old file or the new one, and both have everything.
func TestKillCompaction(t *testing.T) {
	path, left := drainedFile(t, 50, 9000)
	for range 15 {
		cmd, _, out := child(t, "compacter", path)
		for range 1 + rand.IntN(5) {
			out.Scan()
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for out.Scan() {
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the other process ended by itself")
		}
		q, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkUnfinished(t, q, len(left))
		checkPages(t, q)
		checkIndexes(t, q)
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
