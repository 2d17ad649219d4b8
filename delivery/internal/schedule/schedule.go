// Package schedule decides what a Sender does next. It is a pure step function: [State.Step] takes an event and the time,
// and returns actions; it starts nothing, reads no clock and touches no queue, so that a run can be replayed and a future
// simulated by feeding it events.
//
// It keeps lanes, not jobs. A lane is at one place at a time:
//
//	             due                 slot free               claimed, more due
//	waiting ------------> ready (at its site) ------> asked -------------------> ready
//	   ^                                                |
//	   |              claimed, next is later            |   claimed, nothing left
//	   +------------------------------------------------+-----------------------> forgotten
//
// A lane that waits costs a heap entry and nothing else; so does one whose site is full.
package schedule

import (
	"container/heap"
	"time"

	"github.com/postroad/postroad/queue"
)

// Limits bound what is under way at once.
type Limits struct {
	Total   int // attempts
	PerSite int // attempts at one site
}

const (
	// maxTakes bounds the lanes of one claim, so that a claim stays a short call.
	maxTakes = 64
	// maxExpiring bounds the expired jobs under way. They need no connection, so they don't count for Limits: no limit
	// may keep a message from its end.
	maxExpiring = 16
	// maxSites bounds what is remembered of which domain belongs to which site. Forgetting may cost a job one way to the
	// router and back.
	maxSites = 100_000
	// The wait after a failed claim doubles from the first to the second.
	minPause, maxPause = 250 * time.Millisecond, 30 * time.Second
)

// State is the scheduler's state. It is used by one goroutine.
type State struct {
	limits  Limits
	lanes   map[queue.Lane]*lane
	waiting waitHeap
	sites   map[string]*site // those with attempts under way or lanes ready
	siteOf  map[string]string

	// open has, for each priority, the sites with ready lanes and a free slot, in the order they are served.
	open [3][]*site

	running  int                  // attempts under way
	expiring int                  // expired jobs under way
	expiry   time.Time            // nothing expires before; zero: nothing does at all
	asked    *request             // the claim under way
	arrived  map[queue.Lane]Ready // what came in while a claim is under way: its answer may not know of it
	resume   time.Time            // no claim before, because the last one failed
	pause    time.Duration
	draining bool
}

// New returns the state of a scheduler that knows no lanes.
func New(l Limits) *State {
	return &State{
		limits: l,
		lanes:  make(map[queue.Lane]*lane),
		sites:  make(map[string]*site),
		siteOf: make(map[string]string),

		arrived: make(map[queue.Lane]Ready),
	}
}

// Step tells the state of an event, or, if it is nil, only of the time, and returns what is to be done.
func (s *State) Step(now time.Time, e Event) []Action {
	var actions []Action
	switch e := e.(type) {
	case Ready:
		s.ready(e)
	case Routed:
		actions = append(actions, s.routed(e))
	case Claimed:
		actions = s.claimed(now, e)
	case Ended:
		s.ended(e)
	case Drain:
		s.draining = true
	}
	if c := s.claim(now); c != nil {
		actions = append(actions, *c)
	}
	return actions
}

// Wake returns when Step is to be called next if no event comes first; zero: time alone changes nothing.
func (s *State) Wake() time.Time {
	if s.draining || s.asked != nil {
		return time.Time{}
	}
	var wake time.Time
	if len(s.waiting) > 0 {
		wake = s.waiting[0].next
	}
	if s.expiring < maxExpiring {
		wake = earliest(wake, s.expiry)
	}
	if s.anyOpen() && s.running < s.limits.Total {
		return s.resume // nothing else keeps a claim from being made
	}
	if !wake.IsZero() && wake.Before(s.resume) {
		return s.resume
	}
	return wake
}

// Running returns how many attempts are under way, those for expired jobs included.
func (s *State) Running() int { return s.running + s.expiring }

// ready notes that a lane has a claimable job at e.Due.
func (s *State) ready(e Ready) {
	if s.asked != nil {
		s.arrived[e.Lane] = s.arrived[e.Lane].Merge(e)
	}
	s.expiry = earliest(s.expiry, e.Expires)
	if e.Due.IsZero() {
		return
	}
	l := s.lanes[e.Lane]
	if l == nil {
		l = &lane{Lane: e.Lane, index: -1}
		s.lanes[e.Lane] = l
	}
	switch {
	case l.place == nowhere:
		l.next, l.place = e.Due, waiting
		heap.Push(&s.waiting, l)
	case l.place == waiting && e.Due.Before(l.next):
		l.next = e.Due
		heap.Fix(&s.waiting, l.index)
	}
}

// routed moves an attempt to the site that it was routed to. It began with a slot of another one if nothing was known of its
// domain, or if that has moved.
func (s *State) routed(e Routed) Admission {
	s.learn(e.Job.Domain, e.To)
	if e.To == e.Site {
		return Admission{e, true}
	}
	to := s.site(e.To)
	if to.running+to.asked >= s.limits.PerSite {
		return Admission{e, false}
	}
	to.running++
	s.leave(e.Site)
	return Admission{e, true}
}

// learn notes which site a domain belongs to.
func (s *State) learn(domain, site string) {
	if site == s.siteName(domain) {
		return
	}
	if len(s.siteOf) >= maxSites {
		clear(s.siteOf)
	}
	s.siteOf[domain] = site
}

// leave gives a slot of a site back.
func (s *State) leave(name string) {
	if st := s.sites[name]; st != nil {
		st.running--
		s.reopen(st)
	}
}

func (s *State) siteName(domain string) string {
	if name, ok := s.siteOf[domain]; ok {
		return name
	}
	return domain // until its first route is known, a domain is a site of its own
}

// ended takes back the slot of an attempt.
func (s *State) ended(e Ended) {
	if e.Expired {
		s.expiring--
	} else {
		s.running--
		s.leave(e.Site)
	}
	if e.Due.IsZero() && e.Expires.IsZero() {
		return
	}
	s.ready(Ready{Lane: e.Lane, Due: e.Due, Expires: e.Expires})
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
