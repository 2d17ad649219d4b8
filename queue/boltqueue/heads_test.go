package boltqueue

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// A job whose first attempt ends in another moves from lane to lane, and is in one of them at any time.
func TestHeadsDuringMoves(t *testing.T) {
	q, err := Open(t.TempDir()+"/queue", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	j := &queue.Job{Key: queue.Key{ID: "m"}, Domain: "a.example", Due: now, Recipients: []queue.Recipient{{Address: "a@a.example"}}}
	e := &queue.Entry{Message: queue.Message{ID: "m", Expires: now.Add(time.Hour)}, Jobs: []*queue.Job{j}}
	if _, err := q.Enqueue(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	missed := make(chan bool)
	go func() {
		var any bool
		for !stop.Load() && !any {
			heads := 0
			for _, err := range q.Jobs(context.Background(), queue.Filter{Heads: true}) {
				if err == nil {
					heads++
				}
			}
			any = heads == 0
		}
		missed <- any
	}()
	for n := range 200 {
		c, err := q.Claim(context.Background(), queue.ClaimRequest{Now: now, Lease: time.Minute, Limit: 1, Keys: []queue.Key{{ID: "m"}}})
		if err != nil || len(c.Jobs) != 1 {
			t.Fatal(c, err)
		}
		c.Jobs[0].Tries = n % 2
		if err := q.Commit(context.Background(), c.Jobs[0]); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	if <-missed {
		t.Error("a listing of heads has missed the job")
	}
}
