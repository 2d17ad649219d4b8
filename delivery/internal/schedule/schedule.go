// Package schedule decides what a Sender does next. It is a pure step function: [State.Step] takes an event and the time,
// and returns actions; it starts nothing, reads no clock and touches no queue, so that a run can be replayed and a future
// simulated by feeding it events.
//
// It keeps lanes, not jobs. A lane is at one place at a time:
//
//	             due                 wanted                claimed, more due
//	waiting ------------> ready (at its site) ------> asked -------------------> ready
//	   ^                                                |
//	   |              claimed, next is later            |   claimed, nothing left
//	   +------------------------------------------------+-----------------------> forgotten
//
// A lane that waits costs a heap entry and nothing else; one whose site is full or pauses costs a place in a line there. A due
// lane that the host program's pauses or its tenant's rate keep back waits until that is over, or, if no end is known, is parked.
//
// The jobs that were claimed are in the site's hand, about one for each of its connections, and so are those that were leased as they
// were stored, of which a fast connection may have a few ahead, until a worker takes them. A worker stands for one connection:
// it does one job after the other, of any domain of its site, and is idle for a while when there is none.
//
//	         Attempt           Greeted              Done, warm
//	(new) ------------> opening -------> busy --------------------> idle
//	                       |              ^  |                       | |
//	                       |              |  | Done                  | | Close
//	                       |     Attempt  +--|-----------------------+ |
//	                       v                 v                         v
//	                    closing <---------------------------------------  ---- Closed ---> (gone)
//
// What is chosen: among sites and within a site, by priority, of which each has its [turns]; first attempts before retries, in
// the same way; among the tenants of one priority by weight ([line]); and then the lane that has waited longest.
package schedule

import (
	"container/list"
	"math/rand/v2"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// Config is what a State goes by.
type Config struct {
	Total  int // connections at once
	Policy *shaping.Policy
	Rand   *rand.Rand
	Source func(*queue.Job) string // names the sending address of a job; nil: there is one, without a name
	Shared bool                    // there are others, so that only what Shares allow may be used
}

const (
	// maxTakes bounds the lanes of one claim, so that a claim stays a short call.
	maxTakes = 64
	// maxExpiring bounds the expired jobs under way. They need no connection, so they don't count for Total: no limit may
	// keep a message from its end.
	maxExpiring = 16
	// maxSites bounds what is remembered of which domain belongs to which site. Forgetting may cost a job one way to the
	// router and back.
	maxSites = 100_000
	// The wait after a failed claim doubles from the first to the second.
	minPause, maxPause = 250 * time.Millisecond, 30 * time.Second
	// A claim that took no longer than minRest needs no rest after it; no rest is longer than maxRest.
	minRest, maxRest = 500 * time.Microsecond, 20 * time.Millisecond
	// fullClaim is how many sites wait for a claim when it isn't put off by a rest any more.
	fullClaim = 16
)

// State is the scheduler's state. It is used by one goroutine.
type State struct {
	config Config
	policy *shaping.Policy

	lanes   map[queue.Lane]*lane
	waiting waitHeap
	sites   map[string]*site
	siteOf  map[string]string
	detours map[queue.Lane]string // where lanes whose jobs are rerouted have led to last
	timers  timerHeap             // sites that change by time alone
	touched []*site               // sites to look at before the step ends
	pauses  []Pause               // the host program's
	kept    map[*lane]bool        // due lanes that a pause or their tenant's rate keeps back, or did

	workers    map[Worker]*worker
	last       Worker
	opening    int               // workers that aren't greeted yet
	strangers  int               // of these, at sites that have never greeted
	failed     []time.Time       // until when strangers that have failed keep their places, in order
	promised   int               // workers that the claim under way will be for
	idle       list.List         // of *worker, the longest idle first
	leaving    []*worker         // those that are closing, in the order in which they began to
	short      [3][3]line[*site] // sites that wait for room for their first connection, by standing and priority
	newcomers  int               // strangers that were let in
	shortTurns turns

	// open has, for each priority, the sites that want jobs, in the order they are served.
	open      [3][]*site
	openTurns turns

	meters    meters
	expiring  int                // expired jobs under way
	expiry    time.Time          // nothing expires before; zero: nothing does at all
	expires   time.Time          // when what came in during the claim under way expires: the answer may not know of it
	asked     *request           // the claim under way
	unsettled map[queue.Key]bool // jobs that are not settled yet; true: expired
	resume    time.Time          // no claim before, because the last one failed, or took its time
	pause     time.Duration
	draining  bool

	shares  Shares
	granted bool    // shares are in force
	telling bool    // others are being told what is used: that mustn't become more
	blocked []*site // that could have more but for that
	renew   bool    // they are to be renewed soon
	flushes []Flushed
}

// New returns the state of a scheduler that knows no lanes.
func New(c Config) *State {
	if c.Source == nil {
		c.Source = func(*queue.Job) string { return "" }
	}
	if c.Policy == nil {
		c.Policy = &shaping.Policy{}
	}
	return &State{
		config:    c,
		policy:    c.Policy,
		lanes:     make(map[queue.Lane]*lane),
		sites:     make(map[string]*site),
		siteOf:    make(map[string]string),
		detours:   make(map[queue.Lane]string),
		kept:      make(map[*lane]bool),
		workers:   make(map[Worker]*worker),
		unsettled: make(map[queue.Key]bool),
		meters:    meters{shared: c.Shared},
	}
}

// Step tells the state of an event, or, if it is nil, only of the time, and returns what is to be done.
func (s *State) Step(now time.Time, e Event) (actions []Action) {
	actions = s.step(now, e)
	if s.renew {
		s.renew = false
		actions = append(actions, Ask{})
	}
	return actions
}

func (s *State) step(now time.Time, e Event) (actions []Action) {
	switch e := e.(type) {
	case Ready:
		s.ready(e)
		s.freshen(now, e)
	case Claimed:
		actions = s.claimed(now, e)
	case Offered:
		actions = []Action{s.offered(now, e)}
	case Arrived:
		actions = s.arrived(now, e)
	case Routed:
		actions = s.routed(now, e)
	case Greeted:
		s.greeted(now, e)
	case Done:
		actions = s.done(now, e)
	case Settled:
		s.settled(e)
	case Closed:
		s.closed(now, e)
	case Pauses:
		actions = s.setPauses(now, e.Pauses)
	case Policy:
		s.setPolicy(now, e.Policy)
	case Flush:
		s.flush(now, e.Site)
	case Recall:
		actions = s.recall(e)
	case Drain:
		s.drain()
	case Shares:
		s.setShares(now, e)
	case Heard:
		s.heard(now, e.News)
	}
	s.lapse(now)
	s.ripen(now)
	s.ring(now)
	s.forgive(now)
	if !now.Before(s.resume) {
		s.resume = time.Time{}
	}
	for {
		if s.asked == nil && s.resume.IsZero() && s.mayBegin() && !s.telling {
			s.admitShort()
		}
		if len(s.touched) > 0 {
			actions = append(actions, s.serveTouched(now)...)
			continue
		}
		c := s.claim(now)
		if c != nil {
			actions = append(actions, *c)
		}
		if len(s.touched) == 0 {
			return actions
		}
	}
}

// Wake returns when Step is to be called next if no event comes first; zero: time alone changes nothing.
func (s *State) Wake() time.Time {
	if s.draining {
		return time.Time{}
	}
	var wake time.Time
	if len(s.timers) > 0 {
		wake = s.timers[0].timer
	}
	if s.granted {
		wake = earliest(wake, s.shares.Until)
	}
	if len(s.failed) > 0 {
		wake = earliest(wake, s.failed[0])
	}
	if s.asked != nil {
		return wake
	}
	var claim time.Time
	if len(s.waiting) > 0 {
		claim = s.waiting[0].next
	}
	if s.expiring < maxExpiring && s.mayBegin() {
		claim = earliest(claim, s.expiry)
	}
	if s.listed() > 0 || s.anyShort() || !claim.IsZero() && claim.Before(s.resume) {
		claim = s.resume
	}
	return earliest(wake, claim)
}

// Active returns how much is under way: workers, idle ones included, and jobs that aren't settled.
func (s *State) Active() int { return len(s.workers) + len(s.unsettled) }

// settled notes that a job is committed.
func (s *State) settled(e Settled) {
	if s.unsettled[e.Job.Key] {
		s.expiring--
	}
	delete(s.unsettled, e.Job.Key)
	if !e.Due.IsZero() || !e.Expires.IsZero() {
		s.ready(Ready{Lane: e.Lane, Due: e.Due, Expires: e.Expires})
	}
}

// drain stops everything that hasn't begun.
func (s *State) drain() {
	s.draining, s.renew = true, s.config.Shared // others may have what is given up
	for _, st := range s.inOrder(all) {
		s.touch(st)
	}
}

// setPolicy replaces the shaping policy.
func (s *State) setPolicy(now time.Time, p *shaping.Policy) {
	s.policy = p
	s.meters.replan()
	s.release(now)
	for _, st := range s.inOrder(all) {
		st.limits = p.Limits(st.name)
		s.touch(st)
	}
}

// flush forgets what keeps a site back by itself.
func (s *State) flush(now time.Time, name string) {
	f := Flushed{name, now}
	if s.config.Shared {
		s.renew = s.noteFlush(now, f)
	}
	for _, st := range s.inOrder(f.matches) {
		st.window.flush()
		s.touch(st)
	}
}

// recall gives back the jobs that match and that no worker has taken yet.
func (s *State) recall(e Recall) (actions []Action) {
	for _, st := range s.inOrder(func(st *site) bool { return st.inHand() > 0 }) {
		for _, j := range st.drop(e.Match) {
			actions = append(actions, s.giveUp(j, e.Until))
		}
		s.touch(st)
	}
	return actions
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
