package queuetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// asked changes what is asked of EnqueueLeased.
func (q *twisted) asked(change func(*queue.Entry, *queue.LeaseRequest)) {
	q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
		c := *e
		change(&c, &l)
		return q.Queue.EnqueueLeased(ctx, &c, l)
	}
}

// leased changes what EnqueueLeased returns.
func (q *twisted) leased(change func(*queue.Entry, queue.LeaseRequest, []*queue.Job) []*queue.Job) {
	q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
		jobs, added, err := q.Queue.EnqueueLeased(ctx, e, l)
		return change(e, l, jobs), added, err
	}
}

// two has EnqueueLeased claim the jobs that wanted picks of those named, by their keys, after it has stored the entry.
func (q *twisted) two(wanted func(added bool, j *queue.Job) bool) {
	q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
		added, err := q.Queue.Enqueue(ctx, e)
		if err != nil {
			return nil, false, err
		}
		numbers := l.Jobs()
		c := queue.ClaimRequest{Now: l.Now, Lease: l.Lease, Limit: len(numbers)}
		for _, n := range slices.Sorted(slices.Values(numbers)) {
			if n >= 0 && n < len(e.Jobs) && wanted(added, e.Jobs[n]) {
				c.Keys = append(c.Keys, queue.Key{ID: e.Message.ID, N: n})
			}
		}
		if len(c.Keys) == 0 {
			return nil, added, nil
		}
		claimed, err := q.Queue.Claim(ctx, c)
		return claimed.Jobs, added, err
	}
}

// brokenLeasers are queues whose EnqueueLeased stores in a wrong way.
var brokenLeasers = []breach{
	{"LeaserStores", "attempts are not stored", func(q *twisted) {
		q.asked(func(e *queue.Entry, _ *queue.LeaseRequest) {
			e.Jobs = slices.Clone(e.Jobs)
			for i, j := range e.Jobs {
				e.Jobs[i] = j.Clone()
				e.Jobs[i].Attempts = nil
			}
		})
	}},
	{"LeaserStores", "what has ended has no marks", func(q *twisted) {
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			for i := range j.Recipients {
				j.Recipients[i].Mark = 0
			}
			return j
		})
	}},
	{"LeaserHead", "Digest is looked at before Head has returned", func(q *twisted) {
		q.asked(func(*queue.Entry, *queue.LeaseRequest) {}) // Head completes the original, not the copy
	}},
	{"LeaserHead", "the leased job has the size of Body alone", func(q *twisted) {
		q.leased(func(e *queue.Entry, _ queue.LeaseRequest, jobs []*queue.Job) []*queue.Job {
			for _, j := range jobs {
				j.Message.Size = int64(len(text(j.Key.ID)))
			}
			return jobs
		})
	}},
	{"LeaserSameID", "what was stored before is leased", func(q *twisted) {
		q.two(func(bool, *queue.Job) bool { return true })
	}},
	{"LeaserSameID", "a repeated message counts as added", func(q *twisted) {
		q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
			jobs, _, err := q.Queue.EnqueueLeased(ctx, e, l)
			return jobs, err == nil, err
		}
	}},
	{"LeaserConflict", "another digest is taken for the same", func(q *twisted) {
		q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
			jobs, added, err := q.Queue.EnqueueLeased(ctx, e, l)
			if errors.Is(err, queue.ErrConflict) {
				err = nil
			}
			return jobs, added, err
		}
	}},
	{"LeaserConcurrently", "all who bring a message are given its jobs", func(q *twisted) {
		var mu sync.Mutex
		given := map[queue.ID][]*queue.Job{}
		q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
			mu.Lock()
			defer mu.Unlock()
			jobs, added, err := q.Queue.EnqueueLeased(ctx, e, l)
			if added {
				given[e.Message.ID] = []*queue.Job{jobs[0].Clone()}
			}
			return given[e.Message.ID], err == nil, err
		}
	}},
	{"LeaserAsks", "which jobs to lease is asked before the body is read", func(q *twisted) {
		q.asked(func(_ *queue.Entry, l *queue.LeaseRequest) { l.Jobs = named(l.Jobs()...) })
	}},
	{"LeaserAsks", "which jobs to lease is asked twice", func(q *twisted) {
		q.asked(func(_ *queue.Entry, l *queue.LeaseRequest) {
			jobs := l.Jobs
			l.Jobs = func() []int { jobs(); return jobs() }
		})
	}},
	{"LeaserInvalid", "a job that isn't there is passed over", func(q *twisted) {
		q.asked(func(e *queue.Entry, l *queue.LeaseRequest) {
			l.Jobs = named(slices.DeleteFunc(slices.Clone(l.Jobs()), func(n int) bool { return n >= len(e.Jobs) })...)
		})
	}},
	{"LeaserInvalid", "a lease that is not positive has a default", func(q *twisted) {
		q.asked(func(_ *queue.Entry, l *queue.LeaseRequest) {
			if l.Lease <= 0 {
				l.Lease = time.Minute
			}
		})
	}},
	{"LeaserInvalid", "the request is looked at when the entry is stored", func(q *twisted) {
		q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
			jobs, added, err := q.Queue.EnqueueLeased(ctx, e, l)
			if err != nil {
				q.Queue.Enqueue(ctx, e)
			}
			return jobs, added, err
		}
	}},
	{"LeaserBodyFails", "half a body is stored as a whole one", func(q *twisted) {
		q.asked(func(e *queue.Entry, _ *queue.LeaseRequest) {
			b, _ := io.ReadAll(e.Body)
			e.Body = bytes.NewReader(b)
		})
	}},
	{"LeaserBodyFails", "an error of Head is not looked at", func(q *twisted) {
		q.asked(func(e *queue.Entry, _ *queue.LeaseRequest) {
			if head := e.Head; head != nil {
				e.Head = func() ([]byte, error) { b, _ := head(); return b, nil }
			}
		})
	}},
	{"LeaserSlow", "a lock is held while a body is read", func(q *twisted) {
		var mu sync.Mutex
		q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return q.Queue.EnqueueLeased(ctx, e, l)
		}
	}},
	{"LeaserSlow", "a message is listed before its body was read", func(q *twisted) {
		q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
			early := *e
			early.Body, early.Head = nil, nil
			jobs, added, err := q.Queue.EnqueueLeased(ctx, &early, l)
			if err == nil {
				_, err = e.ReadAll(ctx)
			}
			return jobs, added, err
		}
	}},
	{"LeaserCopies", "Jobs of the request is put in order", func(q *twisted) {
		q.asked(func(_ *queue.Entry, l *queue.LeaseRequest) {
			jobs := l.Jobs
			l.Jobs = func() []int { numbers := jobs(); slices.Sort(numbers); return numbers }
		})
	}},
	{"LeaserCopies", "a leased job has the labels of the entry", func(q *twisted) {
		q.leased(func(e *queue.Entry, _ queue.LeaseRequest, jobs []*queue.Job) []*queue.Job {
			for _, j := range jobs {
				j.Message.Labels = e.Message.Labels
			}
			return jobs
		})
	}},
	{"LeaserCopies", "a leased job is kept by reference", func(q *twisted) {
		kept := map[queue.Key]*queue.Job{}
		q.leased(func(_ *queue.Entry, _ queue.LeaseRequest, jobs []*queue.Job) []*queue.Job {
			for _, j := range jobs {
				kept[j.Key] = j
			}
			return jobs
		})
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job { j.Recipients = kept[j.Key].Recipients; return j })
	}},
	{"LeaserContext", "ctx is looked at when the body was read", func(q *twisted) {
		q.asked(func(e *queue.Entry, _ *queue.LeaseRequest) {
			b, _ := io.ReadAll(e.Body)
			e.Body = bytes.NewReader(b)
		})
	}},
	{"LeaserContext", "ctx is not looked at", func(q *twisted) {
		q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
			e.Body, e.Head = nil, nil
			return q.Queue.EnqueueLeased(context.WithoutCancel(ctx), e, l)
		}
	}},
	{"LeaserEnds", "ctx's error is returned for a message that is stored", func(q *twisted) {
		q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
			jobs, added, err := q.Queue.EnqueueLeased(context.WithoutCancel(ctx), e, l)
			if ctx.Err() != nil {
				return nil, false, ctx.Err()
			}
			return jobs, added, err
		}
	}},
	{"LeaserEnds", "who has gone is told of no lease", func(q *twisted) {
		q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
			jobs, added, err := q.Queue.EnqueueLeased(context.WithoutCancel(ctx), e, l)
			if ctx.Err() != nil {
				jobs = nil
			}
			return jobs, added, err
		}
	}},
	{"LeaserFull", "there is no limit", func(q *twisted) {
		q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
			q.MaxMessages = 0
			return q.Queue.EnqueueLeased(ctx, e, l)
		}
	}},
	{"LeaserFull", "a message that is stored is refused", func(q *twisted) {
		q.lease = func(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
			if q.messages(true) >= room {
				return nil, false, queue.ErrFull
			}
			return q.Queue.EnqueueLeased(ctx, e, l)
		}
	}},
}
