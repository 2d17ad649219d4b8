package queuetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// brokenClaims are queues that lease in a wrong way.
var brokenClaims = []breach{
	{"ClaimOwner", "a leased job is claimed again", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Lease = 1 })
	}},
	{"ClaimLeaseEnd", "a lease never ends", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Lease = 1000 * time.Hour })
	}},
	{"ClaimLapses", "lapses are not counted", func(q *twisted) {
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			for _, j := range c.Jobs {
				j.Lapses = 0
			}
		})
	}},
	{"ClaimToken", "tokens are given out twice", func(q *twisted) {
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			for i, j := range c.Jobs {
				j.Token = queue.Token(i + 1)
			}
		})
		q.commit = func(context.Context, *queue.Job, []*queue.Entry) error { return nil }
	}},
	{"ClaimOrder", "the lowest priority goes first", func(q *twisted) {
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) { slices.Reverse(c.Jobs) })
	}},
	{"ClaimDue", "the queue goes by its own clock", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Now = time.Now() })
	}},
	{"ClaimLimit", "one job too many is leased", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Limit++ })
	}},
	{"ClaimHeld", "held jobs are claimed", func(q *twisted) {
		q.entry(func(e *queue.Entry) { e.Jobs[0].Held = false })
	}},
	{"ClaimCopies", "a claimed job is kept by reference", func(q *twisted) {
		claimed := map[queue.Key]*queue.Job{}
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			for _, j := range c.Jobs {
				claimed[j.Key] = j
			}
		})
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			if c := claimed[j.Key]; c != nil {
				j.Recipients = c.Recipients
			}
			return j
		})
	}},
	{"ClaimKeys", "held jobs are not claimed by key", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) {
			r.Keys = slices.DeleteFunc(r.Keys, func(k queue.Key) bool { return k.ID == "held" })
		})
	}},
	{"ClaimConcurrently", "sometimes two claimers get one job", func(q *twisted) {
		var mu sync.Mutex
		var last *queue.Job
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			mu.Lock()
			defer mu.Unlock()
			if last != nil && len(c.Jobs) == 2 {
				c.Jobs[1] = last
			}
			if len(c.Jobs) > 2 {
				last, c.Jobs[2] = c.Jobs[2], c.Jobs[1]
			}
		})
	}},
	{"TakeOrder", "lanes are taken in another order", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Take = slices.Clone(r.Take); slices.Reverse(r.Take) })
	}},
	{"TakeNumber", "N is not looked at", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) {
			r.Take = slices.Clone(r.Take)
			for i := range r.Take {
				r.Take[i].N = 100
			}
		})
	}},
	{"TakeRetry", "first attempts and retries are one lane", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) {
			for _, t := range r.Take {
				t.Lane.Retry = !t.Lane.Retry
				r.Take = append(r.Take, t)
			}
		})
	}},
	{"TakeRetry", "a job stays in the lane in which it was enqueued", func(q *twisted) {
		q.committed(func(ctx context.Context, _ int, j *queue.Job, more []*queue.Entry) error {
			j.Tries = 0
			return q.Queue.Commit(ctx, j, more...)
		})
	}},
	{"TakeLanes", "first attempts and retries are one lane", func(q *twisted) {
		q.entry(func(e *queue.Entry) { e.Jobs[0].Tries = 0 })
	}},
	{"ClaimRetry", "retries come after first attempts", func(q *twisted) {
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			slices.SortStableFunc(c.Jobs, func(a, b *queue.Job) int { return min(a.Tries, 1) - min(b.Tries, 1) })
		})
	}},
	{"TakeNone", "no lanes are taken for all lanes", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) {
			if len(r.Take) == 0 {
				r.Take = nil
			}
		})
	}},
	{"ExpiredEverywhere", "Expired is not looked at", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Expired = false })
	}},
	{"ExpiredFirst", "expired jobs come last", func(q *twisted) {
		q.claimed(func(r queue.ClaimRequest, c *queue.Claimed) {
			slices.SortStableFunc(c.Jobs, func(a, b *queue.Job) int { return b.Message.Expires.Compare(a.Message.Expires) })
		})
	}},
	{"ExpiredAsked", "expired jobs are leased unasked", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Expired = true })
	}},
	{"NextDue", "Next is never set", func(q *twisted) {
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) { c.Next = time.Time{} })
	}},
	{"NextNow", "Next forgets what Limit has cut", func(q *twisted) {
		q.claimed(func(r queue.ClaimRequest, c *queue.Claimed) {
			if !c.Next.After(r.Now) {
				c.Next = time.Time{}
			}
		})
	}},
	{"NextLeaseEnd", "Next forgets the ends of leases", func(q *twisted) {
		q.claimed(func(r queue.ClaimRequest, c *queue.Claimed) {
			if c.Next.Equal(r.Now.Add(r.Lease)) {
				c.Next = time.Time{}
			}
		})
	}},
	{"NextLanes", "Lanes considers expiry", func(q *twisted) {
		q.claimed(func(r queue.ClaimRequest, c *queue.Claimed) {
			for i := range c.Lanes {
				if r.Expired && c.Lanes[i].After(c.Next) {
					c.Lanes[i] = c.Next
				}
			}
		})
	}},
	{"NextKeys", "Next is set for a request with Keys", func(q *twisted) {
		q.claimed(func(r queue.ClaimRequest, c *queue.Claimed) { c.Next = r.Now.Add(r.Lease) })
	}},
	{"ClaimPriorities", "there are three priorities", func(q *twisted) {
		q.entry(func(e *queue.Entry) { e.Message.Priority = min(max(e.Message.Priority, queue.Low), queue.High) })
	}},
	{"ClaimAsSelect", "a lane goes on from where it was left, whatever has come before that", func(q *twisted) {
		last := map[queue.Lane]time.Time{}
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			c.Jobs = slices.DeleteFunc(c.Jobs, func(j *queue.Job) bool {
				behind := j.Due.Before(last[j.Lane()])
				last[j.Lane()] = j.Due
				return behind
			})
		})
	}},
	{"ClaimAsSelect", "Next forgets a job that another claim put off", func(q *twisted) {
		claims := 0
		q.claimed(func(r queue.ClaimRequest, c *queue.Claimed) {
			if claims++; claims%10 == 0 && c.Next.After(r.Now) {
				c.Next = c.Next.Add(time.Minute)
			}
		})
	}},
	{"TakeDue", "the queue panics", func(q *twisted) {
		q.request(func(*queue.ClaimRequest) { panic("claim") })
	}},
}
