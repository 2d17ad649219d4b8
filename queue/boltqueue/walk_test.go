package boltqueue

import (
	"fmt"
	"os"
	"testing"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// Opening a file that was not closed finds its free pages: all of them, and no other.
func TestNotClosed(t *testing.T) {
	path := newPath(t)
	q := mustOpen(t, path, Options{})
	for i := range 60 {
		mustEnqueue(t, q, message(queue.ID(fmt.Sprintf("m%d", i)), random(i, 1000*i), "a.example", "b.example"))
	}
	for _, j := range claimAll(t, q, start)[:70] {
		finish(t, q, j, start)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if m := newest(t, b); m.freelist != noFreelist {
		t.Fatal("a commit stores the freelist")
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	closed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if m := newest(t, closed); m.freelist == noFreelist {
		t.Error("Close doesn't store the freelist")
	}

	path = write(t, b)
	q = mustOpen(t, path, Options{})
	checkPages(t, q)
	for i := range 60 {
		mustEnqueue(t, q, message(queue.ID(fmt.Sprintf("n%d", i)), random(i, 1000*i), "a.example", "b.example"))
	}
	checkPages(t, q)
	for i := range 60 {
		id := queue.ID(fmt.Sprintf("n%d", i))
		checkBody(t, q, id, random(i, 1000*i))
	}
	checkIndexes(t, q)
}

// checkPages has bbolt look whether each page is either free or used once.
func checkPages(t *testing.T, q *Queue) {
	t.Helper()
	err := q.db.View(func(b *bolt.Tx) error {
		for err := range b.Check() {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
