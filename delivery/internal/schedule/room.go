package schedule

import (
	"slices"
	"time"
)

// maxOpening is how many connections may be without a greeting, and maxStrangers how many of these to sites that have never
// greeted, so that hosts that never do leave room for those that do.
func (s *State) maxOpening() int   { return max(s.config.Total/2, 1) }
func (s *State) maxStrangers() int { return max(s.config.Total/4, 1) }

// failures is how many strangers may fail in a second while others wait for a place: a host that refuses at once costs as much
// work as one that takes its time, and thousands of them are not to take that from those that can be reached.
const failures = 100

// fail has a stranger that has failed keep its place until it is its turn to make room, one after the other.
func (s *State) fail(now time.Time) {
	until := now
	if n := len(s.failed); n > 0 {
		until = later(until, s.failed[n-1])
	}
	s.failed = append(s.failed, until.Add(time.Second/failures))
}

// forgive frees the places whose time has come, or all if the clock was set back.
func (s *State) forgive(now time.Time) {
	n := 0
	for n < len(s.failed) && !s.failed[n].After(now) {
		n++
	}
	s.failed = s.failed[n:]
	if len(s.failed) > 0 && s.failed[0].Sub(now) > time.Second {
		s.failed = nil
	}
}

// placesForStrangers is how many more connections to strangers may be made.
func (s *State) placesForStrangers() int { return s.maxStrangers() - s.strangers - len(s.failed) }

// mayConnect reports whether the site's rate lets a connection begin.
func (st *site) mayConnect(now time.Time) bool {
	return !st.rate.connections.Next(st.connectionRate(), now).After(now)
}

// free is how many connections a site may open now. While other sites wait for their first one, that is only what it was
// promised.
func (s *State) free(now time.Time, st *site) int {
	if !s.mayBegin() || !st.mayConnect(now) {
		return 0
	}
	others := s.promised - st.promised
	n := min(s.openable(now, st), s.config.Total-len(s.workers)-others, s.maxOpening()-s.opening-others)
	if !st.known {
		n = min(n, s.placesForStrangers()-others)
	}
	if s.anyShort() {
		n = min(n, st.promised)
	}
	return max(n, 0)
}

// promise keeps n connections for a site.
func (s *State) promise(st *site, n int) {
	s.promised += n - st.promised
	st.promised = n
}

// reopens reports whether a worker whose session is of no use may make another one.
func (s *State) reopens(now time.Time, st *site) bool {
	return s.opening+s.promised < s.maxOpening() && st.mayConnect(now)
}

// The standings of a site: it has greeted us before; it is a stranger; it is one that was tried, and didn't greet.
const (
	known = iota
	untried
	silent
)

func (st *site) standing() int {
	switch {
	case st.known:
		return known
	case st.window.paused > 0:
		return silent
	}
	return untried
}

// waits reports whether a site waits for a connection because of Total, with something of a priority. Strangers don't count
// while as many as may be are being made.
func (s *State) waits(p int) bool {
	return !s.short[known][p].empty() || s.waitsStrange(p)
}

func (s *State) waitsStrange(p int) bool {
	return !(s.short[untried][p].empty() && s.short[silent][p].empty()) && s.promised < s.placesForStrangers()
}

// crowded reports whether sites wait for their first connection. Then one failure is enough for a stranger, which may be one of
// many that are dead: what else there is to try there waits until it has rested, and makes room for others.
func (s *State) crowded() bool {
	for i := range s.short {
		for p := range s.short[i] {
			if !s.short[i][p].empty() {
				return true
			}
		}
	}
	return false
}

// anyShort reports whether any site waits for room.
func (s *State) anyShort() bool { return s.waits(0) || s.waits(1) || s.waits(2) }

// admitShort promises connections to sites that wait for one, as many as there is room for: by priority, then by standing and
// tenant.
func (s *State) admitShort() {
	for len(s.workers)+s.promised < s.config.Total && s.opening+s.promised < s.maxOpening() {
		p := s.shortTurns.next([3]bool{s.waits(0), s.waits(1), s.waits(2)})
		if p < 0 {
			return
		}
		from, last := &s.short[known][p], false
		if strange, newest := s.nextStrange(p); strange != nil &&
			(from.empty() || strange.first().short.since.Before(from.first().short.since)) {
			from, last = strange, newest
			s.newcomers++
		}
		tenant := from.top().tenant
		var st *site
		if last {
			st = from.takeLast(tenant)
		} else {
			st = from.take(tenant, 1)[0]
		}
		from.charge(tenant, 1/s.policy.Weight(tenant))
		from.back(tenant)
		st.short = shortage{}
		s.promise(st, 1)
		s.touch(st)
	}
}

// nextStrange is the line from which the next stranger comes, nil if none does, and whether it is to be the newest one there. Hosts
// that never greet are not known from others, and may be many: so every second is the one that has come last, which thus
// never waits for all of them, and of the rest every second is one that was silent before.
func (s *State) nextStrange(p int) (from *line[*site], newest bool) {
	if !s.waitsStrange(p) {
		return nil, false
	}
	fresh, again := &s.short[untried][p], &s.short[silent][p]
	switch {
	case fresh.empty():
		return again, false
	case s.newcomers%2 == 0:
		return fresh, true
	case s.newcomers%4 == 1 && !again.empty():
		return again, false
	}
	return fresh, false
}

// shorten has a site stand in line for its first connection, with the best that it has, and returns whether it is new there.
func (s *State) shorten(now time.Time, st *site) bool {
	p, tenant := st.best()
	was := st.short
	if was.line != nil && was.priority <= p {
		return false
	}
	if was.line != nil {
		was.line.remove(was.tenant, st)
	}
	line := &s.short[st.standing()][p]
	line.push(tenant, st)
	st.short = shortage{line: line, since: now, priority: p, tenant: tenant}
	return was.line == nil
}

// freshen puts a stranger that has just got mail behind all others that wait for a place: that is where every second comes from.
// Hosts that were dead when their mail came are behind those to which somebody sends now.
func (s *State) freshen(now time.Time, e Ready) {
	st := s.sites[s.laneSite(&e.Lane)]
	if st == nil || st.known || st.short.line == nil || e.Lane.Retry || now.Sub(e.Due) > time.Second {
		return
	}
	st.short.line.remove(st.short.tenant, st)
	st.short.line.push(st.short.tenant, st)
}

// maxGoodbye is how long a connection that is being closed is counted upon: hosts may take their time for that.
const maxGoodbye = 250 * time.Millisecond

// roomToCome reports whether for each site that waits for a connection, and may have one, another is being closed.
func (s *State) roomToCome(now time.Time) bool {
	inTime := slices.IndexFunc(s.leaving, func(w *worker) bool { return now.Sub(w.left) < maxGoodbye })
	if inTime < 0 {
		return false
	}
	room := len(s.leaving) - inTime
	wait, strange := 0, 0
	for p := range 3 {
		wait += s.short[known][p].count(room + 1)
		strange += s.short[untried][p].count(room+1) + s.short[silent][p].count(room+1)
	}
	return wait+min(strange, max(s.placesForStrangers()-s.promised, 0)) <= room
}

// yields reports whether a worker is to leave its connection to another site: one that has something better waiting, or, once
// the worker has had its time, anything.
func (s *State) yields(now time.Time, w *worker) bool {
	if len(s.workers) < s.config.Total || s.roomToCome(now) {
		return false
	}
	mine, _ := w.site.best()
	for p := range 3 {
		if s.waits(p) {
			return p < mine || now.Sub(w.since) >= quantum
		}
	}
	return false
}

// makeRoom has the worker close that has been idle longest, of all sites.
func (s *State) makeRoom(now time.Time) []Action {
	front := s.idle.Front()
	if front == nil {
		return nil
	}
	w := front.Value.(*worker)
	return s.dismiss(now, w.site, func(o *worker) bool { return o == w })
}
