package pgqueue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

// Transactions that end mail finish in another order than they began: what is read stays in order all the same, since a reader
// stops before the oldest one that is still running.
func testEndedInterleaved(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	q := open(t, pool, pgqueue.Options{Schema: pgtest.Schema(t, url)})
	first, second, third := pgxTx(t, pool, q), pgxTx(t, pool, q), pgxTx(t, pool, q)
	for i, tx := range []hostTx{first, second, third} {
		_, err := tx.enqueue(ended(fmt.Sprint("m", i+1)))
		must(t, err)
	}
	must(t, second.commit())
	want(t, list(t, q, queue.Filter{Ended: true}), "[]", "what has ended while the first transaction runs")
	want(t, list(t, q, queue.Filter{}), "[m2/0]", "what is stored meanwhile")
	must(t, first.commit())
	want(t, list(t, q, queue.Filter{Ended: true}), "[m1/0 m2/0]", "what has ended when the first has committed")
	must(t, third.rollback())
	_, err := q.Enqueue(t.Context(), ended("m4"))
	must(t, err)
	want(t, list(t, q, queue.Filter{Ended: true}), "[m1/0 m2/0 m4/0]", "what has ended in the end")
}

// However many transactions end mail at once and in whichever order they finish, a reader who pages on sees each once.
func testEndedMany(t *testing.T, url string) {
	pool := pgtest.Pool(t, pgtest.With(url, "pool_max_conns=12"))
	q := open(t, pool, pgqueue.Options{Schema: pgtest.Schema(t, url)})
	var committed sync.Map
	var writing atomic.Int32
	var wg sync.WaitGroup
	for w := range 6 {
		writing.Add(1)
		wg.Go(func() {
			defer writing.Add(-1)
			r := rand.New(rand.NewPCG(uint64(w), 7))
			for n := range 30 {
				tx, err := pool.Begin(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				var ids []string
				for k := range 1 + r.IntN(3) {
					ids = append(ids, fmt.Sprintf("m%d-%d-%d", w, n, k))
					if _, err := q.EnqueueTx(t.Context(), tx, ended(ids[k])); err != nil {
						t.Error(err)
					}
				}
				if r.IntN(4) == 0 {
					_ = tx.Rollback(context.Background())
				} else if err := tx.Commit(t.Context()); err != nil {
					t.Error(err)
				} else {
					for _, id := range ids {
						committed.Store(id, true)
					}
				}
			}
		})
	}
	seen := map[string]bool{}
	f := queue.Filter{Ended: true, Limit: 7}
	for idle := false; ; {
		read := 0
		for j, err := range q.Jobs(t.Context(), f) {
			must(t, err)
			if j.Mark() <= f.Since || seen[string(j.Key.ID)] {
				t.Fatalf("%s is listed with mark %d after %d, seen before: %v", j.Key, j.Mark(), f.Since, seen[string(j.Key.ID)])
			}
			f.Since, seen[string(j.Key.ID)] = j.Mark(), true
			read++
		}
		if read == 0 && idle {
			break
		}
		idle = writing.Load() == 0
	}
	wg.Wait()
	committed.Range(func(id, _ any) bool {
		if !seen[id.(string)] {
			t.Errorf("%s was never listed", id)
		}
		delete(seen, id.(string))
		return true
	})
	if len(seen) > 0 {
		t.Errorf("listed, though rolled back: %v", seen)
	}
}
