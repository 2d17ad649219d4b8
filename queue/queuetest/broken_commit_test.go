package queuetest

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/queue"
)

// brokenCommits are queues that commit in a wrong way.
var brokenCommits = []breach{
	{"CommitStale", "an old token is as good as a new one", func(q *twisted) {
		latest := map[queue.Key]queue.Token{}
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			for _, j := range c.Jobs {
				latest[j.Key] = j.Token
			}
		})
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			c := j.Clone()
			c.Token = latest[j.Key]
			return q.Queue.Commit(ctx, c, more...)
		}
	}},
	{"CommitSpent", "a token that was ever spent settles all", func(q *twisted) {
		q.committed(func(ctx context.Context, times int, j *queue.Job, more []*queue.Entry) error {
			if times > 0 {
				return nil
			}
			return q.Queue.Commit(ctx, j, more...)
		})
	}},
	{"CommitRepeated", "a repeated commit has lost its lease", func(q *twisted) {
		q.committed(func(ctx context.Context, times int, j *queue.Job, more []*queue.Entry) error {
			if times > 0 {
				return queue.ErrLeaseLost
			}
			return q.Queue.Commit(ctx, j, more...)
		})
	}},
	{"CommitRepeated", "a repeated commit enqueues more", func(q *twisted) {
		q.committed(func(ctx context.Context, times int, j *queue.Job, more []*queue.Entry) error {
			if times > 0 {
				q.EnqueueAll(ctx, slices.Values(more))
			}
			return q.Queue.Commit(ctx, j, more...)
		})
	}},
	{"CommitNoToken", "zero is a token", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			if j.Token == 0 {
				return nil
			}
			return q.Queue.Commit(ctx, j, more...)
		}
	}},
	{"CommitLate", "a lease that has ended can't be committed", func(q *twisted) {
		var now time.Time
		q.request(func(r *queue.ClaimRequest) { now = r.Now })
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			if now.After(j.Leased) {
				return queue.ErrLeaseLost
			}
			return q.Queue.Commit(ctx, j, more...)
		}
	}},
	{"CommitKeeps", "the committer decides about Domain", func(q *twisted) {
		domains := map[queue.Key]string{}
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			domains[j.Key] = j.Domain
			return q.Queue.Commit(ctx, j, more...)
		}
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			if d := domains[j.Key]; d != "" {
				j.Domain = d
			}
			return j
		})
	}},
	{"CommitStores", "the attempts are forgotten", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			c := j.Clone()
			c.Attempts = nil
			return q.Queue.Commit(ctx, c, more...)
		}
	}},
	{"CommitStores", "the names that servers gave are forgotten", func(q *twisted) {
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			for i := range j.Attempts {
				j.Attempts[i].QueueID = ""
			}
			return j
		})
	}},
	{"CommitStores", "which report there was is forgotten", func(q *twisted) {
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			for i := range j.Recipients {
				j.Recipients[i].Report = ""
			}
			return j
		})
	}},
	{"CommitStores", "when a recipient ended is forgotten", func(q *twisted) {
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			for i := range j.Recipients {
				j.Recipients[i].Decided = time.Time{}
			}
			return j
		})
	}},
	{"MoreBodyFails", "the job is committed before its bounce", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			if err := q.Queue.Commit(ctx, j); err != nil {
				return err
			}
			_, err := q.EnqueueAll(ctx, slices.Values(more))
			return err
		}
	}},
	{"MoreLeaseLost", "the bounce is committed before its job", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			if _, err := q.EnqueueAll(ctx, slices.Values(more)); err != nil {
				return err
			}
			return q.Queue.Commit(ctx, j)
		}
	}},
	{"MoreSameID", "a bounce that is stored fails the commit", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			for _, e := range more {
				for range q.Queue.Jobs(ctx, queue.Filter{ID: e.Message.ID}) {
					return queue.ErrConflict
				}
			}
			return q.Queue.Commit(ctx, j, more...)
		}
	}},
	{"Concurrently", "one commit in a hundred is lost", func(q *twisted) {
		var n atomic.Int64
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			if n.Add(1)%100 == 0 {
				return nil
			}
			return q.Queue.Commit(ctx, j, more...)
		}
	}},
}
