package pgqueue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// bodies enqueues messages with bodies of these sizes, as a process would that has no memory of them.
func bodies(t *testing.T, q *Queue, sizes ...int) map[queue.ID][]byte {
	t.Helper()
	now := time.Now()
	all := make(map[queue.ID][]byte)
	for i, size := range sizes {
		id := queue.ID(fmt.Sprintf("m%02d", i))
		b := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(i)}).Read(b)
		all[id] = b
		e := &queue.Entry{
			Message: queue.Message{ID: id, Enqueued: now, Expires: now.Add(time.Hour)},
			Jobs:    []*queue.Job{{Key: queue.Key{ID: id}, Domain: "a.example", Due: now, Recipients: []queue.Recipient{{Address: "a@a.example"}}}},
			Body:    bytes.NewReader(b),
		}
		if _, err := q.Enqueue(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		q.fresh.forget(id)
	}
	return all
}

// Bodies of all sizes that are opened together are what they are alone, and those that aren't there hurt no others.
func TestOpenTogether(t *testing.T) {
	_, q := openInside(t)
	all := bodies(t, q, 0, 1, pieceSize-1, pieceSize, pieceSize+1, sharedPieces*pieceSize, sharedPieces*pieceSize+1, firstPieces*pieceSize+1, 1<<20)
	c, err := q.Claim(t.Context(), queue.ClaimRequest{Now: time.Now(), Lease: time.Hour, Keys: []queue.Key{{ID: "m01"}}, Limit: 1})
	if err != nil || len(c.Jobs) != 1 {
		t.Fatal(c.Jobs, err)
	}
	c.Jobs[0].Finished, c.Jobs[0].Recipients[0].State = time.Now(), queue.Delivered
	if err := q.Commit(t.Context(), c.Jobs[0]); err != nil {
		t.Fatal(err)
	}
	delete(all, "m01")
	ids := []queue.ID{"m08", "m01", "m07", "m06", "unknown", "m00", "m02", "m03", "m04", "m05", "m06"}
	var list []*reader
	for _, id := range ids {
		list = append(list, &reader{q: q, ctx: t.Context(), id: id})
	}
	if err := q.openTogether(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		want, there := all[r.id]
		if r.found != there {
			t.Errorf("%s is found: %v", r.id, r.found)
		}
		if !there {
			continue
		}
		if n := len(r.pieces); n > sharedPieces {
			t.Errorf("%d pieces of %s come with the others", n, r.id)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d octets, %v, want %d", r.id, len(got), err, len(want))
		}
	}
	if err := q.open(t.Context(), &reader{q: q, ctx: t.Context(), id: "m01"}); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("the body of a finished message: %v", err)
	}
}

// Everybody who opens at the same time gets what they ask for.
func TestOpenCrowd(t *testing.T) {
	pool, q := openInside(t)
	sizes := make([]int, 20)
	for i := range sizes {
		sizes[i] = i * 3000
	}
	all := bodies(t, q, sizes...)
	for range 3 {
		c, err := pool.Acquire(t.Context()) // so that not all have a connection at once
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
	}
	var crowd sync.WaitGroup
	for i := range 200 {
		crowd.Go(func() {
			id := queue.ID(fmt.Sprintf("m%02d", i%25))
			r, err := q.Open(t.Context(), id)
			if want, there := all[id]; !there {
				if !errors.Is(err, queue.ErrNotFound) {
					t.Errorf("%s: %v", id, err)
				}
			} else if err != nil {
				t.Errorf("%s: %v", id, err)
			} else if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d octets, %v, want %d", id, len(got), err, len(want))
			}
		})
	}
	crowd.Wait()
}
