package schedule

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/postroad/postroad/queue"
)

// recheck is how often a job is looked at that a pause keeps back of which its lane doesn't know.
const recheck = time.Hour

// matches reports whether the pause is for a lane, or for some of its jobs, at a site now.
func (p *Pause) matches(now time.Time, site string, l *queue.Lane) bool {
	return (p.Until.IsZero() || p.Until.After(now)) &&
		(p.Site == "" || p.Site == site) &&
		(p.Domain == "" || p.Domain == l.Domain) &&
		(p.Tenant == "" || p.Tenant == l.Tenant)
}

// byLane reports whether the pause is for all jobs of a lane.
func (p *Pause) byLane() bool { return p.ID == "" && p.Label == "" }

// Due is when a job that the pause keeps back, though not its lane, is to be looked at again: the end of the pause, or the
// next of its own moments, of which each job has one in an hour, so that many don't come back together.
func (p *Pause) Due(k queue.Key, now time.Time) time.Time {
	due := now.Truncate(recheck).Add(p.phase(k))
	if !due.After(now) {
		due = due.Add(recheck)
	}
	if !p.Until.IsZero() && p.Until.Before(due) {
		return p.Until
	}
	return due
}

// Kept reports whether Due may be where a job's due time comes from: that is how the jobs are found that wait for nothing else.
func (p *Pause) Kept(j *queue.Job) bool {
	return j.Due.Equal(p.Until) || j.Due.Equal(j.Message.Expires) || j.Due.Sub(j.Due.Truncate(recheck)) == p.phase(j.Key)
}

// phase is where in each hour a job has its moment. It is different for each pause, and in whole microseconds, which is what
// queues keep.
func (p *Pause) phase(k queue.Key) time.Duration {
	h := fnv.New64a()
	for _, s := range []string{p.Site, p.Domain, p.Tenant, string(p.ID), p.Label, string(k.ID)} {
		io.WriteString(h, s)
		h.Write([]byte{0})
	}
	binary.Write(h, binary.LittleEndian, int64(k.N))
	return time.Duration(h.Sum64()%uint64(recheck/time.Microsecond)) * time.Microsecond
}

// paused returns the pause that keeps a whole lane back longest, nil if none does.
func (s *State) paused(now time.Time, site string, l *queue.Lane) *Pause {
	return s.longest(func(p *Pause) bool { return p.byLane() && p.matches(now, site, l) })
}

// pausedJob returns the pause that keeps a job of a lane back longest, nil if none does.
func (s *State) pausedJob(now time.Time, site string, j *queue.Job, l *queue.Lane) *Pause {
	return s.longest(func(p *Pause) bool {
		f := queue.Filter{ID: p.ID, Label: p.Label}
		return p.matches(now, site, l) && f.Match(j)
	})
}

func (s *State) longest(match func(*Pause) bool) (longest *Pause) {
	for i := range s.pauses {
		p := &s.pauses[i]
		if match(p) && (longest == nil || !longest.Until.IsZero() && (p.Until.IsZero() || p.Until.After(longest.Until))) {
			longest = p
		}
	}
	return longest
}

// keep gives a job back that a pause keeps from a site. If its lane is parked for that, it waits there; else it has to wait by
// itself: its lane has others, or leads to another site than where it was rerouted to.
func (s *State) keep(now time.Time, p *Pause, site string, j *queue.Job) Action {
	if l := j.Lane(); p.byLane() && (p.Site == "" || s.laneSite(&l) == site) {
		return s.giveUp(j, time.Time{})
	}
	return s.giveUp(j, p.Due(j.Key, now))
}

// park keeps a lane back: until the pause ends, or is lifted.
func (s *State) park(l *lane, p *Pause) {
	s.kept[l] = true
	if !p.Until.IsZero() {
		s.wait(l, p.Until)
		return
	}
	l.place, l.site = parked, nil
}

// release lets go the lanes that are kept back, as far as nothing keeps them back now.
func (s *State) release(now time.Time) {
	kept := s.kept
	s.kept = make(map[*lane]bool)
	for _, l := range slices.SortedFunc(maps.Keys(kept), compareLanes) {
		switch l.place {
		case waiting:
			s.unwait(l)
			s.enlist(now, l)
		case parked:
			s.enlist(now, l)
		}
	}
}

// setPauses replaces the pauses, and lets go and keeps back what the new ones do.
func (s *State) setPauses(now time.Time, pauses []Pause) (actions []Action) {
	s.pauses = pauses
	s.undivertAll(now)
	s.release(now)
	for _, st := range s.inOrder(all) {
		for _, l := range st.withdraw(func(l *lane) bool { return s.paused(now, st.name, &l.Lane) != nil }) {
			s.park(l, s.paused(now, st.name, &l.Lane))
		}
		by := func(j *queue.Job) *Pause {
			l := j.Lane()
			return s.pausedJob(now, st.name, j, &l)
		}
		for _, j := range st.drop(func(j *queue.Job) bool { return by(j) != nil }) {
			actions = append(actions, s.keep(now, by(j), st.name, j))
		}
		s.touch(st)
	}
	return actions
}

// compareLanes orders lanes, so that a run can be replayed.
func compareLanes(a, b *lane) int {
	return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(b.Priority, a.Priority),
		cmp.Compare(again(a.Retry), again(b.Retry)))
}
