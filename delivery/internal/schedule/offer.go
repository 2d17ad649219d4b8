package schedule

import (
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// A job that is enqueued can be leased at once, where a queue can do that, if it would be claimed at once, or would have to wait for a
// busy connection for no more than a moment:
//
//	Offered -> Places   (the job is stored)   Arrived -> Attempt, ...

// Offered asks for places for jobs that are about to be enqueued, and are due. It is answered by Places.
type Offered struct {
	Lanes  []queue.Lane // of the jobs
	Answer chan<- []string
}

// Places answers an Offered: Sites are those at which there are places, empty for a job that is to be claimed like others. Each
// place is kept until an Arrived.
type Places struct {
	Offered
	Sites []string
}

// Place is one at a site, for a job of a lane.
type Place struct {
	Site string
	Lane queue.Lane
}

// Arrived says that places aren't kept any more, and which jobs have come for them, leased.
type Arrived struct {
	Places []Place
	Jobs   []*queue.Job
}

func (Offered) event() {}
func (Arrived) event() {}
func (Places) action() {}

// offered keeps places, as many as there are.
func (s *State) offered(now time.Time, e Offered) Action {
	sites := make([]string, len(e.Lanes))
	for i := range e.Lanes {
		if st := s.placeFor(now, &e.Lanes[i]); st != nil {
			sites[i] = st.name
			st.asked[rank(e.Lanes[i].Priority)]++
			s.promise(st, max(min(st.expected()-len(st.idle), s.free(now, st)), 0))
		}
	}
	return Places{e, sites}
}

// placeFor returns the site of a lane if a job of it would go next there, nil if it has to wait: for a place, behind others, for a
// pause to end, or, in the queue, for its tenant's rate.
func (s *State) placeFor(now time.Time, l *queue.Lane) *site {
	name := s.laneSite(l)
	if s.draining || s.telling || s.pause > 0 || !s.mayBegin() || s.paused(now, name, l) != nil ||
		s.policy.TenantRate(l.Tenant) != (shaping.Rate{}) {
		return nil
	}
	st := s.site(name)
	s.touch(st) // if it is new, and there is no place, it is forgotten
	have := 0
	for p := range rank(l.Priority) + 1 { // who is worse gives way
		if st.ready(p) {
			return nil
		}
		have += st.held(p) + st.asked[p]
	}
	if _, most := s.uses(now, st, st.pace.ahead()); have >= most {
		return nil
	}
	return st
}

// arrived puts jobs in the hands of their sites.
func (s *State) arrived(now time.Time, e Arrived) (actions []Action) {
	for _, p := range e.Places {
		st := s.site(p.Site)
		st.asked[rank(p.Lane.Priority)]--
		s.touch(st)
	}
	for _, j := range e.Jobs {
		l := j.Lane()
		actions = append(actions, s.receive(now, j, &l)...)
	}
	for _, p := range e.Places {
		st := s.site(p.Site)
		s.promise(st, min(st.promised, st.expected()+st.inHand()))
	}
	return actions
}
