package schedule

import (
	"reflect"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
)

// dead returns a world in which the site has been found dead.
func dead(t *testing.T) *toy {
	w := newShared(t, few(2))
	w.server = func(string, int) toyAnswer { return toyAnswer{failed: Failed} }
	w.add(lane1("a.example"), 100)
	w.beat(0)
	w.run(time.Second)
	w.beat(2)
	w.run(5 * time.Second)
	if len(w.s.News(w.now).Troubles) != 1 {
		t.Fatalf("news are %+v", w.s.News(w.now))
	}
	return w
}

// What one has found out the other goes by, as if it had found it out itself: then it tries the site with one connection. It
// doesn't tell it again.
func TestNewsOfADeadSite(t *testing.T) {
	a := dead(t)
	b := newShared(t, few(2))
	b.now = a.now
	for range 2 { // it may hear of it more than once
		b.step(Heard{a.s.News(a.now)})
	}
	until, why := b.s.sites["site"].window.pausedUntil(b.now)
	if want, _ := a.s.sites["site"].window.pausedUntil(a.now); !until.Equal(want) || !until.After(b.now) || why != "" {
		t.Errorf("pauses until %v, %q; the other until %v", until, why, want)
	}
	if news := b.s.News(b.now); len(news.Troubles) > 0 {
		t.Errorf("tells %+v", news)
	}
	b.add(lane1("a.example"), 10)
	b.step(Shares{Until: b.now.Add(time.Hour)})
	b.run(time.Second)
	if need := b.beat(2); need != (Need{}) {
		t.Errorf("needs %+v of a site that pauses", need)
	}
	b.now = until
	b.beat(0)
	b.step(nil)
	if need := b.beat(1); need != (Need{Want: 1}) {
		t.Errorf("needs %+v of a site that is to be tried", need)
	}
	b.s.sites["site"].window.failed(b.now, 0, "", few(2).Limits("site"), nil)
	if w := &b.s.sites["site"].window; w.paused != 2*a.s.sites["site"].window.paused {
		t.Errorf("rests for %v after %v", w.paused, a.s.sites["site"].window.paused)
	}
}

// What replies have asked for holds for others, too, and no longer.
func TestNewsOfASlowdown(t *testing.T) {
	order := shaping.Order{Rule: "slow", Action: shaping.Slow, For: time.Hour, Connections: 1}
	a, b := newShared(t, few(5)), newShared(t, few(5))
	st := a.s.site("site")
	a.s.join(st)
	st.window.order(a.now, order, nil)
	b.step(Heard{a.s.News(a.now)})
	b.step(Heard{a.s.News(a.now)})
	if l := b.s.sites["site"].window.ordered(few(5).Limits("")); l.Connections != 1 || len(b.s.sites["site"].window.orders) != 1 {
		t.Errorf("%d connections", l.Connections)
	}
	b.now = b.now.Add(2 * time.Hour)
	b.step(Heard{News{Troubles: a.s.News(a.now).Troubles}})
	if st := b.s.sites["site"]; st != nil && len(st.window.orders) > 0 {
		t.Error("is slow for longer")
	}
}

// A flush is news as well. It undoes what was found out before, whoever tells of it and however often, and nothing later.
func TestNewsOfAFlush(t *testing.T) {
	a, b := dead(t), newShared(t, few(2))
	old := a.s.News(a.now)
	b.now = a.now
	b.step(Heard{old})
	b.now = b.now.Add(time.Second)
	b.step(Flush{Site: "site"})
	b.step(Heard{old})
	if until, _ := b.s.sites["site"].window.pausedUntil(b.now); !until.IsZero() {
		t.Error("hears of what was flushed")
	}
	a.now = b.now.Add(time.Second)
	a.step(Heard{b.s.News(b.now)})
	if news := a.s.News(a.now); len(news.Troubles) > 0 || !reflect.DeepEqual(news.Flushes, b.s.News(b.now).Flushes) {
		t.Errorf("still tells %+v", news)
	}
	a.s.sites["site"].window.rest(a.now, "again", few(2).Limits("site"), nil)
	a.step(Heard{b.s.News(b.now)})
	if len(a.s.News(a.now).Troubles) != 1 {
		t.Error("an old flush undoes what was found out later")
	}
}

// News that make no sense do no harm.
func TestNewsBounded(t *testing.T) {
	w := newShared(t, few(2))
	w.step(Heard{News{Troubles: []Trouble{{Site: "site", Since: w.now, Until: w.now.Add(100_000 * time.Hour), Rests: 1 << 62, Why: string(make([]byte, 5000))}}}})
	st := w.s.sites["site"]
	if until, why := st.window.pausedUntil(w.now); until.Sub(w.now) > 10*24*time.Hour || len(why) > maxWhy {
		t.Errorf("pauses for %v", until.Sub(w.now))
	}
	for i := range 1000 {
		w.step(Heard{News{Flushes: []Flushed{{"", w.now.Add(time.Duration(i))}}}})
	}
	if len(w.s.flushes) > maxFlushes {
		t.Errorf("remembers %d flushes", len(w.s.flushes))
	}
}
