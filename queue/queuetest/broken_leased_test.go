package queuetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// brokenLeased are queues whose EnqueueLeased leases in a wrong way.
var brokenLeased = []breach{
	{"LeasedAsClaimed", "jobs are returned in the order in which they are named", func(q *twisted) {
		q.leased(func(_ *queue.Entry, l queue.LeaseRequest, jobs []*queue.Job) []*queue.Job {
			place := func(j *queue.Job) int { return slices.Index(l.Jobs(), j.Key.N) }
			slices.SortFunc(jobs, func(a, b *queue.Job) int { return place(a) - place(b) })
			return jobs
		})
	}},
	{"LeasedAsClaimed", "leased jobs have the entry's Message", func(q *twisted) {
		q.leased(func(e *queue.Entry, _ queue.LeaseRequest, jobs []*queue.Job) []*queue.Job {
			for _, j := range jobs {
				j.Message = e.Message
			}
			return jobs
		})
	}},
	{"LeasedAsClaimed", "the lease begins when the job is due", func(q *twisted) {
		q.asked(func(e *queue.Entry, l *queue.LeaseRequest) { l.Now = e.Jobs[0].Due })
	}},
	{"LeasedToken", "tokens are those of Claim", func(q *twisted) {
		q.leased(func(_ *queue.Entry, _ queue.LeaseRequest, jobs []*queue.Job) []*queue.Job {
			for _, j := range jobs {
				j.Token++
			}
			return jobs
		})
		q.commit = func(context.Context, *queue.Job, []*queue.Entry) error { return nil }
	}},
	{"LeasedToken", "there is no token", func(q *twisted) {
		q.leased(func(_ *queue.Entry, _ queue.LeaseRequest, jobs []*queue.Job) []*queue.Job {
			for _, j := range jobs {
				j.Token = 0
			}
			return jobs
		})
	}},
	{"LeasedPassesOver", "held jobs are leased", func(q *twisted) {
		q.two(func(_ bool, j *queue.Job) bool { return j.Held || !j.Due.After(at(time.Hour)) })
	}},
	{"LeasedPassesOver", "jobs are leased that are not due", func(q *twisted) {
		q.two(func(_ bool, j *queue.Job) bool { return !j.Held })
	}},
	{"LeasedPassesOver", "who names no job gets all", func(q *twisted) {
		q.asked(func(e *queue.Entry, l *queue.LeaseRequest) {
			if len(l.Jobs()) == 0 {
				l.Jobs = named(all(e)...)
			}
		})
	}},
	{"LeasedOthers", "all jobs are leased", func(q *twisted) {
		q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
			numbers := l.Jobs()
			l.Jobs = named(all(e)...)
			jobs, added, err := q.Queue.EnqueueLeased(ctx, e, l)
			jobs = slices.DeleteFunc(jobs, func(j *queue.Job) bool { return !slices.Contains(numbers, j.Key.N) })
			return jobs, added, err
		}
	}},
	{"LeasedMany", "only so many jobs are leased", func(q *twisted) {
		q.asked(func(_ *queue.Entry, l *queue.LeaseRequest) { l.Jobs = named(l.Jobs()[:min(len(l.Jobs()), 1000)]...) })
	}},
	{"LeasedOwner", "a leased job is claimed again", func(q *twisted) {
		q.asked(func(_ *queue.Entry, l *queue.LeaseRequest) { l.Lease = 1 })
	}},
	{"LeasedOwner", "Next forgets the ends of leases", func(q *twisted) {
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) { c.Next = time.Time{} })
	}},
	{"LeasedLapses", "a lease never ends", func(q *twisted) {
		q.asked(func(_ *queue.Entry, l *queue.LeaseRequest) { l.Lease = 1000 * time.Hour })
	}},
	{"LeasedLapses", "lapses are not counted", func(q *twisted) {
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			for _, j := range c.Jobs {
				j.Lapses = 0
			}
		})
	}},
	{"LeasedLapses", "whoever lost a lease may commit", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			err := q.Queue.Commit(ctx, j, more...)
			if errors.Is(err, queue.ErrLeaseLost) {
				err = nil
			}
			return err
		}
	}},
	{"LeasedDepths", "only what was claimed counts as leased", func(q *twisted) {
		q.depth(func(d *queue.Depth) bool { d.Waiting, d.Leased = d.Waiting+d.Leased, 0; return true })
	}},
	{"LeasedCommit", "only what was claimed can be committed", func(q *twisted) {
		claimed := map[queue.Token]bool{}
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			for _, j := range c.Jobs {
				claimed[j.Token] = true
			}
		})
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			if !claimed[j.Token] {
				return queue.ErrLeaseLost
			}
			return q.Queue.Commit(ctx, j, more...)
		}
	}},
	{"LeasedCommit", "a repeated commit has lost its lease", func(q *twisted) {
		q.committed(func(ctx context.Context, times int, j *queue.Job, more []*queue.Entry) error {
			if times > 0 {
				return queue.ErrLeaseLost
			}
			return q.Queue.Commit(ctx, j, more...)
		})
	}},
	{"LeasedCommit", "a repeated commit enqueues more", func(q *twisted) {
		q.committed(func(ctx context.Context, times int, j *queue.Job, more []*queue.Entry) error {
			if times > 0 {
				q.EnqueueAll(ctx, slices.Values(more))
			}
			return q.Queue.Commit(ctx, j, more...)
		})
	}},
	{"LeasedAtOnce", "a message is stored, and leased when a claim has come in between", func(q *twisted) {
		claimed := make(chan struct{}, 2)
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			if len(c.Jobs) > 0 {
				claimed <- struct{}{}
			}
		})
		var first sync.Once
		q.two(func(bool, *queue.Job) bool {
			first.Do(func() { <-claimed })
			return true
		})
	}},
	{"LeasedReopen", "what was stored is lost", func(*twisted) {}}, // see reopen
	{"ClaimAsSelect", "EnqueueLeased leases what is held", func(q *twisted) {
		q.two(func(added bool, _ *queue.Job) bool { return added })
	}},
	{"Concurrently", "sometimes the lease of EnqueueLeased is not kept", func(q *twisted) {
		q.leased(func(_ *queue.Entry, _ queue.LeaseRequest, jobs []*queue.Job) []*queue.Job {
			for _, j := range jobs {
				if j.Key.ID == "m017" {
					j.Token = 0
				}
			}
			return jobs
		})
	}},
}

// all numbers the jobs of e.
func all(e *queue.Entry) (numbers []int) {
	for n := range e.Jobs {
		numbers = append(numbers, n)
	}
	return numbers
}
