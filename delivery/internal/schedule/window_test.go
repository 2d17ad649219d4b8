package schedule

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
)

// windowTest is a window with what its methods are called with.
type windowTest struct {
	*testing.T
	window
	now  time.Time
	site shaping.Limits
	rand *rand.Rand // nil: no jitter
}

func testWindow(t *testing.T) *windowTest {
	l := (&shaping.Policy{}).Limits("x.example")
	return &windowTest{T: t, now: epoch, site: l}
}

func (w *windowTest) met(times, open int) {
	for range times {
		w.window.met(w.now, open, w.site)
	}
}

func (w *windowTest) failed(times, open int) {
	for range times {
		w.window.failed(w.now, open, "timeout", w.site, w.rand)
	}
}

func (w *windowTest) turnedAway(open int) {
	w.window.turnedAway(w.now, open, "421 no", w.site, w.rand)
}

func (w *windowTest) pass(d time.Duration) { w.now = w.now.Add(d) }

// grow meets the site with as many connections as there may be, until there are n.
func (w *windowTest) grow(n int) {
	w.Helper()
	for range 1000 {
		size := w.size(w.now, w.site)
		if size >= n {
			return
		}
		w.met(1, size)
	}
	w.Fatalf("size stays %d, want %d", w.size(w.now, w.site), n)
}

func (w *windowTest) want(size int, what string) {
	w.Helper()
	if got := w.size(w.now, w.site); got != size {
		w.Errorf("%s: size is %d, want %d", what, got, size)
	}
}

func (w *windowTest) wantPause(d time.Duration, what string) {
	w.Helper()
	until, _ := w.pausedUntil(w.now)
	switch {
	case until.IsZero() && d == 0:
	case until.IsZero():
		w.Errorf("%s: no pause, want %v", what, d)
	case until.Sub(w.now) != d:
		w.Errorf("%s: pause is %v, want %v", what, until.Sub(w.now), d)
	}
}

func TestWindowGrows(t *testing.T) {
	w := testWindow(t)
	w.want(2, "new")
	w.met(1, 2)
	w.want(2, "one dialogue")
	w.met(1, 2)
	w.want(3, "a dialogue on each of two")
	w.met(100, 2)
	w.want(3, "never so many connections")
	w.met(3, 3)
	w.want(4, "and then")
	w.grow(20)
	w.met(1000, 20)
	w.want(20, "cap")
	w.site.Connections = 7
	w.want(7, "lower cap")
	w.site.Connections = 1
	w.want(1, "cap of one")
}

func TestWindowCohort(t *testing.T) {
	for _, c := range []struct {
		name    string
		from    int // size
		failed  []int
		met     bool // in between
		size    int
		pausing bool
	}{
		{name: "one of two", from: 2, failed: []int{1}, size: 1},
		{name: "two of two", from: 2, failed: []int{2}, pausing: true},
		{name: "two of two, met in between", from: 2, failed: []int{1, 0}, met: true, size: 1},
		{name: "one of ten", from: 10, failed: []int{1}, size: 9},
		{name: "half", from: 10, failed: []int{5}, size: 9},
		{name: "all", from: 10, failed: []int{9}, pausing: true},
		{name: "many, met in between", from: 10, failed: []int{8, 7}, met: true, size: 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := testWindow(t)
			w.grow(c.from)
			for i, n := range c.failed {
				if i > 0 && c.met {
					w.met(1, 0)
				}
				w.failed(n, 0)
			}
			w.want(c.size, "size")
			if until, why := w.pausedUntil(w.now); until.IsZero() == c.pausing || c.pausing != (why == "timeout") {
				t.Errorf("pauses until %v because of %q", until, why)
			}
		})
	}
}

func TestWindowDeadSite(t *testing.T) {
	w := testWindow(t)
	w.failed(2, 0)
	for _, d := range []time.Duration{1, 2, 4, 8, 16, 32, 50, 50} {
		w.wantPause(d*time.Minute, "failed again")
		w.failed(19, 0)
		w.wantPause(d*time.Minute, "those that had begun before")
		w.want(0, "while it pauses")
		w.pass(d * time.Minute)
		w.want(1, "after it")
		w.wantPause(0, "after it")
		w.failed(1, 0)
	}
	w.pass(time.Hour)
	w.met(1, 1)
	w.want(1, "just back")
	w.failed(1, 0)
	w.wantPause(time.Minute, "failed after it was met")
}

func TestWindowJitter(t *testing.T) {
	shortest, longest := time.Hour, time.Duration(0)
	for seed := range uint64(200) {
		w := testWindow(t)
		w.rand = rand.New(rand.NewPCG(seed, 0))
		w.failed(2, 0)
		until, _ := w.pausedUntil(w.now)
		shortest, longest = min(shortest, until.Sub(w.now)), max(longest, until.Sub(w.now))
	}
	if shortest < 48*time.Second || longest > 72*time.Second || longest-shortest < 20*time.Second {
		t.Errorf("first pauses take %v to %v", shortest, longest)
	}
}

// A site that is back gets its connections one after the other, over the lifetime of one.
func TestWindowComesBack(t *testing.T) {
	w := testWindow(t)
	w.grow(20)
	w.failed(20, 0)
	w.pass(time.Minute)
	for s := range 300 {
		if size := w.size(w.now, w.site); size > 1+20*s/300 {
			t.Fatalf("size is %d after %d s", size, s)
		} else {
			w.met(20, size)
		}
		w.pass(time.Second)
	}
	w.want(20, "after the lifetime of a connection")
}

func TestWindowCeiling(t *testing.T) {
	w := testWindow(t)
	w.grow(6)
	w.turnedAway(5)
	for i, d := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		w.want(5, "turned away")
		w.wantPause(0, "turned away")
		w.met(1000, 5)
		w.pass(d*time.Minute - 1)
		w.met(1000, 5)
		w.want(5, "not yet time to ask again")
		w.pass(1)
		w.met(6, 5)
		w.want(6, "time to ask again")
		w.met(1000, 5)
		w.want(6, "one more than the site takes, until it has taken it")
		if i < 6 {
			w.turnedAway(5)
		}
	}
	w.met(1, 6)
	w.met(6, 6)
	w.want(7, "it takes more now")
	w.grow(20)
	w.turnedAway(19)
	w.pass(2 * time.Minute)
	w.grow(20)
}

func TestWindowCeilingIsNotTriedForAFewMessages(t *testing.T) {
	w := testWindow(t)
	w.grow(3)
	w.turnedAway(2)
	w.pass(time.Hour)
	w.met(heldDialogues-1, 2)
	w.want(2, "before enough has been sent")
	w.met(1, 2)
	w.want(3, "after it")
}

// What is said once, in between, doesn't last as long as what was said often.
func TestWindowCeilingOnceLower(t *testing.T) {
	w := testWindow(t)
	w.grow(6)
	for range 7 {
		w.turnedAway(5)
		w.pass(maxHold)
		w.met(heldDialogues, 5)
	}
	w.turnedAway(5)
	w.turnedAway(4)
	w.want(4, "lower")
	w.pass(minHold)
	w.met(heldDialogues, 4)
	w.want(5, "tried again soon")
}

func TestWindowCeilingMoves(t *testing.T) {
	w := testWindow(t)
	w.grow(10)
	for n := 9; n > 0; n-- {
		w.turnedAway(n)
		w.want(n, "fewer and fewer")
	}
	w.met(1, 3)
	w.want(3, "the answers came in another order")
	w.met(1000, 3)
	w.want(3, "which is the ceiling now")
	w.turnedAway(0)
	w.failed(2, 0)
	w.wantPause(time.Minute, "none at all")
	w.pass(time.Minute)
	w.met(1, 1)
	w.pass(30 * time.Second)
	w.met(20, 2)
	w.met(20, 3)
	w.want(3, "coming back to twenty, since what it said only once is forgotten")
}

func TestWindowCeilingIsRemembered(t *testing.T) {
	w := testWindow(t)
	w.turnedAway(1)
	w.pass(12 * time.Hour)
	w.want(1, "half a day later")
	w.met(heldDialogues, 1)
	w.want(2, "and tried again")
	w.pass(24 * time.Hour)
	w.want(2, "forgotten")
}

func TestWindowCeilingSurvivesAnOutage(t *testing.T) {
	w := testWindow(t)
	w.grow(6)
	w.turnedAway(5)
	w.pass(minHold)
	w.met(heldDialogues, 5)
	w.turnedAway(5)
	w.failed(5, 0)
	w.wantPause(time.Minute, "dead")
	w.pass(time.Minute)
	w.met(1, 1)
	for range 180 {
		w.met(5, w.size(w.now, w.site))
		w.pass(time.Second)
	}
	w.want(4, "coming back to five")
	w.pass(2 * time.Minute)
	w.grow(5)
}

// A site may leave unanswered what is too much for it.
func TestWindowSilentCeiling(t *testing.T) {
	w := testWindow(t)
	w.grow(6)
	w.failed(1, 5)
	w.want(5, "the sixth was never had")
	w.met(1000, 5)
	w.want(5, "held")
	w.pass(minHold)
	w.met(5, 5)
	w.want(6, "tried again")
	w.met(1, 6)
	w.failed(1, 5)
	w.want(6, "that it has had, so it is only a failure")
}

func TestWindowFlush(t *testing.T) {
	w := testWindow(t)
	w.grow(6)
	w.turnedAway(5)
	w.failed(5, 0)
	w.order(w.now, shaping.Order{Rule: "r", Action: shaping.Slow, For: time.Hour, Connections: 1}, nil)
	w.flush()
	w.wantPause(0, "flushed")
	w.want(1, "flushed")
	w.failed(1, 0)
	w.wantPause(time.Minute, "the first pause again")
	w.flush()
	w.met(1, 1)
	w.pass(5 * time.Minute)
	w.grow(20)
	w.turnedAway(10)
	w.flush()
	w.grow(11)
}

func TestWindowIdle(t *testing.T) {
	short := func(d time.Duration) func(*windowTest) { return func(w *windowTest) { w.pass(d) } }
	for _, c := range []struct {
		name     string
		do, then func(*windowTest)
		idle     bool
	}{
		{"new", short(0), short(0), true},
		{"one message", func(w *windowTest) { w.met(1, 1) }, short(0), true},
		{"grown", func(w *windowTest) { w.grow(3) }, short(59 * time.Minute), false},
		{"grown, long ago", func(w *windowTest) { w.grow(3) }, short(time.Hour), true},
		{"ceiling", func(w *windowTest) { w.turnedAway(1) }, short(23 * time.Hour), false},
		{"ceiling, long ago", func(w *windowTest) { w.turnedAway(1) }, short(24 * time.Hour), true},
		{"dead", func(w *windowTest) { w.failed(2, 0) }, short(59 * time.Minute), false},
		{"dead, long ago", func(w *windowTest) { w.failed(2, 0) }, short(61 * time.Minute), true},
		{"slow", func(w *windowTest) {
			w.order(w.now, shaping.Order{Action: shaping.Slow, For: 50 * time.Hour, Connections: 1}, nil)
		}, short(49 * time.Hour), false},
		{"pause", func(w *windowTest) { w.order(w.now, shaping.Order{Action: shaping.Pause, For: 50 * time.Hour}, nil) }, short(50 * time.Hour), false},
		{"wait", func(w *windowTest) { w.order(w.now, shaping.Order{Action: shaping.Wait, For: 50 * time.Hour}, nil) }, short(0), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := testWindow(t)
			c.do(w)
			c.then(w)
			if got := w.idle(w.now); got != c.idle {
				t.Errorf("idle is %v, want %v: %+v", got, c.idle, w.window)
			}
			if c.idle {
				w.want(2, "as good as new")
			}
		})
	}
}

// A clock that is set back doesn't make a pause longer than twice what it was.
func TestWindowClockSetBack(t *testing.T) {
	w := testWindow(t)
	w.order(w.now, shaping.Order{Rule: "r", Action: shaping.Slow, For: 50 * time.Minute, Connections: 1}, nil)
	w.failed(2, 0)
	w.turnedAway(1)
	w.pass(-24 * time.Hour)
	w.wantPause(time.Minute, "set back")
	w.pass(time.Minute)
	w.want(1, "after the pause")
	w.met(1, 1)
	w.pass(-24 * time.Hour)
	w.want(1, "set back again")
	w.pass(time.Hour)
	w.met(heldDialogues, 1)
	w.want(2, "neither slow nor held")
}

func TestWindowWhyIsBounded(t *testing.T) {
	w := testWindow(t)
	for range 2 {
		w.window.failed(w.now, 0, strings.Repeat("é", 1000)+"\xff", w.site, nil)
	}
	if _, why := w.pausedUntil(w.now); len(why) > maxWhy || strings.Trim(why, "é") != "" || why == "" {
		t.Errorf("why is %q", why)
	}
}
