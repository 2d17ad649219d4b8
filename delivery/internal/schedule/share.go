package schedule

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
)

// What several processes that send from one queue share: the connections of each site, and with them its rates, and the rates of
// tenants, senders and sources. A process begins nothing at a site of which it has no share, but it finds out which site a
// domain belongs to without one.

// RateParts is how many parts the rates of tenants, senders and sources have.
const RateParts = 1000

// Shares says what this process may use, until a time: it replaces what was said before. When that time comes the process may use
// nothing.
type Shares struct {
	Sites map[string]int // connections of each site; none of those that aren't there
	Rates int            // parts of the rates of tenants, senders and sources
	Until time.Time
}

// Needs is what this process would use if it were alone, and does.
type Needs struct {
	Sites  map[string]Need
	Hungry bool // there is something due at a site of which there is no share
}

// Need is what it would use of a site, and does, in connections.
type Need struct{ Want, Used int }

func (st *site) shareless() bool { return st.window.shared && st.window.part == 0 }

// join makes a site one that is shared: not one that only stands for a domain whose way isn't known.
func (s *State) join(st *site) {
	if s.config.Shared && !st.window.shared {
		st.window.shared, st.window.part = true, s.part(st.name)
	}
}

// part is how many connections of a site are this process's.
func (s *State) part(name string) int {
	if !s.granted {
		return 0
	}
	return s.shares.Sites[name]
}

// setShares replaces the shares.
func (s *State) setShares(now time.Time, e Shares) {
	rates := s.meters.parts
	s.shares, s.granted = e, now.Before(e.Until)
	if s.meters.parts = e.Rates; rates != e.Rates {
		s.meters.replan()
		s.release(now)
	}
	s.divide()
	s.telling = false
	for _, st := range s.blocked {
		st.blocked = false
		s.touch(st)
	}
	s.blocked = nil
}

// lapse takes the shares away when their time is over.
func (s *State) lapse(now time.Time) {
	if !s.granted || now.Before(s.shares.Until) {
		return
	}
	s.granted = false
	s.divide()
	for _, st := range s.inOrder(func(st *site) bool { return st.inHand() > 0 }) {
		s.touch(st)
	}
}

// divide tells the sites of their shares.
func (s *State) divide() {
	for _, st := range s.inOrder(func(st *site) bool { return st.window.shared && st.window.part != s.part(st.name) }) {
		st.window.part = s.part(st.name)
		st.owes = st.workers > st.window.part
		if st.shareless() && st.short.line != nil {
			st.short.line.remove(st.short.tenant, st)
			st.short = shortage{}
		}
		s.touch(st)
	}
}

// mayBegin reports whether anything may begin at all.
func (s *State) mayBegin() bool { return !s.config.Shared || s.granted }

// mayDial reports whether a worker of a site may make its connection: there may have been no share when it set out for what was
// only a domain then, or it may have become less.
func (s *State) mayDial(st *site) bool {
	return s.mayBegin() && (!st.window.shared || st.workers <= min(st.window.part, s.atMost(st)))
}

// atMost is how many connections a site may have while others are being told of those that it has: they may get what is left.
func (s *State) atMost(st *site) int {
	if s.telling && st.window.shared {
		return st.counted
	}
	return math.MaxInt
}

// openable is how many more connections a site may have by its window and its share.
func (s *State) openable(now time.Time, st *site) int {
	n := st.window.size(now, st.limits) - st.workers
	most := s.atMost(st) - st.workers
	if most < n && !st.blocked {
		st.blocked = true
		s.blocked = append(s.blocked, st)
	}
	return min(n, most)
}

// lack notes since when a site has something due and no share, and asks for one.
func (s *State) lack(now time.Time, st *site) {
	until, _ := st.window.pausedUntil(now)
	switch p, _ := st.best(); {
	case !st.shareless() || p == len(st.lines) || !until.IsZero() || s.draining:
		st.lacking = time.Time{}
	case st.lacking.IsZero():
		st.lacking = now
		s.renew = true
	}
}

// Needs returns what this process would use, of most sites at the most, beside those where it has connections. If there are more,
// those come first that have lacked a share longest. It is for others to be told: until there are new Shares, no site comes to
// use more than that.
func (s *State) Needs(now time.Time, most int) Needs {
	n := Needs{Sites: make(map[string]Need)}
	s.telling = true
	var others []*site
	for _, st := range s.sites {
		if st.counted = 0; st.window.shared {
			st.counted = st.workers
		}
		need := st.need(now, s.draining)
		switch {
		case !st.window.shared || need == (Need{}):
		case need.Used > 0:
			n.Sites[st.name] = need
		default:
			others = append(others, st)
		}
		n.Hungry = n.Hungry || !st.lacking.IsZero()
	}
	slices.SortFunc(others, func(a, b *site) int {
		return cmp.Or(again(a.lacking.IsZero())-again(b.lacking.IsZero()), a.lacking.Compare(b.lacking), strings.Compare(a.name, b.name))
	})
	for _, st := range others[:min(len(others), most)] {
		n.Sites[st.name] = st.need(now, s.draining)
	}
	return n
}

// need is all that the site takes if something waits for a connection, and else what there is.
func (st *site) need(now time.Time, draining bool) Need {
	n := Need{Used: st.workers}
	until, _ := st.window.pausedUntil(now)
	if draining || !until.IsZero() {
		return n
	}
	n.Want = st.workers
	if p, _ := st.best(); p < len(st.lines) || st.asked != [3]int{} {
		n.Want = st.window.ordered(st.limits).Connections
		if st.window.probing {
			n.Want = 1 // of all who share the site, one tries it
		}
	}
	return n
}

// portion returns l, of which the process has n connections, as its part of them allows.
func portion(l shaping.Limits, n int) shaping.Limits {
	whole := l.Connections
	if n >= whole {
		return l
	}
	l.Connections = n
	l.Start = max(1, int(int64(l.Start)*int64(n)/int64(whole)))
	l.MessageRate = partOf(l.MessageRate, n, whole)
	l.ConnectionRate = partOf(l.ConnectionRate, n, whole)
	return l
}

// longestPart bounds what a part of a rate can come to.
const longestPart = 1 << 62

// partOf returns n of a rate's parts, one at least: who has none begins nothing, or very little.
func partOf(r shaping.Rate, n, of int) shaping.Rate {
	if r.Per <= 0 || n >= of {
		return r
	}
	n = max(n, 1)
	per := math.Ceil(float64(r.Per) * float64(of) / float64(n))
	r.Per = time.Duration(min(per, longestPart))
	r.Burst = max(1, int(int64(max(r.Burst, 1))*int64(n)/int64(of)))
	return r
}
