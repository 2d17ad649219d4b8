package boltqueue

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

func TestRetention(t *testing.T) {
	q := mustOpen(t, newPath(t), Options{Retention: time.Hour})
	var domains []string
	for i := range 3 * purgeLimit(1) {
		domains = append(domains, fmt.Sprintf("d%d.example", i))
	}
	mustEnqueue(t, q, message("large", nil, domains...))
	mustEnqueue(t, q, message("small", nil, "example.com"))
	for _, j := range claimAll(t, q, start) {
		finish(t, q, j, start)
	}
	late := message("late", nil, "example.com")
	late.Message.Enqueued = start.Add(time.Hour)
	mustEnqueue(t, q, late)
	if n := len(list(t, q, queue.Filter{})); n != 3*purgeLimit(1)+2 {
		t.Fatalf("%d jobs are left when retention is just over", n)
	}
	for i := range 5 {
		e := message(queue.ID(fmt.Sprintf("later-%d", i)), nil, "example.com")
		e.Message.Enqueued = start.Add(time.Hour + 1)
		before := len(list(t, q, queue.Filter{}))
		mustEnqueue(t, q, e)
		if after := len(list(t, q, queue.Filter{})); after < before+1-purgeLimit(1) {
			t.Fatalf("one transaction purged %d jobs", before+1-after)
		}
		checkIndexes(t, q)
	}
	if got := list(t, q, queue.Filter{}); len(got) != 6 {
		t.Fatalf("what is left: %q", got)
	}
	if added, err := q.Enqueue(context.Background(), message("small", nil, "example.com")); !added || err != nil {
		t.Fatalf("after retention the ID is free again: added %v, error %v", added, err)
	}
}

// finished makes a queue with n finished messages of one job each.
func finished(t *testing.T, n int) *Queue {
	t.Helper()
	q := mustOpen(t, newPath(t), Options{Retention: time.Hour})
	var es []*queue.Entry
	for i := range n {
		e := message(queue.ID(fmt.Sprintf("old-%05d", i)), nil, "example.com")
		e.Jobs[0].Recipients[0].State, e.Jobs[0].Finished = queue.Delivered, start
		es = append(es, e)
	}
	if got, err := q.EnqueueAll(context.Background(), slices.Values(es)); got != n || err != nil {
		t.Fatalf("EnqueueAll: %d durable, error %v", got, err)
	}
	return q
}

func count(t *testing.T, q *Queue) int {
	t.Helper()
	return len(list(t, q, queue.Filter{}))
}

// However much is over, a transaction purges no more than twice as many jobs as it changes, and a few.
func TestPurgeGradually(t *testing.T) {
	q := finished(t, 3000)
	late := func(id string) *queue.Entry {
		e := message(queue.ID(id), nil, "example.com")
		e.Message.Enqueued = start.Add(2 * time.Hour)
		return e
	}
	before := count(t, q)
	mustEnqueue(t, q, late("one"))
	if n := before + 1 - count(t, q); n != 18 {
		t.Errorf("with one message %d jobs were purged", n)
	}
	for _, n := range []int{10, 1000} {
		before := count(t, q)
		transaction := transactions(t, q)
		resume := stall(q)
		done := make(chan error)
		for i := range n {
			go func() {
				_, err := q.Enqueue(context.Background(), late(fmt.Sprintf("group-%d-%d", n, i)))
				done <- err
			}()
		}
		waitFor(q, n)
		resume()
		for range n {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		want := 18 + purgeLimit(n) // stall has made a transaction, too
		if got := before + n - count(t, q); got != want || transactions(t, q) != transaction+2 {
			t.Errorf("with %d messages %d jobs were purged in %d transactions, want %d", n, got, transactions(t, q)-transaction, want)
		}
	}
	checkIndexes(t, q)
}

// When nothing is enqueued or finished, claiming has some jobs purged for each second that Now goes on.
func TestPurgeIdly(t *testing.T) {
	q := finished(t, 3*purgeIdle)
	transaction := transactions(t, q)
	claimAll(t, q, start.Add(time.Hour))
	if got := transactions(t, q); got != transaction {
		t.Error("a claim that finds nothing to purge has written")
	}
	for i := range 3 {
		now := start.Add(time.Hour + time.Duration(i+1)*time.Second)
		for range 10 {
			claimAll(t, q, now)
		}
		// What is enqueued behind it shows that the purge is over. It is of long ago, but time doesn't go back.
		mustEnqueue(t, q, message(queue.ID(fmt.Sprintf("new-%d", i)), nil, "example.com"))
		least := max(0, 3*purgeIdle-(i+1)*(purgeIdle+2*purgeLimit(1)))
		most := max(0, 3*purgeIdle-(i+1)*(purgeIdle+purgeLimit(2)))
		if got := count(t, q) - i - 1; got < least || got > most {
			t.Errorf("after %d seconds %d finished jobs are left, want %d to %d", i+1, got, least, most)
		}
	}
	transaction = transactions(t, q)
	claimAll(t, q, start.Add(5*time.Hour))
	if got := transactions(t, q); got != transaction {
		t.Error("a claim that finds nothing left to purge has written")
	}
	checkIndexes(t, q)
}

// A damaged record among those that are over keeps nothing else from being changed.
func TestPurgeDamaged(t *testing.T) {
	for what, damage := range map[string]func(x *tx) error{
		"entry": func(x *tx) error { return x.finished().Put([]byte("?"), nil) },
		"job":   func(x *tx) error { return x.jobs().Put(jobKey(queue.Key{ID: "old-00000"}), []byte("?")) },
	} {
		q := finished(t, 3)
		if err := q.submit(context.Background(), changeFunc(damage), 0); err != nil {
			t.Fatal(err)
		}
		late := message("late", nil, "example.com")
		late.Message.Enqueued = start.Add(2 * time.Hour)
		if added, err := q.Enqueue(context.Background(), late); !added || err != nil {
			t.Errorf("%s: Enqueue: added %v, error %v", what, added, err)
		}
		if _, err := q.Claim(context.Background(), queue.ClaimRequest{Now: start.Add(3 * time.Hour), Lease: time.Hour, Limit: 1}); err != nil {
			t.Errorf("%s: Claim: %v", what, err)
		}
		path := q.path
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, path, Options{})
	}
}
