package schedule

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
)

const (
	// maxOrdered bounds for how long a rule can keep a site back.
	maxOrdered = 7 * 24 * time.Hour
	// maxSlowdowns bounds how many rules can slow a site at once. One more takes the place of that which ends first.
	maxSlowdowns = 8
)

// slowdown is what a rule has asked for, as long as it is in force.
type slowdown struct {
	shaping.Order
	until time.Time
}

// order takes what a rule asks for: a pause, or lower limits for a time, either up to a fifth longer than the rule says.
func (w *window) order(now time.Time, o shaping.Order, r *rand.Rand) {
	if o.For <= 0 {
		return
	}
	d := min(o.For, maxOrdered)
	until := now.Add(jitter(d, d/5, r))
	switch o.Action {
	case shaping.Pause:
		w.hear(now)
		w.pause(until, o.Rule)
		w.since, w.own = now, true
	case shaping.Slow:
		w.hear(now)
		w.slow(slowdown{o, until})
		w.since, w.own = now, true
	}
}

// slow puts s in force. A rule is in force once, however many replies it has matched.
func (w *window) slow(s slowdown) {
	w.orders = slices.DeleteFunc(w.orders, func(o slowdown) bool { return o.Rule == s.Rule })
	if len(w.orders) >= maxSlowdowns {
		first := 0
		for i := range w.orders {
			if w.orders[i].until.Before(w.orders[first].until) {
				first = i
			}
		}
		w.orders = slices.Delete(w.orders, first, first+1)
	}
	w.orders = append(w.orders, s)
	if s.Connections > 0 && w.conns > s.Connections { // it grows again from there, instead of coming back at once
		w.conns, w.credit, w.most = s.Connections, 0, 0
	}
}

// expire forgets the slowdowns that are over.
func (w *window) expire(now time.Time) {
	if len(w.orders) == 0 {
		return
	}
	w.orders = slices.DeleteFunc(w.orders, func(s slowdown) bool { return !now.Before(s.until) })
	if len(w.orders) == 0 {
		w.orders = nil
	}
}

// eases returns when the first of the slowdowns ends, zero if there are none.
func (w *window) eases() (first time.Time) {
	for i := range w.orders {
		first = earliest(first, w.orders[i].until)
	}
	return first
}

// slowed returns l as the slowdowns leave it, and of that this process's share.
func (w *window) slowed(l shaping.Limits) shaping.Limits {
	l = w.ordered(l)
	if w.shared {
		l = portion(l, w.part)
	}
	return l
}

// ordered returns l as the slowdowns leave it.
func (w *window) ordered(l shaping.Limits) shaping.Limits {
	for i := range w.orders {
		l = l.Slowed(w.orders[i].Order)
	}
	return l
}

// limits returns what is in force of l, the site's own limits, under what replies have asked for.
func (w *window) limits(now time.Time, l shaping.Limits) shaping.Limits {
	w.pass(now)
	return w.slowed(l)
}
