package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// changed is the file of a queue with three jobs of a lane, in which a text was changed wherever it stands.
func changed(t *testing.T, old, now string) (path string) {
	t.Helper()
	path = newPath(t)
	q, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range []queue.ID{"first", "second", "third"} {
		e := message(id, strings.NewReader("body of "+string(id)), "example.com")
		e.Message.Labels = []string{"label of " + string(id)}
		e.Jobs[0].Due = start.Add(time.Duration(i))
		e.Jobs[0].Recipients[0].Address = string(id) + "@example.com"
		mustEnqueue(t, q, e)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, bytes.ReplaceAll(b, []byte(old), []byte(now)))
}

// A job that can't be read is passed over and told once; the others go on.
func TestUnreadable(t *testing.T) {
	ctx := context.Background()
	entry := func(id queue.ID, at int) string {
		return string(entryKey(lanePrefix(queue.Lane{Domain: "example.com"}, false), start.Add(time.Duration(at)), queue.Key{ID: id}))
	}
	for name, tt := range map[string]struct {
		old, now string
		lists    bool // whether a listing meets it
	}{
		"job":         {"first@example.com", "First@example.com", true},
		"message":     {"label of first", "Label of first", true},
		"index entry": {entry("first", 0), strings.Replace(entry("first", 0), "first", "First", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			var told []Event
			q := mustOpen(t, changed(t, tt.old, tt.now), Options{Observe: func(e Event) { told = append(told, e) }})
			var got []queue.ID
			for range 3 {
				for _, take := range [][]queue.Take{nil, {{Lane: queue.Lane{Domain: "example.com"}, N: 9}}} {
					c, err := q.Claim(ctx, queue.ClaimRequest{Now: start.Add(time.Minute), Lease: time.Hour, Limit: 9, Take: take})
					if err != nil {
						t.Fatal(err)
					}
					for _, j := range c.Jobs {
						got = append(got, j.Key.ID)
						finish(t, q, j, start)
					}
				}
			}
			if !slices.Equal(got, []queue.ID{"second", "third"}) {
				t.Errorf("claimed %q", got)
			}
			waitTold(q)
			if len(told) != 1 {
				t.Fatalf("told %q", told)
			}
			if u, ok := told[0].(Unreadable); !ok || !errors.Is(u.Err, queue.ErrDamaged) || !strings.Contains(u.Err.Error(), q.path) || strings.ToLower(u.Key.String()) != "first/0" {
				t.Errorf("told %+v", told[0])
			}
			listed := 0
			var last error
			for _, err := range q.Jobs(ctx, queue.Filter{}) {
				if last = err; err == nil {
					listed++
				}
			}
			if tt.lists && (listed != 2 || !errors.Is(last, queue.ErrDamaged)) || !tt.lists && (listed != 3 || last != nil) {
				t.Errorf("listed %d, then %v", listed, last)
			}
			for range q.Jobs(ctx, queue.Filter{Heads: true}) {
				t.Error("what can't be claimed is a head")
			}
		})
	}
}

// A body with a damaged page ends in an error, and doesn't keep its message from ending.
func TestUnreadableBody(t *testing.T) {
	path := newPath(t)
	q, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustEnqueue(t, q, message("a", strings.NewReader(strings.Repeat("in the body ", 1000)), "example.com"))
	mustEnqueue(t, q, message("b", strings.NewReader(strings.Repeat("another one ", 1000)), "example.com"))
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := os.Getpagesize()
	page := b[bytes.Index(b, []byte("in the body"))/size*size:][:size]
	native.PutUint16(page[8:], branchFlag) // that leads to itself
	native.PutUint64(page[pageHeader+8:], native.Uint64(page))
	q = mustOpen(t, write(t, b), Options{})
	for _, j := range claimAll(t, q, start) {
		r, err := q.Open(context.Background(), j.Key.ID)
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if bad := j.Key.ID == "a"; bad != errors.Is(err, io.ErrUnexpectedEOF) || bad != errors.Is(err, queue.ErrDamaged) {
			t.Errorf("the body of %q: error %v", j.Key.ID, err)
		}
		finish(t, q, j, start)
	}
}

// A page that can't be read when it is needed is an error, too: here the file is cut while it is open.
func TestCutWhileOpen(t *testing.T) {
	ctx := context.Background()
	path := write(t, sample(t))
	q, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4*int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	for _, err := range q.Jobs(ctx, queue.Filter{}) {
		if !errors.Is(err, queue.ErrDamaged) {
			t.Errorf("Jobs: error %v", err)
		}
		break
	}
	if _, err := q.Claim(ctx, queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 9}); !errors.Is(err, queue.ErrDamaged) {
		t.Errorf("Claim: error %v", err)
	}
	if _, err := q.Enqueue(ctx, message("new", nil, "example.com")); !errors.Is(err, queue.ErrDamaged) {
		t.Errorf("Enqueue: error %v", err)
	}
	_ = q.Close() // which fails only if it needs a page that has gone
	_, err = Open(path, Options{})
	wantPathError(t, path, err, queue.ErrDamaged)
}
