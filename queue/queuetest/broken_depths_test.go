package queuetest

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// brokenDepths are queues that count wrong.
var brokenDepths = []breach{
	{"DepthsCount", "leased jobs wait, too", func(q *twisted) {
		q.depth(func(d *queue.Depth) bool { d.Waiting += d.Leased; return true })
	}},
	{"DepthsCount", "held jobs are not counted", func(q *twisted) {
		q.depth(func(d *queue.Depth) bool { d.Held = 0; return true })
	}},
	{"DepthsLanes", "lanes of held jobs alone are left out", func(q *twisted) {
		q.depth(func(d *queue.Depth) bool { return d.Waiting+d.Leased > 0 })
	}},
	{"DepthsLanes", "first attempts and retries are one lane", func(q *twisted) {
		q.depth(func(d *queue.Depth) bool { d.Lane.Retry = false; return true })
	}},
	{"DepthsNow", "the queue goes by its own clock", func(q *twisted) {
		q.depths = func(ctx context.Context, _ time.Time) iter.Seq2[queue.Depth, error] {
			return q.Queue.Depths(ctx, time.Now())
		}
	}},
	{"DepthsDue", "held jobs are due", func(q *twisted) {
		q.depth(func(d *queue.Depth) bool {
			if d.Held > 0 {
				d.Due = at(-time.Hour)
			}
			return true
		})
	}},
	{"DepthsAsJobs", "a job that moves to another lane is counted in both", func(q *twisted) {
		moved := map[queue.Lane]int{}
		q.committed(func(ctx context.Context, _ int, j *queue.Job, more []*queue.Entry) error {
			if l := j.Lane(); l.Retry && j.Tries == 1 {
				l.Retry = false
				moved[l]++
			}
			return q.Queue.Commit(ctx, j, more...)
		})
		q.depth(func(d *queue.Depth) bool { d.Waiting += moved[d.Lane]; return true })
	}},
	{"DepthsConcurrently", "the last lane is left out", func(q *twisted) {
		q.depth(func(d *queue.Depth) bool { return d.Lane.Domain != "d2.example" })
	}},
	{"DepthsReopen", "what was counted is lost", func(*twisted) {}}, // see reopen
	{"DepthsLoopBody", "a lock is held while the loop body runs", func(q *twisted) {
		var mu sync.Mutex
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			mu.Lock()
			defer mu.Unlock()
			return q.Queue.Commit(ctx, j, more...)
		}
		q.depths = func(ctx context.Context, now time.Time) iter.Seq2[queue.Depth, error] {
			return func(yield func(queue.Depth, error) bool) {
				mu.Lock()
				defer mu.Unlock()
				q.Queue.Depths(ctx, now)(yield)
			}
		}
	}},
	{"DepthsContext", "a ctx that has ended is not looked at", func(q *twisted) {
		q.depths = func(ctx context.Context, now time.Time) iter.Seq2[queue.Depth, error] {
			return q.Queue.Depths(context.WithoutCancel(ctx), now)
		}
	}},
}
