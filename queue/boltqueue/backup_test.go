package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// gate is a writer that takes nothing until it is opened.
type gate struct {
	bytes         bytes.Buffer
	begun, opened chan bool
}

func (g *gate) Write(p []byte) (int, error) {
	select {
	case g.begun <- true:
		<-g.opened
	case <-g.opened:
	}
	return g.bytes.Write(p)
}

// A backup is the queue at the moment it began, however long it takes, and nobody waits for it: the file grows to many
// times its size while somebody holds up the copy.
func TestBackup(t *testing.T) {
	path, left := drainedFile(t, 300, 9000)
	q := mustOpen(t, path, Options{})
	leased := claimAll(t, q, start)
	g := &gate{begun: make(chan bool), opened: make(chan bool)}
	type result struct {
		n   int64
		err error
	}
	ended := make(chan result)
	go func() {
		n, err := q.WriteTo(g)
		ended <- result{n, err}
	}()
	select {
	case <-g.begun:
	case r := <-ended:
		t.Fatalf("WriteTo has ended early: %+v", r)
	}
	before := sizeOf(t, path)
	for i := range 40 {
		mustEnqueue(t, q, message(queue.ID(fmt.Sprintf("new-%d", i)), random(i, 3*segmentSize), "example.com"))
	}
	for _, j := range leased {
		finish(t, q, j, start)
	}
	if after := sizeOf(t, path); after < 5*before {
		t.Errorf("the file has grown from %d to %d octets only", before, after)
	}
	if free, inUse := q.room.free, q.room.inUse(); free > inUse {
		t.Errorf("%d octets are free and %d in use: deleted pages are not used again", free, inUse)
	}
	close(g.opened)
	if r := <-ended; r.err != nil || r.n != int64(g.bytes.Len()) {
		t.Fatalf("WriteTo: %d of %d octets, error %v", r.n, g.bytes.Len(), r.err)
	}
	if g.bytes.Len() > 256<<10 {
		t.Errorf("the copy has %d octets", g.bytes.Len())
	}
	checkCopied(t, write(t, g.bytes.Bytes()), left, 9000)
	if names, err := filepath.Glob(path + "?*"); len(names) > 0 || err != nil {
		t.Errorf("left behind: %q, error %v", names, err)
	}
}

// Copies of a queue at work are whole: each message with its body, and all indexes in step.
func TestBackupAtWork(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	q := mustOpen(t, newPath(t), Options{})
	done := make(chan error)
	for w := range 4 {
		go func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := queue.ID(fmt.Sprintf("m%d-%d", w, i))
				if _, err := q.Enqueue(ctx, message(id, random(i, i%3*segmentSize+100), "example.com")); err != nil && ctx.Err() == nil {
					done <- err
					return
				}
				c, err := q.Claim(ctx, queue.ClaimRequest{Now: start, Lease: 1, Limit: 1})
				for _, j := range c.Jobs {
					j.Recipients[0].State, j.Finished = queue.Delivered, start
					if err := q.Commit(ctx, j); err != nil && !errors.Is(err, queue.ErrLeaseLost) && ctx.Err() == nil {
						done <- err
						return
					}
				}
				if err != nil && ctx.Err() == nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 10 {
		var b bytes.Buffer
		if _, err := q.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		c, err := Open(write(t, b.Bytes()), Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkUnfinished(t, c, len(list(t, c, queue.Filter{Unfinished: true})))
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A backup that fails says so and leaves nothing.
func TestBackupFails(t *testing.T) {
	path, _ := drainedFile(t, 20, 9000)
	q := mustOpen(t, path, Options{MinFree: 1 << 60})
	if n, err := q.WriteTo(io.Discard); n != 0 || err == nil {
		t.Errorf("WriteTo with too little free disk: %d octets, error %v", n, err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := q.WriteTo(io.Discard); n != 0 || !errors.Is(err, queue.ErrClosed) {
		t.Errorf("WriteTo of a closed queue: %d octets, error %v", n, err)
	}

	q = mustOpen(t, path, Options{})
	broken := errors.New("broken")
	if _, err := q.WriteTo(writerFunc(func([]byte) (int, error) { return 0, broken })); !errors.Is(err, broken) {
		t.Errorf("WriteTo to a broken writer: %v", err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := newest(t, b)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	root := make([]byte, pageHeader)
	if _, err := f.ReadAt(root, int64(m.root)*m.pageSize); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, pageHeader), int64(m.root)*m.pageSize); err != nil {
		t.Fatal(err)
	}
	if n, err := q.WriteTo(io.Discard); n != 0 || !errors.Is(err, queue.ErrDamaged) {
		t.Errorf("WriteTo of a damaged queue: %d octets, error %v", n, err)
	}
	if _, err := f.WriteAt(root, int64(m.root)*m.pageSize); err != nil {
		t.Fatal(err)
	}
	if names, err := filepath.Glob(path + "?*"); len(names) > 0 || err != nil {
		t.Errorf("left behind: %q, error %v", names, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// As long as a copy is being made the file can grow: it is mapped beyond its end.
func TestReaderHoldsNobodyUp(t *testing.T) {
	if mapReserve < 1<<30 {
		t.Skip("this system has no addresses to spare")
	}
	q := mustOpen(t, newPath(t), Options{})
	err := q.db.View(func(*bolt.Tx) error {
		for i := range 30 {
			mustEnqueue(t, q, message(queue.ID(fmt.Sprintf("m%d", i)), random(i, 3*segmentSize), "example.com"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkUnfinished reads every unfinished message.
func checkUnfinished(t *testing.T, q *Queue, want int) {
	t.Helper()
	if got := list(t, q, queue.Filter{Unfinished: true}); len(got) != want {
		t.Errorf("%d messages are stored, want %d", len(got), want)
	}
	for j, err := range q.Jobs(context.Background(), queue.Filter{Unfinished: true}) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := q.Open(context.Background(), j.Key.ID)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); err != nil || n != j.Message.Size {
			t.Errorf("the body of %q ends after %d of %d octets: %v", j.Key.ID, n, j.Message.Size, err)
		}
	}
	checkIndexes(t, q)
	checkPages(t, q)
}
