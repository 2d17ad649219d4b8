package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/postroad/postroad/queue"
)

// Claim implements queue.Queue.
func (q *Folder) Claim(ctx context.Context, r queue.ClaimRequest) (c queue.Claimed, err error) {
	if r.Lease <= 0 {
		return c, fmt.Errorf("folder: %w: Lease is %v", queue.ErrInvalid, r.Lease)
	}
	if err := q.lock(ctx); err != nil {
		return c, err
	}
	defer q.mu.Unlock()
	lease := func(j *job) bool {
		if len(c.Jobs) >= r.Limit || !j.Finished.IsZero() || j.Leased.After(r.Now) {
			return false
		}
		if j.Token != 0 {
			j.Lapses++
		}
		q.token++
		j.Token, j.Leased = q.token, r.Now.Add(r.Lease)
		c.Jobs = append(c.Jobs, j.Clone())
		return true
	}
	for _, k := range r.Keys {
		if _, j := q.find(k); j != nil {
			lease(j)
		}
	}
	if len(r.Keys) > 0 {
		return c, nil
	}
	jobs := q.sorted(func(a, b *job) int { return a.Message.Expires.Compare(b.Message.Expires) })
	take := func(n int, wanted func(*job) bool) {
		for _, j := range jobs {
			if n > 0 && wanted(j) && lease(j) {
				n--
			}
		}
	}
	if r.Expired {
		take(r.Limit, func(j *job) bool { return !j.Message.Expires.After(r.Now) })
	}
	jobs = q.sorted(func(a, b *job) int {
		return cmp.Or(cmp.Compare(b.Message.Priority, a.Message.Priority), a.Due.Compare(b.Due))
	})
	due := func(j *job) bool { return !j.Held && !j.Due.After(r.Now) }
	if r.Take == nil {
		take(r.Limit, due)
	}
	for _, t := range r.Take {
		take(t.N, func(j *job) bool { return due(j) && j.Lane() == t.Lane })
	}
	c.Next, c.Lanes = ahead(r, jobs)
	return c, nil
}

// ahead says when time makes more of jobs claimable by r.
func ahead(r queue.ClaimRequest, jobs []*job) (next time.Time, lanes []time.Time) {
	if r.Take != nil {
		lanes = make([]time.Time, len(r.Take))
	}
	sooner := func(old *time.Time, from, leased time.Time) {
		if leased.After(from) {
			from = leased
		}
		if old.IsZero() || from.Before(*old) {
			*old = from
		}
	}
	for _, j := range jobs {
		if r.Expired {
			sooner(&next, j.Message.Expires, j.Leased)
		}
		if r.Take == nil && !j.Held {
			sooner(&next, j.Due, j.Leased)
		}
		for i, t := range r.Take {
			if !j.Held && j.Lane() == t.Lane {
				sooner(&lanes[i], j.Due, j.Leased)
				sooner(&next, j.Due, j.Leased)
			}
		}
	}
	return next, lanes
}

// sorted lists the unfinished jobs; compare decides before the keys do.
func (q *Folder) sorted(compare func(a, b *job) int) []*job {
	var list []*job
	for _, m := range q.messages {
		for _, j := range m.Jobs {
			if j.Finished.IsZero() {
				list = append(list, j)
			}
		}
	}
	slices.SortFunc(list, func(a, b *job) int { return cmp.Or(compare(a, b), a.Key.Compare(b.Key)) })
	return list
}

// Jobs implements queue.Queue. The list is a copy, so nothing is locked while the loop runs.
func (q *Folder) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	return func(yield func(*queue.Job, error) bool) {
		list, err := q.list(ctx, f)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, j := range list {
			if !yield(j, nil) {
				return
			}
		}
	}
}

func (q *Folder) list(ctx context.Context, f queue.Filter) ([]*queue.Job, error) {
	if err := q.lock(ctx); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	var jobs []*job
	for _, m := range q.messages {
		jobs = append(jobs, m.Jobs...)
	}
	if f.Heads {
		jobs = q.heads()
	}
	var list []*queue.Job
	for _, j := range jobs {
		if f.Match(&j.Job) && (f.Heads || f.Ended || j.Key.Compare(f.After) > 0) {
			c := j.Clone()
			c.Token = 0
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *queue.Job) int {
		if f.Ended {
			return cmp.Compare(a.Mark(), b.Mark())
		}
		return a.Key.Compare(b.Key)
	})
	if f.Limit > 0 && len(list) > f.Limit {
		list = list[:f.Limit]
	}
	return list, nil
}

// heads lists the job of each lane that is claimable first.
func (q *Folder) heads() (heads []*job) {
	seen := map[queue.Lane]bool{}
	from := func(j *job) time.Time {
		if j.Leased.After(j.Due) {
			return j.Leased
		}
		return j.Due
	}
	for _, j := range q.sorted(func(a, b *job) int { return cmp.Or(from(a).Compare(from(b)), a.Due.Compare(b.Due)) }) {
		if !j.Held && !seen[j.Lane()] {
			seen[j.Lane()] = true
			heads = append(heads, j)
		}
	}
	return heads
}
