package boltqueue

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// BenchmarkEnqueue sets accepting 10 KiB messages against appending the same octets to a file and syncing it, one at a time, in
// the same run: "syncs/op" is how many raw appends a message costs.
func BenchmarkEnqueue(b *testing.B) {
	const size = 10 << 10
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			q := mustOpen(b, newPath(b), Options{})
			raw, err := os.Create(newPath(b))
			if err != nil {
				b.Fatal(err)
			}
			defer raw.Close()
			var rawTime time.Duration
			appended := 0
			appendOne := func() {
				begin := time.Now()
				if _, err := raw.Write(make([]byte, size)); err != nil {
					b.Fatal(err)
				}
				if err := datasync(raw); err != nil {
					b.Fatal(err)
				}
				rawTime += time.Since(begin)
				appended++
			}
			var done atomic.Int64
			var took time.Duration
			for b.Loop() { // a round: a message of each caller, then a raw append
				begin := time.Now()
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						n := int(done.Add(1))
						e := message(queue.ID(fmt.Sprintf("m%d", n)), random(n, size), fmt.Sprintf("d%d.example", n%100))
						if _, err := q.Enqueue(context.Background(), e); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
				took += time.Since(begin)
				appendOne()
			}
			perMessage := float64(took) / float64(done.Load())
			b.ReportMetric(perMessage, "ns/message")
			b.ReportMetric(perMessage/(float64(rawTime)/float64(appended)), "syncs/message")
		})
	}
}
