package schedule

import (
	"container/heap"
	"time"

	"github.com/postroad/postroad/queue"
)

// request is a claim under way, with the lanes it asks, one for each Take.
type request struct {
	Claim
	lanes []*lane
}

// claim makes the next claim, if there is one to make: expired jobs first, then the lanes that may go. One is under way at
// a time, so that slots are counted once.
func (s *State) claim(now time.Time) *Claim {
	if s.draining || s.asked != nil || now.Before(s.resume) {
		return nil
	}
	s.ripen(now)
	c := s.claimExpired(now)
	if c == nil {
		c = s.claimLanes()
	}
	s.asked = c
	if c == nil {
		return nil
	}
	return &c.Claim
}

func (s *State) claimExpired(now time.Time) *request {
	if s.expiry.IsZero() || s.expiry.After(now) || s.expiring >= maxExpiring {
		return nil
	}
	return &request{Claim: Claim{Take: []queue.Take{}, Expired: true, Limit: maxExpiring - s.expiring}}
}

func (s *State) claimLanes() *request {
	r := &request{}
	free := s.limits.Total - s.running
	for p := range s.open {
		for len(s.open[p]) > 0 && free > 0 && len(r.lanes) < maxTakes {
			st := s.open[p][0]
			s.open[p] = s.open[p][1:]
			st.listed[p] = false
			free -= r.ask(st, p, min(free, s.limits.PerSite-st.running-st.asked))
		}
	}
	if len(r.lanes) == 0 {
		return nil
	}
	r.Limit = s.limits.Total - s.running - free
	return r
}

// ask divides slots evenly among the lanes that st has ready at one priority, and returns how many it has given.
func (r *request) ask(st *site, priority, slots int) (given int) {
	lanes := st.ready[priority]
	n := min(len(lanes), slots, maxTakes-len(r.lanes))
	if n <= 0 {
		return 0
	}
	for _, l := range lanes[:n] {
		l.place = asked
		r.lanes = append(r.lanes, l)
		r.Take = append(r.Take, queue.Take{Lane: l.Lane, N: slots / n})
	}
	st.ready[priority] = lanes[n:]
	if n == len(lanes) {
		st.ready[priority] = nil // so that the array can go
	}
	given = n * (slots / n)
	st.asked += given
	return given
}

// claimed takes the answer to the claim under way.
func (s *State) claimed(now time.Time, e Claimed) []Action {
	r := s.asked
	if r == nil {
		return nil
	}
	s.asked = nil
	s.ripen(now) // before the lanes of the claim queue up again: they have had their turn
	if e.Err != nil {
		s.pause = min(max(2*s.pause, minPause), maxPause)
		s.resume = now.Add(s.pause)
	} else {
		s.pause, s.resume = 0, time.Time{}
	}
	actions := s.place(r, e)
	for i, l := range r.lanes {
		st := l.site
		st.asked -= r.Take[i].N
		switch {
		case e.Err != nil:
			s.enlist(l)
		case i >= len(e.Lanes) || e.Lanes[i].IsZero():
			l.place = nowhere
			delete(s.lanes, l.Lane)
		case e.Lanes[i].After(now):
			l.next, l.place = e.Lanes[i], waiting
			heap.Push(&s.waiting, l)
		default:
			l.next = e.Lanes[i]
			s.enlist(l)
		}
		s.reopen(st)
	}
	if r.Expired && e.Err == nil {
		s.expiry = e.Next
	}
	for _, a := range s.arrived {
		s.ready(a)
	}
	clear(s.arrived)
	return actions
}

// place gives the claimed jobs their slots.
func (s *State) place(r *request, e Claimed) (actions []Action) {
	if r.Expired {
		s.expiring += len(e.Jobs)
		for _, j := range e.Jobs {
			actions = append(actions, Attempt{Job: j, Expired: true})
		}
		return actions
	}
	sites := make(map[queue.Lane]*site, len(r.lanes))
	for _, l := range r.lanes {
		sites[l.Lane] = l.site
	}
	for _, j := range e.Jobs {
		st := sites[j.Lane()]
		if st == nil { // not a lane that was asked: whatever the queue means by it, the job is leased
			st = s.site(s.siteName(j.Domain))
		}
		st.running++
		s.running++
		actions = append(actions, Attempt{Job: j, Site: st.name})
	}
	return actions
}
