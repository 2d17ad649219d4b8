package pgqueue_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/postroad/postroad/queue"
)

// BenchmarkSizes says what a message takes in the database: while it waits, when it is delivered, and when it is purged and vacuumed.
func BenchmarkSizes(b *testing.B) {
	const messages = 20_000
	pool, q := benchQueue(b)
	body := text()
	wal := func() (lsn string) {
		must(b, pool.QueryRow(b.Context(), "SELECT pg_current_wal_lsn()::text").Scan(&lsn))
		return lsn
	}
	report := func(when, since string) {
		for _, table := range []string{"messages", "jobs", "chunks", "ended"} {
			var n float64
			must(b, pool.QueryRow(b.Context(), "SELECT pg_total_relation_size('postroad."+table+"')").Scan(&n))
			b.ReportMetric(n/messages, table+"-"+when)
		}
		var n float64
		must(b, pool.QueryRow(b.Context(), "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1::pg_lsn)::float8", since).Scan(&n))
		b.ReportMetric(n/messages, "wal-"+when)
	}
	for b.Loop() {
		began := wal()
		_, err := q.EnqueueAll(b.Context(), func(yield func(*queue.Entry) bool) {
			for i := range messages {
				if !yield(entry(fmt.Sprintf("%08d", i), body, fmt.Sprintf("d%d.example", i%200))) {
					return
				}
			}
		})
		must(b, err)
		report("waiting", began)
		began = wal()
		for left := messages; left > 0; {
			c, err := q.Claim(b.Context(), queue.ClaimRequest{Now: start, Lease: 1e9, Limit: 500})
			must(b, err)
			left -= len(c.Jobs)
			rate(b, len(c.Jobs), func(ctx context.Context, i int) error {
				j := c.Jobs[i-1]
				j.Recipients[0].State, j.Finished = queue.Delivered, start
				return q.Commit(ctx, j)
			})
		}
		report("delivered", began)
	}
}
