package boltqueue

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

var drained = flag.Int("drained", 10_000, "`messages` that went through a queue before BenchmarkDrained looks at it")

// BenchmarkWritten has 20 messages in flight, of 5 to 600 KB and as many small ones as large ones, each of which fails five
// times and then is delivered. written/payload is what goes to the file over the octets of the bodies.
func BenchmarkWritten(b *testing.B) {
	q := mustOpen(b, newPath(b), Options{})
	b.ReportMetric(writtenPerPayload(b, q, 0), "written/payload")
}

const inFlight = 20

// writtenPerPayload sends messages numbered from first on through q.
func writtenPerPayload(b *testing.B, q *Queue, first int) float64 {
	b.Helper()
	var n, payload atomic.Int64
	n.Store(int64(first))
	before, err := written()
	if err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		each(b, inFlight, 4, func() error {
			n := int(n.Add(1))
			size := int(5e3 * math.Pow(120, rand.Float64()))
			payload.Add(int64(size))
			return sendOne(q, n, size)
		})
	}
	after, err := written()
	if err != nil {
		b.Fatal(err)
	}
	return float64(after-before) / float64(payload.Load())
}

// sendOne takes a message through its life.
func sendOne(q *Queue, n, size int) error {
	ctx := context.Background()
	e := benchEntry(n, size)
	if _, err := q.Enqueue(ctx, e); err != nil {
		return err
	}
	now := start
	for range 5 {
		j, err := claimOne(q, e.Jobs[0].Key, now)
		if err != nil {
			return err
		}
		reply := queue.Reply{Host: "mx1." + j.Domain, Addr: "192.0.2.25:25", Phase: "rcpt", Code: 451, Enhanced: "4.7.1",
			Text: "Greylisting in effect, please come back later"}
		j.Recipients[0].Reply = reply
		j.Attempts = append(j.Attempts, queue.Attempt{Time: now, Took: time.Second, TLS: "1.3", Reply: reply})
		j.Tries++
		now = now.Add(10 * time.Minute)
		j.Due = now
		if err := q.Commit(ctx, j); err != nil {
			return err
		}
	}
	j, err := claimOne(q, e.Jobs[0].Key, now)
	if err != nil {
		return err
	}
	j.Recipients[0].State, j.Finished = queue.Delivered, now
	return q.Commit(ctx, j)
}

func claimOne(q *Queue, k queue.Key, now time.Time) (*queue.Job, error) {
	c, err := q.Claim(context.Background(), queue.ClaimRequest{Now: now, Lease: time.Hour, Limit: 1, Keys: []queue.Key{k}})
	if err == nil && len(c.Jobs) != 1 {
		err = fmt.Errorf("%d jobs claimed", len(c.Jobs))
	}
	if err != nil {
		return nil, err
	}
	return c.Jobs[0], nil
}

// BenchmarkDrained looks at a queue through which many messages went: all were in it at once. written/payload is as in
// BenchmarkWritten; of-fresh is the rate of Enqueue by 64 callers over that of a new queue; file-MiB is what the file has grown to.
func BenchmarkDrained(b *testing.B) {
	q, err := fillAndDrain(b, *drained)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("written", func(b *testing.B) {
		b.ReportMetric(writtenPerPayload(b, q, 1<<20), "written/payload")
	})
	b.Run("enqueue", func(b *testing.B) {
		fresh := mustOpen(b, newPath(b), Options{})
		var n, m atomic.Int64
		n.Store(2 << 20)
		enqueue := func(q *Queue, n *atomic.Int64) time.Duration {
			return each(b, 64, 8, func() error {
				_, err := q.Enqueue(context.Background(), benchEntry(int(n.Add(1)), benchSize))
				return err
			})
		}
		var ofFresh ratios
		for b.Loop() {
			ofFresh.add(enqueue(fresh, &m), enqueue(q, &n))
		}
		b.ReportMetric(ofFresh.median(), "of-fresh")
		info, err := os.Stat(q.path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size()>>20), "file-MiB")
	})
}

func fillAndDrain(b *testing.B, messages int) (*Queue, error) {
	ctx := context.Background()
	q := mustOpen(b, newPath(b), Options{})
	if _, err := q.EnqueueAll(ctx, func(yield func(*queue.Entry) bool) {
		for n := 0; n < messages && yield(benchEntry(n, benchSize)); n++ {
		}
	}); err != nil {
		return nil, err
	}
	const workers = 256
	each(b, workers, (messages+workers-1)/workers, func() error {
		c, err := q.Claim(ctx, queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 1})
		if err != nil || len(c.Jobs) == 0 {
			return err
		}
		j := c.Jobs[0]
		j.Recipients[0].State, j.Finished = queue.Delivered, start
		return q.Commit(ctx, j)
	})
	if left := len(claimAll(b, q, start)); left > 0 {
		return nil, fmt.Errorf("%d jobs were not drained", left)
	}
	return q, nil
}
