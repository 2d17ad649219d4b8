package memqueue

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/postroad/postroad/queue"
)

// pageSize is how many jobs a listing copies while it has the queue locked.
const pageSize = 256

// Jobs implements [queue.Queue].
func (q *Queue) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	return func(yield func(*queue.Job, error) bool) {
		for f := f; ; { // pages through a filter of its own, so that the sequence can be ranged over again
			page, more, err := q.page(ctx, &f)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, j := range page {
				if !yield(j, nil) {
					return
				}
			}
			if !more {
				return
			}
		}
	}
}

// page returns the next jobs that match f, and moves f behind them.
func (q *Queue) page(ctx context.Context, f *queue.Filter) (page []*queue.Job, more bool, err error) {
	if err := q.lock(ctx); err != nil {
		return nil, false, err
	}
	defer q.mu.Unlock()
	list := q.byKey(f)
	switch {
	case f.Heads:
		list = q.heads()
	case f.Ended:
		list = q.byMark(f.Since)
	}
	for j := range list {
		if !f.Match(j) {
			continue
		}
		if len(page) == pageSize && !f.Heads {
			last := page[pageSize-1]
			f.After, f.Since = last.Key, last.Mark()
			if f.Limit > 0 {
				f.Limit -= pageSize
			}
			return page, true, nil
		}
		j = j.Clone()
		j.Token = 0
		page = append(page, j)
		if len(page) == f.Limit {
			break
		}
	}
	return page, false, nil
}

// byKey lists the jobs after f.After in the order of their keys.
func (q *Queue) byKey(f *queue.Filter) iter.Seq[*queue.Job] {
	return func(yield func(*queue.Job) bool) {
		if !q.ordered {
			slices.Sort(q.ids)
			q.ordered = true
		}
		first, _ := slices.BinarySearch(q.ids, max(f.After.ID, f.ID))
		for _, id := range q.ids[first:] {
			if f.ID != "" && id != f.ID {
				return
			}
			for _, r := range q.messages[id].jobs {
				if r.Key.Compare(f.After) > 0 && !yield(&r.Job) {
					return
				}
			}
		}
	}
}

// byMark lists the jobs that have ended after since in the order of their marks.
func (q *Queue) byMark(since queue.Mark) iter.Seq[*queue.Job] {
	return func(yield func(*queue.Job) bool) {
		first, _ := slices.BinarySearchFunc(q.ended, since+1, func(e ended, m queue.Mark) int { return cmp.Compare(e.mark, m) })
		for _, e := range q.ended[first:] {
			if slices.Contains(e.record.Places(), e.mark) && !yield(e.record.At(e.mark)) {
				return
			}
		}
	}
}

// heads lists the first job of each lane.
func (q *Queue) heads() iter.Seq[*queue.Job] {
	heads := make(map[queue.Lane]*record)
	for _, r := range slices.Concat(q.all.ready.list, q.all.later.list) {
		h := heads[r.Lane()]
		if h == nil || cmp.Or(r.Claimable().Compare(h.Claimable()), inLane(r, h)) < 0 {
			heads[r.Lane()] = r
		}
	}
	return func(yield func(*queue.Job) bool) {
		for _, r := range heads {
			if !yield(&r.Job) {
				return
			}
		}
	}
}
