package schedule

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
)

const (
	// A pause after failure doubles from Limits.Rest to so many times that, and is a fifth longer or shorter, so that by
	// default it never takes more than an hour, and sites that have failed together don't come back together.
	maxRests = 50
	// What a site takes is tried again after a time that doubles from the first to the second while the answer stays
	// the same, ...
	minHold, maxHold = 2 * time.Minute, time.Hour
	// ... but not before that many dialogues, so that what is refused stays at a hundredth of what is sent.
	heldDialogues = 100
	// maxRamp bounds how long a site takes to come back to its full window, where connections live for longer.
	maxRamp = 15 * time.Minute
	// A site that nothing was heard of is as good as unknown; what it is known to take is worth more, as it costs
	// refusals to find out.
	windowMemory, ceilingMemory = time.Hour, 24 * time.Hour
	// maxWhy bounds what is kept of a text that a server may have written.
	maxWhy = 200
)

// window is how many connections a site may have. It is found by trying, as in Postfix: each dialogue without trouble with the
// connection earns 1/n of a further one, each connection that can't be had costs as much, and n of these in a row, a cohort, mean
// that the site is dead.
//
//	             cohort failed, or a reply asks for it
//	growing, held ---------------------------------> paused
//	   ^                                              |  ^
//	   | Lifetime over                      time over |  | failed
//	   |                    met                       v  |
//	returning <------------------------------------- probing, one connection
//
// A site that turns us away while it has n of our connections takes n: that is its ceiling, and no failure. The window is held
// there, and one more is tried from time to time.
//
// A window that comes back is bounded by time as well: it takes the lifetime of a connection to be full. So new connections and
// those that replace old ones are never more than twice what replacing alone will be, however much waits.
//
// The zero window is a new one. Times are compared with care for a clock that is set back.
type window struct {
	conns    int // how many there may be; 0: as many as to start with
	credit   int // dialogues that count for the next one
	most     int // how many were greeted at once, since conns has grown
	failures int // in a row

	ceiling   int           // what the site took when it turned us away; 0: unknown
	held      time.Time     // no growth before, ...
	dialogues int           // ... and before that many dialogues since the trouble are heldDialogues
	hold      time.Duration // for how long the ceiling is held; above minHold if the site has said it twice

	until   time.Time     // the end of the pause, or since when the window comes back
	why     string        // there is a pause
	paused  time.Duration // for how long, when it failed last; 0: it hasn't since it was met
	probing bool          // it isn't known yet whether the pause was long enough

	orders []slowdown
	heard  time.Time // when there was feedback last

	since  time.Time // when what keeps the site back was found out; zero: nothing does
	own    bool      // by this process, which is to tell others
	shared bool      // with other processes, ...
	part   int       // ... of whose connections so many are this one's
}

// size returns how many connections may be open or opening; 0 while the site pauses.
func (w *window) size(now time.Time, l shaping.Limits) int {
	w.pass(now)
	switch {
	case now.Before(w.until):
		return 0
	case w.shared && w.part == 0:
		return 0
	case w.probing:
		return 1
	}
	l = w.slowed(l)
	n := w.conns
	if n == 0 {
		n = l.Start
		if w.ceiling > 0 {
			n = min(n, w.ceiling)
		}
	}
	return max(1, min(n, l.Connections, w.returning(now, l)))
}

// returning bounds a window that comes back.
func (w *window) returning(now time.Time, l shaping.Limits) int {
	full, ramp := l.Connections, min(l.Lifetime, maxRamp)
	if w.ceiling > 0 {
		full = min(full, w.ceiling)
	}
	if since := now.Sub(w.until); since < ramp {
		return 1 + int(float64(full)*float64(since)/float64(ramp))
	}
	return l.Connections
}

// pausedUntil returns when the pause of the site ends, and why there is one; the zero time if there is none.
func (w *window) pausedUntil(now time.Time) (until time.Time, why string) {
	w.pass(now)
	if !now.Before(w.until) {
		return time.Time{}, ""
	}
	return w.until, w.why
}

// met says that a dialogue has ended in order while so many connections were greeted, its own included.
func (w *window) met(now time.Time, open int, l shaping.Limits) {
	w.hear(now)
	w.failures, w.paused = 0, 0
	if now.Before(w.until) {
		return // what began before the pause says nothing about its end
	}
	if w.probing {
		w.probing, w.until, w.why = false, now, ""
		w.own = w.own && len(w.orders) > 0
	}
	w.dialogues++
	w.prove(now, open)
	n := w.size(now, l)
	if w.most = max(w.most, open); w.most < n-n/8 {
		return // nobody knows whether the site takes as many as it may have
	}
	if w.credit = min(w.credit+1, n); w.credit == n && w.mayGrow(now, n, l) {
		w.conns, w.credit, w.most = n+1, 0, open
	}
}

// mayGrow reports whether nothing but what is earned keeps a window of n from growing.
func (w *window) mayGrow(now time.Time, n int, l shaping.Limits) bool {
	return n >= w.conns && n < w.slowed(l).Connections && (n < w.ceiling || !w.holds(now))
}

// prove takes note of more connections than the ceiling. If one more was to be tried, it is none any more. If not, the site has
// answered in another order than it was asked.
func (w *window) prove(now time.Time, open int) {
	switch {
	case w.ceiling == 0 || open <= w.ceiling:
	case w.holds(now):
		w.ceiling, w.conns = open, max(w.conns, open)
	default:
		w.ceiling, w.hold = 0, 0
	}
}

// holds reports whether it is too early to try a larger window.
func (w *window) holds(now time.Time) bool {
	return now.Before(w.held) || !w.held.IsZero() && w.dialogues < heldDialogues
}

// failed says that no host of the site could be reached or got through greeting and handshake, while so many connections were
// greeted.
func (w *window) failed(now time.Time, open int, text string, l shaping.Limits, r *rand.Rand) {
	w.hear(now)
	n := w.size(now, l)
	if n == 0 {
		return // that is known already
	}
	if w.failures++; w.failures >= n {
		w.die(now, text, l, r)
		return
	}
	if w.credit--; w.credit < 0 {
		w.conns, w.credit = n-1, max(0, n-2)
	}
	if open > 0 && w.most < n { // so many have never been had: a site may leave unanswered what is too much
		w.takes(now, n-1, r)
	}
}

// rest pauses the site whatever is left of its cohort.
func (w *window) rest(now time.Time, text string, l shaping.Limits, r *rand.Rand) {
	if w.size(now, l) > 0 {
		w.die(now, text, l, r)
	}
}

// die pauses a site whose cohort has failed.
func (w *window) die(now time.Time, text string, l shaping.Limits, r *rand.Rand) {
	w.paused = min(max(2*w.paused, l.Rest), maxRests*l.Rest)
	w.pause(now.Add(jitter(w.paused-w.paused/5, 2*w.paused/5, r)), text)
	w.since, w.own = now, true
	if w.hold <= minHold { // what it said only once, it may have said on its way down
		w.ceiling, w.hold, w.held = 0, 0, time.Time{}
	}
}

// pause lets the site rest, and then be tried with one connection.
func (w *window) pause(until time.Time, why string) {
	w.probing, w.failures = true, 0
	w.conns, w.credit, w.most = 1, 0, 0
	if until.After(w.until) {
		w.until, w.why = until, bounded(why)
	}
}

// turnedAway says that a host of the site would not have one more connection while so many were greeted: we may be too many.
// With none, it is a failure.
func (w *window) turnedAway(now time.Time, open int, text string, l shaping.Limits, r *rand.Rand) {
	if open <= 0 {
		w.failed(now, open, text, l, r)
		return
	}
	w.hear(now)
	w.takes(now, open, r)
}

// takes makes n the ceiling. Its being said again, after it was time to try one more, makes it last longer.
func (w *window) takes(now time.Time, n int, r *rand.Rand) {
	switch {
	case n != w.ceiling:
		w.hold = minHold
	case !w.holds(now):
		w.hold = min(2*w.hold, maxHold)
	}
	w.ceiling, w.dialogues = n, 0
	w.held = now.Add(jitter(w.hold-w.hold/5, 2*w.hold/5, r))
	if !w.probing {
		w.conns, w.credit, w.most = n, 0, min(w.most, n)
	}
}

// flush forgets failure, and what replies have asked for. A site that has paused is still met with one connection first, and
// one that has turned us away is asked again.
func (w *window) flush() {
	w.failures, w.paused, w.orders = 0, 0, nil
	w.until, w.why = time.Time{}, ""
	w.held = time.Time{}
	w.since, w.own = time.Time{}, false
}

// idle reports whether a new window would do as well.
func (w *window) idle(now time.Time) bool {
	w.pass(now)
	return w.conns == 0 && w.credit == 0 && w.failures == 0 && w.ceiling == 0 && !w.probing && len(w.orders) == 0
}

// hear brings the window to now, when there is feedback.
func (w *window) hear(now time.Time) {
	w.pass(now)
	w.heard = now
}

// pass brings the window to now.
func (w *window) pass(now time.Time) {
	if back := now.Sub(w.heard); back < 0 {
		w.shift(back)
	}
	w.expire(now)
	quiet := now.Sub(w.heard)
	if w.until.After(w.heard) {
		quiet = now.Sub(w.until)
	}
	if quiet < windowMemory || len(w.orders) > 0 {
		return
	}
	fresh := window{heard: w.heard, shared: w.shared, part: w.part}
	if w.ceiling > 0 && quiet < ceilingMemory {
		fresh.ceiling, fresh.hold, fresh.held, fresh.dialogues = w.ceiling, w.hold, w.held, w.dialogues
	}
	*w = fresh
}

// shift moves the window's times with a clock that was set back, so that what is left of a pause stays what it was.
func (w *window) shift(by time.Duration) {
	for _, t := range []*time.Time{&w.heard, &w.until, &w.held, &w.since} {
		if !t.IsZero() {
			*t = t.Add(by)
		}
	}
	for i := range w.orders {
		w.orders[i].until = w.orders[i].until.Add(by)
	}
}

// jitter returns a duration from least to least+spread; the middle without r.
func jitter(least, spread time.Duration, r *rand.Rand) time.Duration {
	if r == nil {
		return least + spread/2
	}
	return least + time.Duration(r.Int64N(int64(spread)+1))
}

// bounded returns what is kept of s.
func bounded(s string) string {
	if len(s) > maxWhy {
		s = strings.ToValidUTF8(s[:maxWhy], "")
	}
	return strings.Clone(s) // it may be part of something larger
}
