package pgqueue_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

var depth = flag.Int("depth", 50_000, "jobs that wait while claims are measured, over a hundredth as many domains")

// start is when messages of these tests are enqueued. It is far from now, so that a clock that is read is found out.
var start = time.Date(2041, 5, 6, 7, 8, 9, 0, time.UTC)

// entry makes a message with a job for each domain, due at once.
func entry(id string, body []byte, domains ...string) *queue.Entry {
	e := &queue.Entry{
		Message: queue.Message{
			ID: queue.ID(id), From: "sender@example.org", Digest: sha256.Sum256([]byte(id)), Enqueued: start, Expires: start.Add(100 * time.Hour),
		},
		Body: bytes.NewReader(body),
	}
	for i, d := range domains {
		e.Jobs = append(e.Jobs, &queue.Job{
			Key: queue.Key{ID: e.Message.ID, N: i}, Domain: d, Due: start, Recipients: []queue.Recipient{{Address: "user@" + d}},
		})
	}
	return e
}

// text is a body of 10 KiB, as compressible as mail is.
func text() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := []byte("Subject: Hello\r\n\r\n")
	for len(b) < 10<<10 {
		b = fmt.Appendf(b, "%x\r\n", r.Uint64())
	}
	return b[:10<<10]
}

// rate is how often 16 callers do something per second.
func rate(b *testing.B, times int, f func(ctx context.Context, i int) error) float64 {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range 16 {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= times; i = int(next.Add(1)) {
				if err := f(b.Context(), i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(times) / time.Since(began).Seconds()
}

// BenchmarkEnqueue compares with a bare INSERT of the same octets by the same pool: one row, one index, one transaction each.
// The two take turns, and medians are compared.
func BenchmarkEnqueue(b *testing.B) {
	pool, q := benchQueue(b)
	body := text()
	if _, err := pool.Exec(b.Context(), "CREATE TABLE bare (id bigserial PRIMARY KEY, body bytea NOT NULL)"); err != nil {
		b.Fatal(err)
	}
	const rounds, times = 5, 5000
	var bare, enqueue, bulk []float64
	for b.Loop() {
		for round := range rounds {
			bare = append(bare, rate(b, times, func(ctx context.Context, _ int) error {
				_, err := pool.Exec(ctx, "INSERT INTO bare (body) VALUES ($1)", body)
				return err
			}))
			enqueue = append(enqueue, rate(b, times, func(ctx context.Context, i int) error {
				_, err := q.Enqueue(ctx, entry(fmt.Sprintf("%d-%d-%d", b.N, round, i), body, fmt.Sprintf("d%d.example", i%1000)))
				return err
			}))
			began := time.Now()
			_, err := q.EnqueueAll(b.Context(), func(yield func(*queue.Entry) bool) {
				for i := range times {
					if !yield(entry(fmt.Sprintf("bulk-%d-%d-%d", b.N, round, i), body, fmt.Sprintf("d%d.example", i%1000))) {
						return
					}
				}
			})
			if err != nil {
				b.Fatal(err)
			}
			bulk = append(bulk, times/time.Since(began).Seconds())
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(bare), "bare/s")
	b.ReportMetric(median(enqueue), "enqueue/s")
	b.ReportMetric(median(bulk), "bulk/s")
	b.ReportMetric(100*median(enqueue)/median(bare), "enqueue/bare-%")
	b.ReportMetric(100*median(bulk)/median(bare), "bulk/bare-%")
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// benchQueue is a queue on a server of its own that syncs, with a pool of 16.
func benchQueue(b *testing.B) (*pgxpool.Pool, *pgqueue.Queue) {
	pool := pgtest.Pool(b, pgtest.With(pgtest.Start(b, "shared_buffers=512MB", "max_wal_size=4GB").URL(), "pool_max_conns=16"))
	return pool, open(b, pool, pgqueue.Options{})
}

// BenchmarkClaim measures claims from 20 lanes, each followed by its commits, while -depth jobs wait.
func BenchmarkClaim(b *testing.B) {
	pool, q := benchQueue(b)
	domains := max(*depth/100, 1)
	fill(b, q, *depth, domains)
	for _, settle := range []string{"VACUUM ANALYZE", "CHECKPOINT"} { // what filling has left to do is not a claim's
		_, err := pool.Exec(b.Context(), settle)
		must(b, err)
	}
	var took []float64
	for b.Loop() {
		took = took[:0]
		for i := range 1000 {
			var take []queue.Take
			for k := range 20 {
				take = append(take, queue.Take{Lane: queue.Lane{Domain: fmt.Sprintf("d%d.example", (20*i+k)%domains)}, N: 1})
			}
			began := time.Now()
			c, err := q.Claim(b.Context(), queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 20, Take: take, Expired: true})
			took = append(took, time.Since(began).Seconds()*1000)
			if err != nil || len(c.Jobs) == 0 {
				b.Fatal(len(c.Jobs), err)
			}
			rate(b, len(c.Jobs), func(ctx context.Context, i int) error {
				j := c.Jobs[i-1]
				j.Recipients[0].State, j.Finished = queue.Delivered, start
				return q.Commit(ctx, j)
			})
		}
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took[len(took)/2], "p50-ms")
	b.ReportMetric(took[len(took)*99/100], "p99-ms")
}

// fill enqueues so many messages with a job each, over so many domains.
func fill(t testing.TB, q *pgqueue.Queue, messages, domains int) {
	t.Helper()
	_, err := q.EnqueueAll(t.Context(), func(yield func(*queue.Entry) bool) {
		for i := range messages {
			if !yield(entry(fmt.Sprintf("%08d", i), []byte("Hello!"), fmt.Sprintf("d%d.example", i%domains))) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
