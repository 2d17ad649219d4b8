package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

// The variables make the test's program the command: it moves from one to the other.
const (
	fromVariable   = "PGMOVE_FROM"
	toVariable     = "PGMOVE_TO"
	schemaVariable = "PGMOVE_SCHEMA"
)

func TestMain(m *testing.M) {
	from := os.Getenv(fromVariable)
	if from == "" {
		os.Exit(m.Run())
	}
	schema := os.Getenv(schemaVariable)
	if _, err := run(context.Background(), at(from, schema), at(os.Getenv(toVariable), schema), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// TestDatabase has the tests that share a server.
func TestDatabase(t *testing.T) {
	url := pgtest.Database(t)
	t.Run("Move", func(t *testing.T) { testMove(t, url) })
	t.Run("Kill", func(t *testing.T) { testKill(t, url) })
	t.Run("InUse", func(t *testing.T) { testInUse(t, url) })
}

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// numbered is message n: some have ended, for all or some of their recipients, and some are large.
func numbered(n int) *queue.Entry {
	e := &queue.Entry{
		Message: queue.Message{
			ID: queue.ID(fmt.Sprintf("m%05d", n)), From: "shop@example.org", Digest: [32]byte{byte(n), byte(n >> 8)}, Enqueued: start,
			Expires: start.Add(time.Hour * 1e5), Labels: []string{fmt.Sprint("batch ", n/10)},
		},
	}
	size := 30_000
	if n%50 == 0 {
		size = 600_000
	}
	e.Body = bytes.NewReader(bytes.Repeat([]byte{byte('a' + n%26)}, size+n))
	for k := range 1 + n%3 {
		j := &queue.Job{
			Key: queue.Key{ID: e.Message.ID, N: k}, Domain: fmt.Sprintf("d%d.example", k), Due: start, Held: n%7 == 0, Tries: n % 2,
			Recipients: []queue.Recipient{{Address: fmt.Sprintf("ann%d@d.example", n)}, {Address: "ben@d.example", From: "b+1@example.org"}},
		}
		if n%2 == 0 {
			j.Recipients[0].State = queue.Delivered
		}
		if n%4 == 0 && k == 0 {
			j.Recipients[1].State, j.Finished = queue.Bounced, start.Add(time.Minute)
		}
		e.Jobs = append(e.Jobs, j)
	}
	return e
}

// fill makes a queue of n messages.
func fill(t *testing.T, p place, n int) (described string) {
	t.Helper()
	q := opens(t, p, "")
	defer q.Close()
	for i := range n {
		if added, err := q.Enqueue(t.Context(), numbered(i)); err != nil || !added {
			t.Fatal(added, err)
		}
	}
	for i := range 20 {
		if err := q.(queue.Notes).Set(t.Context(), fmt.Sprint("rule ", i), []byte("pause")); err != nil {
			t.Fatal(err)
		}
	}
	return describe(t, q)
}

func opens(t *testing.T, p place, as string) opened {
	t.Helper()
	q, err := p.open(t.Context(), as)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// describe writes down what is to be kept of a queue, and counts what has ended.
func describe(t *testing.T, q queue.Queue) string {
	t.Helper()
	var b strings.Builder
	for j, err := range q.Jobs(t.Context(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range j.Recipients {
			j.Recipients[i].Mark = 0
		}
		body := crc32.NewIEEE()
		r, err := q.Open(t.Context(), j.Key.ID)
		if err == nil {
			_, err = io.Copy(body, r)
			r.Close()
		} else if errors.Is(err, queue.ErrNotFound) {
			err, j.Message.Size = nil, 0
		}
		text, failed := json.Marshal(j)
		if err = errors.Join(err, failed); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %x\n", text, body.Sum(nil))
	}
	for key, err := range q.(queue.Notes).Keys(t.Context(), "") {
		fmt.Fprintln(&b, key, err)
	}
	ended := 0
	for _, err := range q.Jobs(t.Context(), queue.Filter{Ended: true}) {
		if ended++; err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprintln(&b, ended, "have ended")
	return b.String()
}

// wantMoved checks that everything is in one place, and that the other has its last name.
func wantMoved(t *testing.T, from, to place, want string) {
	t.Helper()
	for as, expected := range map[string]bool{"": false, asMoving: false, asMoved: true} {
		if there, err := from.exists(t.Context(), as); err != nil || there != expected {
			t.Errorf("%s as %q exists: %t, error %v", from, as, there, err)
		}
	}
	for p, as := range map[place]string{from: asMoved, to: ""} {
		q := opens(t, p, as)
		got := describe(t, q)
		if q.Close(); got != want {
			t.Errorf("%s has\n%s\nwant\n%s", p, clip(got), clip(want))
		}
	}
}

func clip(s string) string { return s[:min(len(s), 3000)] }

// drop removes the schemas that moving has made.
func drop(t *testing.T, d *database) {
	t.Cleanup(func() {
		pool := pgtest.Pool(t, d.url)
		for _, as := range []string{asMoving, asMoved} {
			if _, err := pool.Exec(context.Background(), `DROP SCHEMA IF EXISTS "`+d.name(as)+`" CASCADE`); err != nil {
				t.Error(err)
			}
		}
	})
}

func newDatabase(t *testing.T, url string) *database {
	t.Helper()
	d := &database{url, pgtest.Schema(t, url)}
	drop(t, d)
	return d
}

func newFile(t *testing.T) file { return file(filepath.Join(t.TempDir(), "mail.db")) }

// A queue goes to the database and back.
func testMove(t *testing.T, url string) {
	first, second, third := newFile(t), newDatabase(t, url), newFile(t)
	want := fill(t, first, 60)
	for _, pair := range [][2]place{{first, second}, {second, third}} {
		var says bytes.Buffer
		if _, err := run(t.Context(), pair[0], pair[1], &says); err != nil {
			t.Fatal(err)
		}
		if expected := "55 messages on their way, 5 finished, 20 notes; 0 messages stay behind"; !strings.Contains(says.String(), expected) {
			t.Errorf("it said %q, want %q", says.String(), expected)
		}
	}
	wantMoved(t, second, third, want)
	for _, from := range []place{first, second} {
		if _, err := run(t.Context(), from, third, io.Discard); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "has been moved already") {
			t.Errorf("moving %s again: %v", from, err)
		}
	}
	if _, err := run(t.Context(), newFile(t), third, io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Error("moving nothing:", err)
	}
	opens(t, first, "").Close() // a program that wasn't told has begun a new one
	if _, err := run(t.Context(), first, third, io.Discard); !errors.Is(err, fs.ErrExist) {
		t.Error("moving another:", err)
	}
}
