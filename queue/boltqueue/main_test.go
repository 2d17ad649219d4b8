package boltqueue

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// The tests run this very program again as another process that uses a queue.
const (
	roleVariable = "BOLTQUEUE_TEST_ROLE"
	pathVariable = "BOLTQUEUE_TEST_PATH"
	firstMessage = "BOLTQUEUE_TEST_FIRST"
)

func TestMain(m *testing.M) {
	var err error
	switch path := os.Getenv(pathVariable); os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "holder":
		err = hold(path)
	case "sender":
		err = send(path, os.Getenv(firstMessage))
	case "doubter":
		err = doubt(path)
	case "opener":
		err = openOnly(path)
	case "depth":
		err = lookInto(path)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child starts a process in a role and returns it with its input and output.
func child(t *testing.T, role, path string, env ...string) (*exec.Cmd, io.WriteCloser, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, roleVariable+"="+role, pathVariable+"="+path)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, in, bufio.NewScanner(out)
}

// hold has the file open until its input ends.
func hold(path string) error {
	q, err := Open(path, Options{})
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, q.Close())
}

func TestLocked(t *testing.T) {
	path := newPath(t)
	cmd, in, out := child(t, "holder", path)
	if !out.Scan() || out.Text() != "open" {
		t.Fatalf("the other process said %q", out.Text())
	}
	q, err := Open(path, Options{LockWait: 60 * time.Millisecond})
	pathErr := (*fs.PathError)(nil)
	if q != nil || !errors.Is(err, queue.ErrLocked) || !errors.As(err, &pathErr) || pathErr.Path != path {
		t.Fatalf("Open while another process has the file: %v", err)
	}
	opened := make(chan error)
	go func() {
		q, err := Open(path, Options{LockWait: time.Minute})
		if err == nil {
			err = q.Close()
		}
		opened <- err
	}()
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatalf("Open waiting for another process that closes the file: %v", err)
	}
}

// numbered is message n of the kill test; every seventh has a body that is written ahead.
func numbered(n int) *queue.Entry {
	return message(queue.ID(fmt.Sprintf("m%06d", n)), numberedBody(n), "example.com")
}

func numberedBody(n int) io.Reader {
	size := 100 + n%5*3000
	if n%7 == 0 {
		size += 2 * segmentSize
	}
	return random(n, size)
}

// send enqueues and delivers messages until it is killed, and says what has been done.
func send(path, first string) error {
	q, err := Open(path, Options{})
	if err != nil {
		return err
	}
	var n int
	if _, err := fmt.Sscan(first, &n); err != nil {
		return err
	}
	ctx := context.Background()
	failed := make(chan error)
	var mu sync.Mutex // guards n and the output
	say := func(word string, id queue.ID) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("%s %s\n", word, id)
	}
	for range 8 {
		go func() {
			for {
				mu.Lock()
				e := numbered(n)
				n++
				mu.Unlock()
				if _, err := q.Enqueue(ctx, e); err != nil {
					failed <- err
				}
				say("queued", e.Message.ID)
			}
		}()
	}
	go func() {
		for {
			c, err := q.Claim(ctx, queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 1})
			if err != nil {
				failed <- err
			}
			for _, j := range c.Jobs {
				j.Recipients[0].State, j.Finished = queue.Delivered, start
				if err := q.Commit(ctx, j); err != nil {
					failed <- err
				}
				say("finished", j.Key.ID)
			}
		}
	}()
	return <-failed
}

// doubt enqueues until it can't be known what has become of a message, and says of each what it was told.
func doubt(path string) error {
	q, err := Open(path, Options{})
	if err != nil {
		return err
	}
	for n := range 40 {
		e := numbered(n)
		_, err := q.Enqueue(context.Background(), e)
		switch {
		case err == nil:
			fmt.Println("queued", e.Message.ID)
		case !errors.Is(err, queue.ErrInDoubt):
			fmt.Println("failed", e.Message.ID)
		default:
			fmt.Println("doubt", e.Message.ID)
			if _, err := q.Enqueue(context.Background(), numbered(n+1)); err == nil || errors.Is(err, queue.ErrInDoubt) {
				return fmt.Errorf("after a doubt the queue goes on: %w", err)
			}
			fmt.Println("failed", numbered(n+1).Message.ID)
			return q.Close()
		}
	}
	return q.Close()
}

// Whatever was acknowledged before a kill is there after it.
func TestKill(t *testing.T) {
	path := newPath(t)
	queued, finished := map[queue.ID]bool{}, map[queue.ID]bool{}
	first := 0
	for range 6 {
		cmd, _, out := child(t, "sender", path, fmt.Sprintf("%s=%d", firstMessage, first))
		for lines := 20 + rand.IntN(200); out.Scan(); lines-- {
			if lines == 0 { // what it says until it is dead counts, too
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			word, id, _ := strings.Cut(out.Text(), " ")
			queued[queue.ID(id)] = true
			if word == "finished" {
				finished[queue.ID(id)] = true
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the other process ended by itself")
		}
		first += 10_000
		checkAcknowledged(t, path, queued, finished)
	}
}

func checkAcknowledged(t *testing.T, path string, queued, finished map[queue.ID]bool) {
	t.Helper()
	q, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	stored := map[queue.ID]bool{}
	for j, err := range q.Jobs(context.Background(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		stored[j.Key.ID] = true
		if finished[j.Key.ID] && j.Finished.IsZero() {
			t.Errorf("%q came back after it was finished", j.Key.ID)
		}
		if j.Finished.IsZero() {
			var n int
			if _, err := fmt.Sscanf(string(j.Key.ID), "m%d", &n); err != nil {
				t.Fatal(err)
			}
			checkBody(t, q, j.Key.ID, numberedBody(n))
		}
	}
	for id := range queued {
		if !stored[id] {
			t.Errorf("%q was acknowledged and is lost", id)
		}
	}
	checkIndexes(t, q)
}
