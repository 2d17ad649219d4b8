package schedule

import (
	"slices"
	"testing"
	"time"
)

// checkInvariants holds a State, after a step, to what must be true of it at any time. brought is the most that one claim has
// brought.
func checkInvariants(t *testing.T, s *State, now time.Time, brought int) {
	t.Helper()
	for _, l := range s.lanes {
		if why := lost(s, now, l); why != "" {
			t.Fatalf("lane %v is lost at %v: %s", l.Lane, now.Sub(start), why)
		}
	}
	workers, opening, strangers, promised, idle := 0, 0, 0, 0, 0
	for i, w := range s.leaving {
		if !w.closing || s.workers[w.name] != w || i > 0 && slices.Contains(s.leaving[:i], w) {
			t.Fatalf("worker %d leaves, again or in vain", w.name)
		}
	}
	for _, st := range s.sites {
		workers += st.workers
		opening += st.opening
		promised += st.promised
		idle += len(st.idle)
		if !st.known {
			strangers += st.opening
		}
		if most := (1+maxAhead)*len(st.hand)*st.limits.Connections + brought; st.inHand() > most {
			t.Fatalf("%d jobs in hand at %s, more than %d", st.inHand(), st.name, most)
		}
		if st.opening+st.greeted > st.workers || len(st.idle) > st.greeted {
			t.Fatalf("%s: %d connections, %d opening, %d greeted, %d idle", st.name, st.workers, st.opening, st.greeted, len(st.idle))
		}
		if (st.index >= 0) == st.timer.IsZero() && !s.draining {
			t.Fatalf("%s: timer at %v, place %d", st.name, st.timer, st.index)
		}
	}
	got := [...]int{len(s.workers), s.opening, s.strangers, s.promised, s.idle.Len()}
	if want := [...]int{workers, opening, strangers, promised, idle}; got != want {
		t.Fatalf("workers, opening, strangers, promised, idle are %v, those of sites %v", got, want)
	}
}

// lost tells why nobody would ever come for a lane.
func lost(s *State, now time.Time, l *lane) string {
	switch l.place {
	case waiting:
		if l.index < 0 || s.waiting[l.index] != l {
			return "it waits nowhere"
		}
		return ""
	case asked:
		if s.asked == nil || !slices.Contains(s.asked.lanes, l) {
			return "there is no claim"
		}
		return ""
	case parked:
		if p := s.paused(now, s.siteName(l.Domain), &l.Lane); p == nil && !s.kept[l] {
			return "nothing keeps it back"
		}
		return ""
	case nowhere:
		return "it is nowhere"
	}
	st := l.site
	sh := st.line(&l.Lane).shares[l.Tenant]
	switch {
	case s.sites[st.name] != st:
		return "its site is forgotten"
	case sh == nil || sh.index < 0 || !slices.Contains(sh.items, l):
		return "it isn't in line"
	case len(st.idle) > 0 && st.asked == [3]int{} && !st.listed[rank(l.Priority)] && s.wants(now, st, rank(l.Priority)) > 0 &&
		!st.next(now, st.window.limits(now, st.limits).MessageRate).After(now):
		return "its site has idle connections and doesn't claim"
	case !st.lacking.IsZero() && st.shareless():
		return "" // it asks for one
	case s.draining || !s.mayBegin() || st.blocked || s.telling || st.workers > 0 || st.asked != [3]int{} || st.listed != [3]bool{} || st.short.line != nil || st.timer.After(now):
		return ""
	}
	return "its site waits for nothing"
}
