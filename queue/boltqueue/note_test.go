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

// Claiming writes nothing in a file that was closed in order, or is new.
func TestNothingIsNotedInAnIntactFile(t *testing.T) {
	path := newPath(t)
	for range 2 {
		q, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			_, err := q.Enqueue(t.Context(), message(queue.ID(fmt.Sprint("m", i)), nil, "a.example"))
			if err != nil {
				t.Fatal(err)
			}
		}
		before := transactions(t, q)
		if jobs := claimAll(t, q, start); len(jobs) != 3 {
			t.Errorf("%d jobs", len(jobs))
		}
		if n := transactions(t, q) - before; n != 0 {
			t.Errorf("a claim took %d transactions", n)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// After an unclean end a claim that returns jobs is noted in one transaction, until a minute has passed.
func TestClaimsAreNoted(t *testing.T) {
	q := newCrashed(t, "a", "b", "c", "d", "e")
	takes := func(want int, what string, f func()) {
		t.Helper()
		before := transactions(t, q)
		f()
		if n := transactions(t, q) - before; n != want {
			t.Errorf("%s took %d transactions, want %d", what, n, want)
		}
	}
	var jobs []*queue.Job
	takes(1, "a claim of two jobs", func() { _, jobs = claimSome(t, q, 2, 0) })
	if list := notes(t, q); len(list) != 2 || !list[0].leased || list[0].ends != 0 {
		t.Errorf("notes %+v", list)
	}
	takes(0, "a claim of nothing", func() { claimSome(t, q, 0, 0) })
	takes(0, "a claim by key", func() {
		_, err := q.Claim(t.Context(), queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 1, Keys: []queue.Key{{ID: "c"}}})
		if err != nil {
			t.Fatal(err)
		}
	})
	takes(1, "a commit", func() { finish(t, q, jobs[0], start) })
	if list := notes(t, q); len(list) != 1 || list[0].key != jobs[1].Key {
		t.Errorf("notes after a commit: %+v", list)
	}
	takes(1, "a claim just before the minute is over", func() { claimSome(t, q, 1, time.Minute-1) })
	takes(0, "a claim after a minute", func() { claimSome(t, q, 1, time.Minute) })
	takes(0, "a claim whose Now is earlier, once the minute is over", func() { claimSome(t, q, 1, 0) })
	if list := notes(t, q); len(list) != 2 {
		t.Errorf("notes after the minute: %+v", list)
	}
}

// The minute begins with the earliest Now, so one wrong clock doesn't make it last.
func TestMinuteGoesByTheEarliestNow(t *testing.T) {
	q := newCrashed(t, "a", "b", "c")
	claimSome(t, q, 1, 1000*time.Hour)
	claimSome(t, q, 1, 0)
	claimSome(t, q, 1, time.Minute)
	if list := notes(t, q); len(list) != 2 {
		t.Errorf("notes: %+v", list)
	}
}

// What Close leaves of notes is nothing, unless they are of suspects.
func TestCloseErasesNotes(t *testing.T) {
	q := newCrashed(t, "a", "b")
	wantClaim(t, q, 0, "a", "b")
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = mustOpen(t, q.path, Options{})
	if list := notes(t, q); len(list) > 0 {
		t.Errorf("notes %+v", list)
	}
}

// failToNote claims at a moment when nothing can be written.
func failToNote(t *testing.T, q *Queue, now time.Time) {
	t.Helper()
	broken := errors.New("broken")
	resume := stall(q)
	claimed := make(chan error)
	go func() {
		c, err := q.Claim(context.Background(), queue.ClaimRequest{Now: now, Lease: time.Hour, Limit: 5})
		if len(c.Jobs) > 0 {
			err = fmt.Errorf("%d jobs, error %w", len(c.Jobs), err)
		}
		claimed <- err
	}()
	waitFor(q, 1)
	go func() { _ = q.submit(context.Background(), changeFunc(func(*tx) error { return broken }), 0) }()
	waitFor(q, 2)
	resume()
	if err := <-claimed; !errors.Is(err, broken) {
		t.Fatalf("error %v", err)
	}
}

// A claim whose note can't be stored leases nothing.
func TestNoteFails(t *testing.T) {
	q := newCrashed(t, "a", "b")
	failToNote(t, q, start.Add(time.Second))
	if list := notes(t, q); len(list) > 0 {
		t.Errorf("notes %+v", list)
	}
	c, err := q.Claim(t.Context(), queue.ClaimRequest{Now: start.Add(time.Second), Lease: time.Second, Limit: 5})
	if err != nil || len(c.Jobs) != 2 {
		t.Fatalf("%v, error %v", c.Jobs, err)
	}
	for _, j := range c.Jobs {
		if j.Lapses != 0 {
			t.Errorf("%q has %d lapses", j.Key, j.Lapses)
		}
	}
	wantSuspects(t, crash(t, q, nil), map[queue.Key]int{{ID: "a"}: 1, {ID: "b"}: 1})

	failToNote(t, q, start.Add(10*time.Second)) // when the leases have ended
	finish(t, q, c.Jobs[0], start)              // which nobody has claimed since
	if j := wantClaim(t, q, 10*time.Second, "b")[0]; j.Lapses != 1 {
		t.Errorf("%q has %d lapses", j.Key, j.Lapses)
	}
	checkIndexes(t, q)
}

// A damaged note is passed over: the jobs of all others are none the worse for it.
func TestDamagedNotes(t *testing.T) {
	for name, edit := range map[string]func(claimed *bolt.Bucket) error{
		"no key":        func(claimed *bolt.Bucket) error { return put(claimed, []byte("a"), []byte{0, 1}) },
		"no fields":     func(claimed *bolt.Bucket) error { return put(claimed, jobKey(queue.Key{ID: "a"}), nil) },
		"no checksum":   func(claimed *bolt.Bucket) error { return claimed.Put(jobKey(queue.Key{ID: "a"}), make([]byte, 9)) },
		"an odd bucket": func(claimed *bolt.Bucket) error { _, err := claimed.CreateBucket([]byte("a")); return err },
	} {
		path := write(t, sample(t))
		edited(t, path, func(b *bolt.Tx) error { return edit(b.Bucket([]byte(claimedBucket))) })
		var events []Event
		q := mustOpen(t, path, Options{Observe: func(e Event) { events = append(events, e) }})
		waitTold(q)
		if len(events) != 1 {
			t.Fatalf("%s: told %v", name, events)
		}
		if u, ok := events[0].(Unreadable); !ok || !errors.Is(u.Err, queue.ErrDamaged) {
			t.Errorf("%s: told %+v", name, events[0])
		}
		wantSuspects(t, q, map[queue.Key]int{})
	}
}
