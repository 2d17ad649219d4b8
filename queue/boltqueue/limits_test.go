package boltqueue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// MaxMessages counts unfinished messages, over restarts too, and in every case knows a message that is stored already.
func TestMaxMessages(t *testing.T) {
	ctx := context.Background()
	path := newPath(t)
	q := mustOpen(t, path, Options{MaxMessages: 3})
	for i := range 3 {
		mustEnqueue(t, q, message(queue.ID(fmt.Sprintf("m%d", i)), random(i, 2*segmentSize), "a.example", "b.example"))
	}
	read := false
	body := readerFunc(func([]byte) (int, error) { read = true; return 0, io.EOF })
	added, err := q.Enqueue(ctx, message("more", body, "example.com"))
	if added || !errors.Is(err, queue.ErrFull) || !strings.Contains(err.Error(), "MaxMessages") || read {
		t.Errorf("Enqueue to a full queue: added %v, error %v, body read: %v", added, err, read)
	}
	if added, err := q.Enqueue(ctx, message("m1", random(1, 2*segmentSize), "a.example", "b.example")); added || err != nil {
		t.Errorf("Enqueue of a stored message to a full queue: added %v, error %v", added, err)
	}
	other := message("m1", random(1, 2*segmentSize), "a.example")
	other.Message.Digest[0]++
	if added, err := q.Enqueue(ctx, other); added || !errors.Is(err, queue.ErrConflict) {
		t.Errorf("Enqueue of another message under a stored ID to a full queue: added %v, error %v", added, err)
	}
	both := slices.Values([]*queue.Entry{message("m2", nil, "example.com"), message("more", nil, "example.com")})
	if n, err := q.EnqueueAll(ctx, both); n != 1 || !errors.Is(err, queue.ErrFull) {
		t.Errorf("EnqueueAll to a full queue: %d durable, error %v", n, err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}

	q = mustOpen(t, path, Options{MaxMessages: 3})
	if _, err := q.Enqueue(ctx, message("more", nil, "example.com")); !errors.Is(err, queue.ErrFull) {
		t.Errorf("Enqueue to a full queue that was opened again: %v", err)
	}
	jobs := claimAll(t, q, start)
	j := jobs[0]
	j.Recipients[0].State, j.Finished = queue.Bounced, start
	if err := q.Commit(ctx, j, message("bounce", random(1, 3*segmentSize), "example.org")); err != nil {
		t.Errorf("Commit with a bounce to a full queue: %v", err)
	}
	for _, j := range jobs[1:4] {
		finish(t, q, j, start)
	}
	mustEnqueue(t, q, message("more", nil, "example.com"))
	checkIndexes(t, q)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// MaxBytes is what the file may use, whatever for. A body that turns out to be too large leaves nothing behind.
func TestMaxBytes(t *testing.T) {
	ctx := context.Background()
	const most = 4 << 20
	path := newPath(t)
	q := mustOpen(t, path, Options{MaxBytes: most, Retention: time.Hour})
	if added, err := q.Enqueue(ctx, message("huge", random(1, most+1), "example.com")); added || !errors.Is(err, queue.ErrFull) {
		t.Errorf("Enqueue of more than fits: added %v, error %v", added, err)
	}
	checkIndexes(t, q)
	n := fillUp(t, q, 100_000)
	if n < 30 || n > 40 {
		t.Errorf("%d messages of 100,000 octets fit into %d", n, most)
	}
	if got := len(list(t, q, queue.Filter{})); got != n {
		t.Errorf("%d messages are stored, %d were accepted", got, n)
	}
	if inUse := q.limits.now().bytes; inUse > most+most/10 {
		t.Errorf("%d octets are in use", inUse)
	}
	if err := q.Set(ctx, "note", make([]byte, maxNote)); err != nil {
		t.Errorf("Set to a full queue: %v", err)
	}
	for _, j := range claimAll(t, q, start) {
		finish(t, q, j, start)
	}
	if m := fillFrom(t, q, n, 100_000); m < n-2 {
		t.Errorf("after %d messages were finished there is room for %d", n, m)
	}
	checkIndexes(t, q)
}

// fillUp enqueues messages with bodies of that size until the queue is full, and returns how many.
func fillUp(t *testing.T, q *Queue, size int) int { return fillFrom(t, q, 0, size) }

func fillFrom(t *testing.T, q *Queue, first, size int) (n int) {
	t.Helper()
	for ; ; n++ {
		i := first + n
		_, err := q.Enqueue(context.Background(), message(queue.ID(fmt.Sprintf("m%d", i)), random(i, size), "example.com"))
		if errors.Is(err, queue.ErrFull) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// MinFree is about the disk, and counts what is free within the file.
func TestMinFree(t *testing.T) {
	f, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	free, _, _, ok := diskOf(f)
	if !ok {
		t.Skip("nothing is known about free disk on this system")
	}
	q := mustOpen(t, newPath(t), Options{MinFree: free * 2})
	added, err := q.Enqueue(context.Background(), message("a", nil, "example.com"))
	if added || !errors.Is(err, queue.ErrFull) || !strings.Contains(err.Error(), "MinFree") {
		t.Errorf("Enqueue with too little free disk: added %v, error %v", added, err)
	}
	for _, none := range []int64{-1, 1} {
		mustEnqueue(t, mustOpen(t, newPath(t), Options{MinFree: none}), message("a", nil, "example.com"))
	}
	l := limits{file: f, observer: &observer{}}
	if got := l.floor(usage{size: 1 << 40}); got != defaultMinFree {
		t.Errorf("the floor of a large disk is %d", got)
	}
	if got := l.floor(usage{size: 1000}); got != 100 {
		t.Errorf("the floor of a small disk is %d of 1000", got)
	}
}

// Each limit is told of once when four fifths are used up, and once more after there was room.
func TestFilling(t *testing.T) {
	events := make(chan Event, 100)
	q := mustOpen(t, newPath(t), Options{MaxMessages: 10, MinFree: -1, Observe: func(e Event) {
		events <- e
		panic("the host program's")
	}})
	ctx := context.Background()
	next := 0
	add := func(n int) {
		for range n {
			mustEnqueue(t, q, message(queue.ID(fmt.Sprintf("m%02d", next)), nil, "example.com"))
			next++
		}
	}
	want := func(n int64) {
		t.Helper()
		if e := (<-events); e != (Filling{"MaxMessages", n, 10}) {
			t.Errorf("told %+v, want %d messages", e, n)
		}
	}
	add(10)
	want(8)
	jobs := claimAll(t, q, start)
	for _, j := range jobs[:3] { // 7 are left
		finish(t, q, j, start)
	}
	add(2)
	for _, j := range jobs[3:7] { // 5
		finish(t, q, j, start)
	}
	add(3)
	want(8)
	if _, err := q.Get(ctx, "still alive"); err != nil {
		t.Error(err)
	}
	if len(events) > 0 {
		t.Errorf("told once more: %+v", <-events)
	}
}

// An Observe that hangs, or uses the queue, doesn't keep the queue from going on, nor from being closed.
func TestObserveHangs(t *testing.T) {
	hang := make(chan bool)
	told := make(chan error)
	var q *Queue
	opened := make(chan bool)
	q, err := Open(newPath(t), Options{MaxMessages: 1, Observe: func(Event) {
		<-opened
		told <- q.Set(context.Background(), "told", []byte("yes"))
		<-hang
	}})
	if err != nil {
		t.Fatal(err)
	}
	close(opened)
	mustEnqueue(t, q, message("a", nil, "example.com"))
	if err := <-told; err != nil {
		t.Errorf("Set by Observe: %v", err)
	}
	finish(t, q, claimAll(t, q, start)[0], start)
	mustEnqueue(t, q, message("b", nil, "example.com"))
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	close(hang)
	if err := <-told; !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Set by Observe after Close: %v", err)
	}
}
