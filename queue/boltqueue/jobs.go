package boltqueue

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/postroad/postroad/queue"
)

// pageSize is how many entries one transaction of a listing looks at, whether they match or not.
const pageSize = 128

// Jobs implements [queue.Queue]. Jobs that can't be read because the file is damaged don't keep others from being listed: the
// error, which wraps [queue.ErrDamaged] and names the first of them, comes last.
func (q *Queue) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	return func(yield func(*queue.Job, error) bool) {
		if err := q.ready(ctx); err != nil {
			yield(nil, err)
			return
		}
		list := q.listing(f)
		var damage error
		for n := 0; ; {
			jobs, more, passed, err := q.page(ctx, list, &f)
			if err != nil {
				yield(nil, err)
				return
			}
			damage = cmp.Or(damage, passed)
			for _, j := range jobs {
				if !yield(j, nil) {
					return
				}
				if n++; n == f.Limit {
					return
				}
			}
			if !more {
				break
			}
		}
		if damage != nil && !f.Heads { // what can't be claimed is no head
			yield(nil, q.wrap(damage))
		}
	}
}

// lister reads the jobs of a listing, page by page: it returns what there is behind what it has returned, and whether there
// may be more.
type lister interface {
	next(t *tx) (jobs []*jobRecord, more bool, err error)
}

func (q *Queue) listing(f queue.Filter) lister {
	switch {
	case f.Heads:
		return &headLister{claims: q.claims}
	case f.Ended:
		return &markLister{since: f.Since}
	}
	list := &keyLister{after: append([]byte(f.After.ID), 0)}
	if f.After.N >= 0 {
		list.after = jobKey(queue.Key{ID: f.After.ID, N: min(f.After.N, queue.MaxJobs)})
	}
	if f.ID != "" {
		list.prefix = append([]byte(f.ID), 0)
	}
	return list
}

// page returns the jobs that match f of one page of list, and an error if some were passed over.
func (q *Queue) page(ctx context.Context, list lister, f *queue.Filter) (jobs []*queue.Job, more bool, passed, err error) {
	if err := q.ready(ctx); err != nil {
		return nil, false, nil, err
	}
	if f.Heads {
		q.known.RLock()
		defer q.known.RUnlock()
	}
	q.claims.mu.Lock()
	defer q.claims.mu.Unlock()
	err = q.view(func(t *tx) error {
		var found []*jobRecord
		if found, more, err = list.next(t); err != nil {
			return err
		}
		for _, j := range found {
			if f.Match(&j.Job) {
				q.claims.show(&j.Job)
				jobs = append(jobs, &j.Job)
			}
		}
		if len(t.unreadable) > 0 {
			passed = t.unreadable[0].Err
		}
		return nil
	})
	return jobs, more, passed, err
}

// keyLister lists in the order of keys.
type keyLister struct {
	prefix []byte // all keys begin with it
	after  []byte // the last key that was looked at
}

func (l *keyLister) next(t *tx) (jobs []*jobRecord, more bool, err error) {
	c := t.jobs().Cursor()
	from := l.after
	if bytes.Compare(from, l.prefix) < 0 {
		from = l.prefix
	}
	for k, v := c.Seek(from); bytes.HasPrefix(k, l.prefix) && k != nil; k, v = c.Next() {
		if bytes.Equal(k, l.after) {
			continue
		}
		l.after = bytes.Clone(k)
		key, err := parseJobKey(k)
		var j *jobRecord
		if err == nil {
			j, err = readJob(key, k, v)
		}
		if err == nil {
			_, err = t.addMessage(j)
		}
		if t.pass(key, err) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if jobs = append(jobs, j); len(jobs) == pageSize {
			return jobs, true, nil
		}
	}
	return jobs, false, nil
}

// markLister lists jobs with a final recipient, in the order of their places.
type markLister struct{ since queue.Mark }

func (l *markLister) next(t *tx) (jobs []*jobRecord, more bool, err error) {
	c := t.marks().Cursor()
	for k, v := c.Seek(numberKey(uint64(l.since) + 1)); k != nil && l.since+1 != 0; k, v = c.Next() {
		mark, err := parseNumberKey(k)
		if err == nil {
			l.since = queue.Mark(mark)
		}
		key, j, err := t.marked(k, v)
		if t.pass(key, err) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		j.Job = *j.At(l.since)
		if jobs = append(jobs, j); len(jobs) == pageSize {
			return jobs, true, nil
		}
	}
	return jobs, false, nil
}

// marked returns the job of an entry in the index of marks.
func (t *tx) marked(k, v []byte) (key queue.Key, j *jobRecord, err error) {
	fields, err := unseal(k, v)
	if err != nil {
		return key, nil, err
	}
	if key, err = parseJobKey(fields); err != nil {
		return key, nil, err
	}
	j, err = t.stored(key)
	return key, j, err
}

// headLister lists the first claimable job of each lane.
type headLister struct {
	claims *claims
	begun  bool
	lanes  []queue.Lane // still to be looked at
}

func (l *headLister) next(t *tx) (jobs []*jobRecord, more bool, err error) {
	if !l.begun {
		l.begun = true
		for lane := range l.claims.lanes.all {
			l.lanes = append(l.lanes, lane)
		}
	}
	n := min(pageSize, len(l.lanes))
	for _, lane := range l.lanes[:n] {
		j, err := l.claims.first(t, lanePrefix(lane, false))
		if err != nil {
			return nil, false, err
		}
		if j != nil {
			jobs = append(jobs, j)
		}
	}
	l.lanes = slices.Clone(l.lanes[n:])
	return jobs, len(l.lanes) > 0, nil
}

// first returns the job of a lane that is, or becomes, claimable first: that of the earliest time, or end of lease, in the
// index; nil if there is none.
func (c *claims) first(t *tx, prefix []byte) (first *jobRecord, err error) {
	var at time.Time // when first becomes claimable
	for e, err := range t.entries(t.lanes(), prefix, prefix) {
		if err != nil {
			return nil, err
		}
		if first != nil && !e.at.Before(at) {
			return first, nil
		}
		from := e.at
		if l := c.leases[e.key]; l != nil {
			from = later(from, l.end)
		}
		if first != nil && !from.Before(at) {
			continue
		}
		j, err := t.stored(e.key)
		if t.pass(e.key, err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		first, at = j, from
	}
	return first, nil
}
