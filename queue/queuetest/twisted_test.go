package queuetest

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// twisted is a good queue with some methods replaced by bad ones.
type twisted struct {
	*memqueue.Queue
	enqueue    func(context.Context, *queue.Entry) (bool, error)
	enqueueAll func(context.Context, iter.Seq[*queue.Entry]) (int, error)
	lease      func(context.Context, *queue.Entry, queue.LeaseRequest) ([]*queue.Job, bool, error)
	claim      func(context.Context, queue.ClaimRequest) (queue.Claimed, error)
	commit     func(context.Context, *queue.Job, []*queue.Entry) error
	open       func(context.Context, queue.ID) (io.ReadCloser, error)
	jobs       func(context.Context, queue.Filter) iter.Seq2[*queue.Job, error]
	depths     func(context.Context, time.Time) iter.Seq2[queue.Depth, error]
	set        func(context.Context, string, []byte) error
	keys       func(context.Context, string) iter.Seq2[string, error]
	close      func() error
}

// messages is how many there are, or how many of them are unfinished.
func (q *twisted) messages(unfinished bool) int {
	ids := map[queue.ID]bool{}
	for j := range q.Queue.Jobs(context.Background(), queue.Filter{Unfinished: unfinished}) {
		ids[j.Key.ID] = true
	}
	return len(ids)
}

func (q *twisted) Enqueue(ctx context.Context, e *queue.Entry) (bool, error) {
	if q.enqueue != nil {
		return q.enqueue(ctx, e)
	}
	return q.Queue.Enqueue(ctx, e)
}

func (q *twisted) EnqueueAll(ctx context.Context, es iter.Seq[*queue.Entry]) (int, error) {
	if q.enqueueAll != nil {
		return q.enqueueAll(ctx, es)
	}
	return q.Queue.EnqueueAll(ctx, es)
}

func (q *twisted) EnqueueLeased(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) ([]*queue.Job, bool, error) {
	if q.lease != nil {
		return q.lease(ctx, e, l)
	}
	return q.Queue.EnqueueLeased(ctx, e, l)
}

func (q *twisted) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	if q.claim != nil {
		return q.claim(ctx, r)
	}
	return q.Queue.Claim(ctx, r)
}

func (q *twisted) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	if q.commit != nil {
		return q.commit(ctx, j, more)
	}
	return q.Queue.Commit(ctx, j, more...)
}

func (q *twisted) Open(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if q.open != nil {
		return q.open(ctx, id)
	}
	return q.Queue.Open(ctx, id)
}

func (q *twisted) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	if q.jobs != nil {
		return q.jobs(ctx, f)
	}
	return q.Queue.Jobs(ctx, f)
}

func (q *twisted) Depths(ctx context.Context, now time.Time) iter.Seq2[queue.Depth, error] {
	if q.depths != nil {
		return q.depths(ctx, now)
	}
	return q.Queue.Depths(ctx, now)
}

func (q *twisted) Set(ctx context.Context, key string, value []byte) error {
	if q.set != nil {
		return q.set(ctx, key, value)
	}
	return q.Queue.Set(ctx, key, value)
}

func (q *twisted) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	if q.keys != nil {
		return q.keys(ctx, prefix)
	}
	return q.Queue.Keys(ctx, prefix)
}

func (q *twisted) Close() error {
	if q.close != nil {
		return q.close()
	}
	return q.Queue.Close()
}

// request changes what is asked of Claim.
func (q *twisted) request(change func(*queue.ClaimRequest)) {
	q.claim = func(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
		change(&r)
		return q.Queue.Claim(ctx, r)
	}
}

// claimed changes what Claim returns.
func (q *twisted) claimed(change func(queue.ClaimRequest, *queue.Claimed)) {
	q.claim = func(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
		c, err := q.Queue.Claim(ctx, r)
		change(r, &c)
		return c, err
	}
}

// entry changes what is enqueued.
func (q *twisted) entry(change func(*queue.Entry)) {
	q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
		c := *e
		change(&c)
		return q.Queue.Enqueue(ctx, &c)
	}
}

// listed changes, or leaves out, what Jobs lists.
func (q *twisted) listed(change func(queue.Filter, *queue.Job) *queue.Job) {
	q.jobs = func(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
		return func(yield func(*queue.Job, error) bool) {
			for j, err := range q.Queue.Jobs(ctx, f) {
				if j != nil {
					if j = change(f, j); j == nil {
						continue
					}
				}
				if !yield(j, err) {
					return
				}
			}
		}
	}
}

// sorted lists all jobs at once, changed by change.
func (q *twisted) sorted(change func(queue.Filter, []*queue.Job) []*queue.Job) {
	q.jobs = func(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
		return func(yield func(*queue.Job, error) bool) {
			var jobs []*queue.Job
			for j, err := range q.Queue.Jobs(ctx, f) {
				if err != nil {
					yield(nil, err)
					return
				}
				jobs = append(jobs, j)
			}
			for _, j := range change(f, jobs) {
				if !yield(j, nil) {
					return
				}
			}
		}
	}
}

// depth changes, or leaves out, what Depths lists.
func (q *twisted) depth(change func(*queue.Depth) bool) {
	q.depths = func(ctx context.Context, now time.Time) iter.Seq2[queue.Depth, error] {
		return func(yield func(queue.Depth, error) bool) {
			for d, err := range q.Queue.Depths(ctx, now) {
				if change(&d) && !yield(d, err) {
					return
				}
			}
		}
	}
}

// committed calls bad instead of Commit, with the number of commits that were made with the token.
func (q *twisted) committed(bad func(ctx context.Context, times int, j *queue.Job, more []*queue.Entry) error) {
	times := map[queue.Token]int{}
	q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
		err := bad(ctx, times[j.Token], j, more)
		if err == nil {
			times[j.Token]++
		}
		return err
	}
}
