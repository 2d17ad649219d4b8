package schedule

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
)

// News is what processes that share a queue tell each other: what they have found out by themselves, and others need not.
type News struct {
	Troubles []Trouble // the latest first
	Flushes  []Flushed
}

// Trouble is what keeps a site back.
type Trouble struct {
	Site  string
	Since time.Time     // when it was found out
	Until time.Time     // a pause's end; not after now: there is none
	Why   string        // there is a pause
	Rests time.Duration // how long the pause after failure was; 0: the site hasn't failed
	Slow  []Slowdown
}

// Slowdown is what a rule for replies has asked for.
type Slowdown struct {
	Order shaping.Order
	Until time.Time
}

// Flushed says that what was found out about a site until then is to be forgotten. An empty Site is all.
type Flushed struct {
	Site string
	At   time.Time
}

// Heard has the State go by the news of another process.
type Heard struct{ News }

const (
	// flushMemory is how long news about what was flushed before are passed over: longer than anybody tells them.
	flushMemory = time.Hour
	// maxFlushes bounds what is remembered of that.
	maxFlushes = 100
)

// News returns what this process has to tell.
func (s *State) News(now time.Time) (n News) {
	s.forgetFlushes(now)
	n.Flushes = slices.Clone(s.flushes)
	for _, st := range s.sites {
		if t := st.window.trouble(now); t.Since != (time.Time{}) {
			t.Site = st.name
			n.Troubles = append(n.Troubles, t)
		}
	}
	slices.SortFunc(n.Troubles, func(a, b Trouble) int {
		return cmp.Or(b.Since.Compare(a.Since), strings.Compare(a.Site, b.Site))
	})
	return n
}

// heard takes in what another process has told.
func (s *State) heard(now time.Time, n News) {
	s.forgetFlushes(now)
	for _, f := range n.Flushes {
		if s.noteFlush(now, f) {
			for _, st := range s.inOrder(f.matches) {
				if !st.window.since.After(f.At) {
					st.window.flush()
					s.touch(st)
				}
			}
		}
	}
	for _, t := range n.Troubles {
		if s.flushedSince(&t) {
			continue
		}
		st := s.site(t.Site)
		s.join(st)
		st.window.adopt(now, &t)
		s.touch(st)
	}
}

func (f *Flushed) matches(st *site) bool { return f.Site == "" || f.Site == st.name }

// noteFlush remembers a flush, and reports whether it is new.
func (s *State) noteFlush(now time.Time, f Flushed) bool {
	if slices.Contains(s.flushes, f) || now.Sub(f.At) >= flushMemory {
		return false
	}
	if len(s.flushes) >= maxFlushes {
		s.flushes = slices.Delete(s.flushes, 0, 1)
	}
	s.flushes = append(s.flushes, f)
	return true
}

func (s *State) forgetFlushes(now time.Time) {
	s.flushes = slices.DeleteFunc(s.flushes, func(f Flushed) bool { return now.Sub(f.At) >= flushMemory })
}

func (s *State) flushedSince(t *Trouble) bool {
	return slices.ContainsFunc(s.flushes, func(f Flushed) bool {
		return (f.Site == "" || f.Site == t.Site) && !t.Since.After(f.At)
	})
}

// trouble returns what the window has found out by itself and still keeps to; one without Since is none.
func (w *window) trouble(now time.Time) (t Trouble) {
	w.pass(now)
	if !w.own || !now.Before(w.until) && len(w.orders) == 0 {
		return t
	}
	t = Trouble{Since: w.since}
	if now.Before(w.until) {
		t.Until, t.Why, t.Rests = w.until, w.why, w.paused
	}
	for _, o := range w.orders {
		t.Slow = append(t.Slow, Slowdown{o.Order, o.until})
	}
	return t
}

// adopt goes by what another process has found out. It may hear of it many times.
func (w *window) adopt(now time.Time, t *Trouble) {
	w.hear(now)
	last := now.Add(maxOrdered + maxOrdered/5)
	if until := earliest(t.Until, last); until.After(now) && until.After(w.until) {
		w.pause(until, t.Why)
		w.paused = max(w.paused, min(t.Rests, maxOrdered))
		w.since = later(w.since, t.Since)
	}
	for _, o := range t.Slow {
		s := slowdown{o.Order, earliest(o.Until, last)}
		known := slices.ContainsFunc(w.orders, func(k slowdown) bool { return k.Rule == s.Rule && !s.until.After(k.until) })
		if s.Action == shaping.Slow && s.until.After(now) && !known {
			w.slow(s)
			w.since = later(w.since, t.Since)
		}
	}
}
