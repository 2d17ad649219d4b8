package memqueue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// Claims don't get slower with the jobs that wait.
func BenchmarkClaimCommit(b *testing.B) {
	for _, waiting := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			q, now := memqueue.New(), time.Unix(1_000_000, 0)
			for i := range waiting {
				id := queue.ID(fmt.Sprint(i))
				if _, err := q.Enqueue(b.Context(), &queue.Entry{
					Message: queue.Message{ID: id, Expires: now.Add(time.Hour)},
					Jobs: []*queue.Job{{
						Key: queue.Key{ID: id}, Domain: fmt.Sprintf("d%d.example", i%1000), Due: now,
						Recipients: []queue.Recipient{{Address: "user@example.com"}},
					}},
				}); err != nil {
					b.Fatal(err)
				}
			}
			for i := 0; b.Loop(); i++ {
				take := []queue.Take{{Lane: queue.Lane{Domain: fmt.Sprintf("d%d.example", i%1000)}, N: 1}}
				c, err := q.Claim(b.Context(), queue.ClaimRequest{Now: now, Lease: time.Minute, Limit: 1, Take: take, Expired: true})
				if err != nil || len(c.Jobs) != 1 {
					b.Fatal(len(c.Jobs), err)
				}
				if err := q.Commit(b.Context(), c.Jobs[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
