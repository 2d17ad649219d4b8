package boltqueue

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
)

// cramp uses the queue in a process that may map a GiB more and no more.
func cramp(path string) error {
	size, err := procValue("/proc/self/status", "VmSize")
	if err != nil {
		return err
	}
	limit := uint64(size)<<10 + 1<<30
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		return err
	}
	q, err := Open(path, Options{})
	if err != nil {
		return err
	}
	fmt.Println("open")
	return errors.Join(use(q), q.Close())
}

// A queue can be opened where there are fewer addresses than it would like to have.
func TestFewAddresses(t *testing.T) {
	path := newPath(t)
	for range 2 { // a new file, and one that exists
		cmd, _, out := child(t, "cramped", path)
		if !out.Scan() || out.Text() != "open" {
			t.Errorf("the other process said %q", out.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}
