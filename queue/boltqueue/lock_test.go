package boltqueue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// hold has the file open, and what is due leased, until its input ends; then it finishes that.
func hold(path string) error {
	ctx := context.Background()
	q, err := Open(path, Options{})
	if err != nil {
		return err
	}
	c, err := q.Claim(ctx, queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 100})
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, err = io.Copy(io.Discard, os.Stdin)
	for _, j := range c.Jobs {
		j.Recipients[0].State, j.Finished = queue.Delivered, start
		err = errors.Join(err, q.Commit(ctx, j))
	}
	return errors.Join(err, q.Close())
}

func TestLocked(t *testing.T) {
	path := newPath(t)
	cmd, in, out := child(t, "holder", path)
	if !out.Scan() || out.Text() != "open" {
		t.Fatalf("the other process said %q", out.Text())
	}
	for _, wait := range []time.Duration{-1, 60 * time.Millisecond} {
		q, err := Open(path, Options{LockWait: wait})
		wantPathError(t, path, err, queue.ErrLocked)
		if q != nil || !strings.Contains(fmt.Sprint(err), path) {
			t.Errorf("LockWait %v: %v, %v", wait, q, err)
		}
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path, Options{LockWait: -1})
}

// A process that takes over waits for the one that is still at work, and finds what that did to the last.
func TestRollingDeploy(t *testing.T) {
	path := newPath(t)
	q, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustEnqueue(t, q, message("a", nil, "a.example"))
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	cmd, in, out := child(t, "holder", path)
	if !out.Scan() || out.Text() != "open" {
		t.Fatalf("the other process said %q", out.Text())
	}
	waits, opened := make(chan bool), make(chan error)
	go func() {
		var err error
		q, err = Open(path, Options{LockWait: 10 * time.Minute, OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
			close(waits)
			return os.OpenFile(name, flag, perm)
		}})
		opened <- err
	}()
	<-waits
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatalf("Open waiting for another process that closes the file: %v", err)
	}
	defer q.Close()
	if jobs := listed(t, q); len(jobs) != 1 || jobs[0].Finished.IsZero() {
		t.Errorf("what the other process has left: %+v", jobs)
	}
	if q.claims.noting {
		t.Error("the end of the other process is taken for a crash")
	}
}

// So does one that finds the other one killed, whose jobs are free at once.
func TestTakeOverFromTheKilled(t *testing.T) {
	path := newPath(t)
	q, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustEnqueue(t, q, message("a", nil, "a.example"))
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	cmd, _, out := child(t, "holder", path)
	if !out.Scan() || out.Text() != "open" {
		t.Fatalf("the other process said %q", out.Text())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the other process ended by itself")
	}
	q = mustOpen(t, path, Options{LockWait: time.Minute})
	if !q.claims.noting {
		t.Error("the end of the other process is not taken for a crash")
	}
	if jobs := claimAll(t, q, start); len(jobs) != 1 || jobs[0].Lapses != 0 {
		t.Errorf("jobs %+v", jobs)
	}
}
