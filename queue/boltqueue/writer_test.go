package boltqueue

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// stall keeps the writer within a transaction until resume is called.
func stall(q *Queue) (resume func()) {
	begun, end := make(chan bool), make(chan bool)
	go q.submit(context.Background(), changeFunc(func(*tx) error {
		close(begun)
		<-end
		return nil
	}), 0)
	<-begun
	return func() { close(end) }
}

type changeFunc func(*tx) error

func (f changeFunc) apply(t *tx) error { return f(t) }

// waitFor waits until n members are in the line to the writer.
func waitFor(q *Queue, n int) {
	for {
		q.mu.Lock()
		waiting := len(q.waiting)
		q.mu.Unlock()
		if waiting >= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func transactions(t *testing.T, q *Queue) (id int) {
	t.Helper()
	if err := q.db.View(func(b *bolt.Tx) error { id = b.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// Those who wait while a transaction is under way share the next one, and the ones among them that are refused don't harm
// the others.
func TestGroupCommit(t *testing.T) {
	ctx := context.Background()
	q := mustOpen(t, newPath(t), Options{})
	mustEnqueue(t, q, message("old", nil, "example.com", "example.net"))
	jobs := claimAll(t, q, start)
	stale := jobs[0].Clone()
	stale.Token++

	before := transactions(t, q)
	resume := stall(q)
	results := make(chan error)
	enqueue := func(e *queue.Entry, want error, added bool) {
		go func() {
			got, err := q.Enqueue(ctx, e)
			if errors.Is(err, want) && got == added {
				err = nil
			} else {
				err = fmt.Errorf("Enqueue %q: added %v, error %v, want %v and %v", e.Message.ID, got, err, added, want)
			}
			results <- err
		}()
	}
	for i := range 61 {
		enqueue(message(queue.ID(fmt.Sprintf("m%d", i)), random(i, 1000), "example.com"), nil, true)
	}
	conflict := message("old", nil, "example.com")
	conflict.Message.Digest[0]++
	enqueue(conflict, queue.ErrConflict, false)
	for j, want := range map[*queue.Job]error{stale: queue.ErrLeaseLost, jobs[1]: nil} {
		go func() {
			err := q.Commit(ctx, j)
			if errors.Is(err, want) {
				err = nil
			} else {
				err = fmt.Errorf("Commit %q: error %v, want %v", j.Key, err, want)
			}
			results <- err
		}()
	}
	waitFor(q, 64)
	resume()
	for range 64 {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	if n := transactions(t, q) - before; n > 2 {
		t.Errorf("64 callers took %d transactions", n)
	}
	checkIndexes(t, q)
}

// A ctx that ends after the hand-over doesn't keep the truth from the caller.
func TestContextEndsAfterHandOver(t *testing.T) {
	q := mustOpen(t, newPath(t), Options{})
	resume := stall(q)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error)
	go func() {
		_, err := q.Enqueue(ctx, message("a", nil, "example.com"))
		result <- err
	}()
	waitFor(q, 1)
	cancel()
	resume()
	if err := <-result; err != nil {
		t.Errorf("Enqueue: %v", err)
	}
	if got := list(t, q, queue.Filter{}); len(got) != 1 {
		t.Errorf("what is stored: %q", got)
	}
}

// Close serves those who wait, and turns away those who come.
func TestCloseServesTheLine(t *testing.T) {
	q, err := Open(newPath(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	resume := stall(q)
	results := make(chan error)
	for i := range 3 {
		go func() {
			_, err := q.Enqueue(context.Background(), message(queue.ID(fmt.Sprintf("m%d", i)), nil, "example.com"))
			results <- err
		}()
	}
	waitFor(q, 3)
	closed := make(chan error)
	go func() { closed <- q.Close() }()
	<-q.closing
	if _, err := q.Enqueue(context.Background(), message("late", nil, "example.com")); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Enqueue while the queue is being closed: %v", err)
	}
	resume()
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	again := mustOpen(t, q.path, Options{})
	if got := list(t, again, queue.Filter{}); len(got) != 3 {
		t.Errorf("what is stored: %q", got)
	}
}
