package queue

import (
	"cmp"
	"slices"
	"time"
)

// Select does the choosing of [Queue.Claim] for backends that can afford to look at all their jobs. The Jobs of what it
// returns are elements of jobs, in the order to lease them; the caller gives them tokens, and Next and Lanes count on it.
// It changes nothing.
func (r *ClaimRequest) Select(jobs []*Job) Claimed {
	s := selection{ClaimRequest: r, taken: make(map[*Job]bool)}
	if len(r.Keys) > 0 {
		s.byKey(jobs)
		return s.Claimed
	}
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(j *Job) bool { return !j.Finished.IsZero() })
	if r.Expired {
		slices.SortFunc(jobs, func(a, b *Job) int {
			return cmp.Or(a.Message.Expires.Compare(b.Message.Expires), a.Key.Compare(b.Key))
		})
		s.take(jobs, r.Limit, func(j *Job) bool { return !j.Message.Expires.After(r.Now) })
	}
	slices.SortFunc(jobs, func(a, b *Job) int {
		return cmp.Or(cmp.Compare(b.Message.Priority, a.Message.Priority), a.Due.Compare(b.Due), a.Key.Compare(b.Key))
	})
	if r.Take == nil {
		s.take(jobs, r.Limit, s.due)
	}
	for _, t := range r.Take {
		s.take(jobs, t.N, func(j *Job) bool { return s.due(j) && j.Lane() == t.Lane })
	}
	s.ahead(jobs)
	return s.Claimed
}

// selection is one call of ClaimRequest.Select.
type selection struct {
	*ClaimRequest
	Claimed
	taken map[*Job]bool
}

func (s *selection) byKey(jobs []*Job) {
	for _, k := range s.Keys {
		if i := slices.IndexFunc(jobs, func(j *Job) bool { return j.Key == k }); i >= 0 && jobs[i].Finished.IsZero() {
			s.take(jobs[i:i+1], 1, func(*Job) bool { return true })
		}
	}
}

func (s *selection) due(j *Job) bool { return !j.Held && !j.Due.After(s.Now) }

// take chooses at most n of the jobs that are wanted and free.
func (s *selection) take(jobs []*Job, n int, wanted func(*Job) bool) {
	for _, j := range jobs {
		if n > 0 && len(s.Jobs) < s.Limit && !s.taken[j] && !j.Leased.After(s.Now) && wanted(j) {
			s.taken[j] = true
			s.Jobs = append(s.Jobs, j)
			n--
		}
	}
}

// ahead finds when time makes more of jobs claimable.
func (s *selection) ahead(jobs []*Job) {
	if s.Take != nil {
		s.Lanes = make([]time.Time, len(s.Take))
	}
	for _, j := range jobs {
		free := j.Leased
		if s.taken[j] {
			free = s.Now.Add(s.Lease)
		}
		if s.Expired {
			sooner(&s.Next, later(j.Message.Expires, free))
		}
		if j.Held {
			continue
		}
		if s.Take == nil {
			sooner(&s.Next, later(j.Due, free))
		}
		for i, t := range s.Take {
			if j.Lane() == t.Lane {
				sooner(&s.Lanes[i], later(j.Due, free))
				sooner(&s.Next, later(j.Due, free))
			}
		}
	}
}

// Select does the choosing of [Queue.Jobs] for backends that can afford to look at all their jobs. It returns elements of
// jobs, or copies of them that [Job.At] has made, in the order to list them, and changes nothing.
func (f *Filter) Select(jobs []*Job) []*Job {
	switch {
	case f.Heads:
		jobs = heads(jobs)
	case f.Ended:
		jobs = ended(jobs)
	}
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(j *Job) bool {
		return !f.Match(j) || !f.Heads && !f.Ended && j.Key.Compare(f.After) <= 0
	})
	slices.SortFunc(jobs, func(a, b *Job) int {
		if f.Ended {
			return cmp.Compare(a.Mark(), b.Mark())
		}
		return a.Key.Compare(b.Key)
	})
	if f.Limit > 0 && len(jobs) > f.Limit {
		jobs = jobs[:f.Limit]
	}
	return jobs
}

// heads returns the job of each lane that is claimable first without being expired.
func heads(jobs []*Job) []*Job {
	first := make(map[Lane]*Job)
	for _, j := range jobs {
		if !j.Held && j.Finished.IsZero() && (first[j.Lane()] == nil || claimedBefore(j, first[j.Lane()])) {
			first[j.Lane()] = j
		}
	}
	list := make([]*Job, 0, len(first))
	for _, j := range first {
		list = append(list, j)
	}
	return list
}

// ended returns the jobs as often as they are listed by their marks.
func ended(jobs []*Job) []*Job {
	var list []*Job
	for _, j := range jobs {
		for _, m := range j.Places() {
			list = append(list, j.At(m))
		}
	}
	return list
}

func claimedBefore(a, b *Job) bool {
	return cmp.Or(a.Claimable().Compare(b.Claimable()), a.Due.Compare(b.Due), a.Key.Compare(b.Key)) < 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sooner brings *t forward to u. Zero is never.
func sooner(t *time.Time, u time.Time) {
	if t.IsZero() || u.Before(*t) {
		*t = u
	}
}
