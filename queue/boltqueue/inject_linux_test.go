package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

var injectAll = flag.Bool("inject.all", false, "make every call fail in its turn in TestFailingDisk, instead of some")

// suffer works on a queue whose disk fails now and then, and says what it was told.
func suffer(path string) (err error) {
	ctx := context.Background()
	q, err := Open(path, Options{})
	for range 2 {
		if err != nil {
			q, err = Open(path, Options{})
		}
	}
	if err != nil {
		return nil // nothing was said
	}
	for n := range 12 {
		e := numbered(n)
		_, err := q.Enqueue(ctx, e)
		tell("queued", e.Message.ID, 0, err, func() error { _, err := q.Enqueue(ctx, numbered(n)); return err })
		if n%2 == 0 {
			continue
		}
		c, err := q.Claim(ctx, queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 1})
		if err != nil {
			continue
		}
		for _, j := range c.Jobs {
			j.Recipients[0].State, j.Finished = queue.Bounced, start
			commit := func() error {
				return q.Commit(ctx, j, message(bounceID(j.Key), random(j.Key.N, 400), "example.org"))
			}
			if strings.HasPrefix(string(j.Key.ID), "b") {
				j.Recipients[0].State = queue.Delivered
				commit = func() error { return q.Commit(ctx, j) }
			}
			tell("finished", j.Key.ID, j.Key.N, commit(), commit)
		}
	}
	q.Close()
	return nil
}

// tell says what has become of a change. If it can't be known it asks again.
func tell(word string, id queue.ID, n int, err error, again func() error) {
	doubt := errors.Is(err, queue.ErrInDoubt)
	if doubt {
		fmt.Println("doubt", word, id, n)
		err = again()
	}
	switch {
	case err == nil:
		fmt.Println("done", word, id, n)
	case !doubt:
		fmt.Println("failed", word, id, n)
	}
}

// Whichever call fails, once or from then on: what was said to be done is there, what was said to have failed isn't, and what
// can't be known is said to be so.
func TestFailingDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	runs, doubts, failures := 0, 0, 0
	for _, fault := range []string{"pwrite64:error=EIO", "pwrite64:error=ENOSPC", "fdatasync:error=EIO", "fsync:error=EIO", "ftruncate:error=ENOSPC"} {
		for _, from := range []string{"", "+"} {
			for nth, injected := 1, true; injected; nth++ {
				if !*injectAll && nth > 2 {
					nth *= 2
				}
				var said []byte
				said, injected = inject(t, fmt.Sprintf("%s:when=%d%s", fault, nth, from))
				runs++
				doubts += bytes.Count(said, []byte("doubt"))
				failures += bytes.Count(said, []byte("failed"))
			}
		}
	}
	t.Logf("%d runs, %d failed changes, %d in doubt", runs, failures, doubts)
	if doubts == 0 || failures == 0 {
		t.Errorf("%d changes failed and %d were in doubt", failures, doubts)
	}
}

// inject has a process suffer from a fault and compares what it said with what is stored. It reports whether any call failed.
func inject(t *testing.T, fault string) (said []byte, injected bool) {
	t.Helper()
	dir := memoryDir(t)
	path, trace := filepath.Join(dir, "mail.db"), filepath.Join(dir, "trace")
	if q, err := Open(path, Options{}); err != nil || q.Close() != nil {
		t.Fatal(err)
	}
	call, _, _ := strings.Cut(fault, ":")
	said, err := tracer(t, "sufferer", path, "-o", trace, "-P", path, "-e", "trace="+call, "-e", "inject="+fault, "-s", "0").Output()
	if err != nil {
		t.Fatalf("%s: %v", fault, err)
	}
	calls, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	q, err := Open(path, Options{})
	if err != nil {
		t.Fatalf("%s: %v", fault, err)
	}
	defer q.Close()
	stored := map[queue.Key]*queue.Job{}
	for j, err := range q.Jobs(context.Background(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		stored[j.Key] = j
	}
	for line := range strings.Lines(string(said)) {
		var outcome, word string
		var k queue.Key
		if _, err := fmt.Sscan(line, &outcome, &word, &k.ID, &k.N); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		j := stored[k]
		there := j != nil && (word == "queued" || !j.Finished.IsZero())
		if outcome == "done" && !there || outcome == "failed" && there {
			t.Errorf("%s: %s %s %q, but that it is there is %v", fault, outcome, word, k, there)
		}
	}
	for k, j := range stored {
		checkStored(t, j, stored)
		if k.N == 0 && j.Finished.IsZero() {
			checkBody(t, q, k.ID, bodyOfNumber(t, j))
		}
	}
	checkIndexes(t, q)
	return said, bytes.Contains(calls, []byte("INJECTED"))
}
