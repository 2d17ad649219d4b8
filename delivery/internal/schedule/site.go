package schedule

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

const (
	// patience is how long jobs in hand wait for a site that pauses, or has no connection. If it is longer, they go back to the queue, where others
	// can see and change them.
	patience = 10 * time.Second
	// siteMemory is how long a site at rest is remembered.
	siteMemory = time.Hour
)

// site is a set of domains that share limits, and what is known of it.
type site struct {
	name   string
	limits shaping.Limits
	window window
	lines  [3][2]line[*lane]  // ready lanes, by priority, first attempts and retries
	hand   [3][2][]*queue.Job // claimed jobs that no worker has yet
	turns  turns              // of priorities
	again  [3]turns           // of first attempts and retries
	rate   struct{ messages, connections shaping.Bucket }
	pace   pace

	workers  int
	opening  int       // workers that aren't greeted yet
	greeted  int       // workers with a session
	idle     []*worker // the last one to become idle is the next to work
	known    bool      // it has greeted us before
	asked    [3]int    // jobs that the claim under way is to bring, or for which a place is kept, by priority
	promised int       // workers that these are for

	expires time.Time // nothing in hand expires before; zero: nothing does
	timer   time.Time // when time alone changes something
	index   int       // in the heap of timers; -1 if it is not there
	told    time.Time // until when it pauses, as far as was told; zero: it doesn't
	said    Tally
	used    time.Time // when there was something to do last
	touched bool
	lacking time.Time // since when something is due and there is no share; zero: not so
	counted int       // connections that others were told of
	blocked bool      // whether it stands in State.blocked
	owes    bool      // it has more connections than its share has become, which others wait for
	listed  [3]bool   // whether it stands in State.open
	short   shortage
}

// shortage is where a site stands in State.short.
type shortage struct {
	line     *line[*site] // nil: nowhere
	since    time.Time
	priority int
	tenant   string
}

func (s *State) siteName(domain string) string {
	if name, ok := s.siteOf[domain]; ok {
		return name
	}
	return domain // until its first route is known, a domain is a site of its own
}

// laneSite is the site at which a lane waits: that of its domain, unless its jobs go elsewhere.
func (s *State) laneSite(l *queue.Lane) string {
	if name, ok := s.detours[*l]; ok {
		return name
	}
	return s.siteName(l.Domain)
}

func (s *State) site(name string) *site {
	st := s.sites[name]
	if st == nil {
		st = &site{name: name, limits: s.policy.Limits(name), index: -1}
		s.sites[name] = st
	}
	return st
}

// connectionRate is the site's limit, as far as it is this process's.
func (st *site) connectionRate() shaping.Rate {
	if !st.window.shared {
		return st.limits.ConnectionRate
	}
	return st.window.slowed(st.limits).ConnectionRate
}

// inOrder returns the sites that match by name, so that a run can be replayed.
func (s *State) inOrder(match func(*site) bool) (sites []*site) {
	for _, st := range s.sites {
		if match(st) {
			sites = append(sites, st)
		}
	}
	slices.SortFunc(sites, func(a, b *site) int { return strings.Compare(a.name, b.name) })
	return sites
}

// learn notes which site a domain belongs to. What is ready at the site that stood for it goes there.
func (s *State) learn(now time.Time, domain, name string) {
	was := s.siteName(domain)
	if name == was {
		return
	}
	if len(s.siteOf) >= maxSites {
		clear(s.siteOf)
	}
	s.siteOf[domain] = name
	st := s.sites[was]
	if st == nil || was != domain {
		return
	}
	for _, l := range st.withdraw(func(l *lane) bool { return l.Domain == domain }) {
		s.enlist(now, l)
	}
}

// divert has a lane wait at the site to which a job of it was rerouted, so that the others don't come there by way of their own
// domain's. If only some jobs of the lane are rerouted, it waits where the last one went.
func (s *State) divert(now time.Time, l queue.Lane, name string) {
	if s.detours[l] == name {
		return
	}
	if len(s.detours) >= maxSites {
		clear(s.detours)
	}
	s.detours[l] = name
	s.reseat(now, s.lanes[l])
}

// undivert has a lane wait at its domain's site again.
func (s *State) undivert(now time.Time, l queue.Lane) {
	if _, ok := s.detours[l]; ok {
		delete(s.detours, l)
		s.reseat(now, s.lanes[l])
	}
}

// undivertAll does so with all lanes, since what is rerouted may have changed.
func (s *State) undivertAll(now time.Time) {
	lanes := slices.SortedFunc(maps.Keys(s.detours), func(a, b queue.Lane) int { return compareLanes(&lane{Lane: a}, &lane{Lane: b}) })
	for _, l := range lanes {
		s.undivert(now, l)
	}
}

// reseat moves a ready lane, which may be nil, to the site where it is to wait.
func (s *State) reseat(now time.Time, l *lane) {
	if l == nil || l.place != ready || l.site.name == s.laneSite(&l.Lane) {
		return
	}
	st := l.site
	st.line(&l.Lane).remove(l.Tenant, l)
	s.touch(st)
	s.enlist(now, l)
}

// line is where a lane waits at the site.
func (st *site) line(l *queue.Lane) *line[*lane] { return &st.lines[rank(l.Priority)][again(l.Retry)] }

// withdraw takes the lanes that match out of their lines.
func (st *site) withdraw(match func(*lane) bool) (lanes []*lane) {
	for p := range st.lines {
		for q := range st.lines[p] {
			lanes = append(lanes, st.lines[p][q].removeAll(match)...)
		}
	}
	return lanes
}

// expected is how many jobs are on their way here.
func (st *site) expected() int { return st.asked[0] + st.asked[1] + st.asked[2] }

// ready reports whether lanes of a priority wait.
func (st *site) ready(p int) bool { return !st.lines[p][0].empty() || !st.lines[p][1].empty() }
