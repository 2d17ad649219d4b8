package boltqueue

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// These benchmarks set what a queue does against what it is made of, in turns within one loop, so that what else the machine
// does meets both alike. A figure is the median of the ratios of all turns.

// benchSize is the size of a body unless a benchmark says otherwise.
const benchSize = 10 << 10

// benchBody is where the bodies of all benchmarks come from.
var benchBody, _ = io.ReadAll(random(1, 1<<20))

// benchEntry is message n of a benchmark, for one of 100 domains.
func benchEntry(n, size int) *queue.Entry {
	id := queue.EncodeID([16]byte{0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), byte(n * 7), byte(n * 11), byte(n * 13)})
	return message(id, bytes.NewReader(benchBody[:size]), fmt.Sprintf("domain%d.example", n*31%100))
}

// each calls fn n times from each of so many goroutines and returns how long that took.
func each(b *testing.B, goroutines, n int, fn func() error) time.Duration {
	b.Helper()
	begin := time.Now()
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range n {
				if err := fn(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(begin)
}

// ratios are those of many turns.
type ratios []float64

func (r *ratios) add(a, b time.Duration) { *r = append(*r, float64(a)/float64(b)) }

func (r ratios) median() float64 {
	slices.Sort(r)
	return r[len(r)/2]
}

// percentile returns the time that so many percent of all don't exceed.
func percentile(all []time.Duration, percent int) time.Duration {
	slices.Sort(all)
	return all[min(len(all)-1, len(all)*percent/100)]
}

// appender appends to a file and syncs it: what any storage has to do at least.
func appender(b *testing.B, size int) func() time.Duration {
	b.Helper()
	f, err := os.Create(newPath(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	data := benchBody[:size]
	return func() time.Duration {
		begin := time.Now()
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := datasync(f); err != nil {
			b.Fatal(err)
		}
		return time.Since(begin)
	}
}

func txid(b *testing.B, q *Queue) (id int) {
	b.Helper()
	if err := q.db.View(func(t *bolt.Tx) error { id = t.ID(); return nil }); err != nil {
		b.Fatal(err)
	}
	return id
}

// BenchmarkEnqueueAlone has one caller. syncs is p50 of Enqueue over p50 of append and fdatasync, plain-syncs the same for
// plain bbolt.
func BenchmarkEnqueueAlone(b *testing.B) {
	q, p, raw := mustOpen(b, newPath(b), Options{}), openPlain(b), appender(b, benchSize)
	var queued, plain, appended []time.Duration
	for n := 0; b.Loop(); n++ {
		appended = append(appended, raw())
		queued = append(queued, each(b, 1, 1, func() error {
			_, err := q.Enqueue(context.Background(), benchEntry(n, benchSize))
			return err
		}))
		plain = append(plain, each(b, 1, 1, func() error { return p.enqueue(context.Background(), benchEntry(n, benchSize)) }))
	}
	sync := float64(percentile(appended, 50))
	b.ReportMetric(sync/1e3, "µs/sync")
	b.ReportMetric(float64(percentile(queued, 50))/sync, "syncs")
	b.ReportMetric(float64(percentile(plain, 50))/sync, "plain-syncs")
}

// BenchmarkEnqueue has many callers. of-plain is the rate over that of plain bbolt, messages/commit how many share a
// transaction.
func BenchmarkEnqueue(b *testing.B) {
	for _, callers := range []int{64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			const each1 = 8
			q, p, raw := mustOpen(b, newPath(b), Options{}), openPlain(b), appender(b, benchSize)
			var n, m atomic.Int64
			var toPlain, toSync ratios
			first, turns := txid(b, q), 0
			for b.Loop() {
				sync := raw()
				turns++
				queued := each(b, callers, each1, func() error {
					_, err := q.Enqueue(context.Background(), benchEntry(int(n.Add(1)), benchSize))
					return err
				})
				plain := each(b, callers, each1, func() error {
					return p.enqueue(context.Background(), benchEntry(int(m.Add(1)), benchSize))
				})
				toPlain.add(plain, queued)
				toSync.add(queued/time.Duration(callers*each1), sync)
			}
			b.ReportMetric(toPlain.median(), "of-plain")
			b.ReportMetric(toSync.median(), "syncs/message")
			b.ReportMetric(float64(n.Load())/float64(txid(b, q)-first), "messages/commit")
		})
	}
}

// BenchmarkEnqueueAll has one caller with many messages. to-single is its rate over that of Enqueue by one caller.
func BenchmarkEnqueueAll(b *testing.B) {
	q := mustOpen(b, newPath(b), Options{})
	const few, many = 8, 1000
	n := 0
	next := func() *queue.Entry { n++; return benchEntry(n, benchSize) }
	var toSingle ratios
	for b.Loop() {
		single := each(b, 1, few, func() error {
			_, err := q.Enqueue(context.Background(), next())
			return err
		})
		bulk := each(b, 1, 1, func() error {
			stored, err := q.EnqueueAll(context.Background(), func(yield func(*queue.Entry) bool) {
				for i := 0; i < many && yield(next()); i++ {
				}
			})
			if err == nil && stored != many {
				err = fmt.Errorf("stored %d of %d", stored, many)
			}
			return err
		})
		toSingle.add(single/few, bulk/many)
	}
	b.ReportMetric(toSingle.median(), "to-single")
}

// BenchmarkClaimCommit has 64 workers that each claim a job and commit it as delivered. of-enqueue is their rate over that of 64
// callers who enqueue.
func BenchmarkClaimCommit(b *testing.B) {
	const workers, each1 = 64, 16
	ctx := context.Background()
	q := mustOpen(b, newPath(b), Options{})
	var n atomic.Int64
	var ofEnqueue ratios
	for b.Loop() {
		queued := each(b, workers, each1, func() error {
			_, err := q.Enqueue(ctx, benchEntry(int(n.Add(1)), benchSize))
			return err
		})
		worked := each(b, workers, each1, func() error {
			c, err := q.Claim(ctx, queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 1, Expired: true})
			if err != nil || len(c.Jobs) != 1 {
				return fmt.Errorf("%d jobs claimed, error %v", len(c.Jobs), err)
			}
			j := c.Jobs[0]
			j.Recipients[0].State, j.Finished = queue.Delivered, start
			return q.Commit(ctx, j)
		})
		ofEnqueue.add(queued, worked)
	}
	b.ReportMetric(ofEnqueue.median(), "of-enqueue")
}
