package boltqueue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

const poisonID = "poison"

// deliver has eight workers deliver all there is to be delivered. It is the end of the process when one of them reads the body of
// the poison message, in every other life as a crash of the program, else as a kill.
func deliver(path string) error {
	q, err := Open(path, Options{Observe: func(e Event) { fmt.Printf("event %#v\n", e) }})
	if err != nil {
		return err
	}
	ctx := context.Background()
	left := atomic.Int64{}
	for j, err := range q.Jobs(ctx, queue.Filter{Unfinished: true}) {
		if err != nil {
			return err
		}
		if !j.Held {
			left.Add(1)
		}
	}
	var workers sync.WaitGroup
	failed := make(chan error, 8)
	for range 8 {
		workers.Go(func() {
			for left.Load() > 0 {
				done, err := deliverOne(ctx, q)
				if err != nil {
					failed <- err
					return
				}
				if left.Add(int64(-done)); done == 0 {
					time.Sleep(time.Millisecond) // others are at work
				}
			}
		})
	}
	workers.Wait()
	close(failed)
	return errors.Join(<-failed, q.Close())
}

// deliverOne delivers what is due next, if anything is, and returns how many jobs that were.
func deliverOne(ctx context.Context, q *Queue) (int, error) {
	c, err := q.Claim(ctx, queue.ClaimRequest{Now: time.Now(), Lease: time.Hour, Limit: 1})
	if err != nil || len(c.Jobs) == 0 {
		return 0, err
	}
	j := c.Jobs[0]
	body, err := q.Open(ctx, j.Key.ID)
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return 0, err
	}
	if j.Key.ID == poisonID {
		fmt.Println("swallowed")
		if q.claims.token>>epochBits%2 == 0 {
			os.Exit(3)
		}
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return 0, err
		}
		return 0, errors.Join(self.Kill(), self.Release())
	}
	j.Recipients[0].State, j.Finished = queue.Delivered, time.Now()
	return 1, q.Commit(ctx, j)
}

// A message that ends the process of whoever works on it is held after five lives, and all mail around it is delivered.
func TestPoisonEndsProcesses(t *testing.T) {
	path := newPath(t)
	q, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const innocents = 400
	for i := range innocents {
		now := time.Now()
		e := message(queue.ID(fmt.Sprintf("m%03d", i)), random(i, 2000), fmt.Sprintf("d%d.example", i%10))
		if i == 20 {
			e = message(poisonID, random(i, 2000), "d5.example")
		}
		e.Message.Enqueued, e.Message.Expires, e.Jobs[0].Due = now, now.Add(time.Hour), now
		mustEnqueue(t, q, e)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	ends, events := 0, ""
	for {
		cmd, _, out := child(t, "deliverer", path)
		swallowed := false
		for out.Scan() {
			swallowed = swallowed || out.Text() == "swallowed"
			if event, ok := strings.CutPrefix(out.Text(), "event "); ok {
				events += event
			}
		}
		err := cmd.Wait()
		if !swallowed {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if ends++; ends > 5 {
			t.Fatal("it goes on for ever")
		}
	}
	if want := fmt.Sprintf("%#v", Poisoned{queue.Key{ID: poisonID}}); ends != 5 || events != want {
		t.Errorf("%d ends, events %s, want 5 and %s", ends, events, want)
	}
	q = mustOpen(t, path, Options{})
	for _, j := range listed(t, q) {
		if poison := j.Key.ID == poisonID; j.Held != poison || j.Finished.IsZero() != poison {
			t.Errorf("%q is held: %v, finished: %v", j.Key, j.Held, !j.Finished.IsZero())
		}
	}
	checkIndexes(t, q)
}
