package schedule

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
)

// told takes out of actions what they tell.
func told(actions []Action) []Action {
	return slices.DeleteFunc(actions, func(a Action) bool {
		switch a.(type) {
		case SitePaused, SiteResumed:
			return false
		}
		return true
	})
}

// A pause is told of once, however many replies make it longer; again when it should have been over; and its end once.
func TestTell(t *testing.T) {
	s, now := New(Config{Total: 10}), start
	st := s.site("a.example")
	step := func(d time.Duration) []Action {
		now = now.Add(d)
		return told(s.Step(now, nil))
	}
	order := func(d time.Duration) []Action {
		st.window.order(now, shaping.Order{Rule: "a rule", Action: shaping.Pause, For: d}, nil)
		s.touch(st)
		return step(0)
	}
	first := order(time.Hour)
	if len(first) != 1 {
		t.Fatalf("told %+v", first)
	}
	p := first[0].(SitePaused)
	if p.Site != "a.example" || p.Why != "a rule" || !p.Until.After(now.Add(time.Hour-1)) {
		t.Errorf("told %+v", p)
	}
	for range 10_000 {
		step(time.Millisecond)
		if more := order(time.Hour); more != nil {
			t.Fatalf("told again: %+v", more)
		}
	}
	if wake := s.Wake(); !wake.Equal(p.Until) {
		t.Errorf("it wakes at %v, not at %v", wake, p.Until)
	}
	again := step(p.Until.Sub(now))
	if len(again) != 1 || !again[0].(SitePaused).Until.After(now) {
		t.Fatalf("told %+v", again)
	}
	over := step(again[0].(SitePaused).Until.Sub(now))
	if len(over) != 1 || over[0] != (SiteResumed{"a.example"}) {
		t.Fatalf("told %+v", over)
	}
	if more := step(24 * time.Hour); more != nil {
		t.Errorf("told %+v", more)
	}
	if len(s.sites) != 0 {
		t.Error("the site is never forgotten")
	}
}

// A flush ends a pause at once.
func TestTellFlush(t *testing.T) {
	s, now := New(Config{Total: 10}), start
	st := s.site("a.example")
	st.window.order(now, shaping.Order{Rule: "a rule", Action: shaping.Pause, For: time.Hour}, nil)
	s.touch(st)
	s.Step(now, nil)
	if over := told(s.Step(now, Flush{})); len(over) != 1 || over[0] != (SiteResumed{"a.example"}) {
		t.Errorf("told %+v", over)
	}
}

// What a server makes up costs no more than a little.
func TestTallyIsBounded(t *testing.T) {
	var sum, one Tally
	one.Reply(250, 1)
	for code := 200; code < 600; code++ {
		one.Reply(code, 2)
	}
	for range 3 {
		sum.add(&one)
	}
	if len(sum.Codes) != maxCodes || sum.Codes[0] != (Code{250, 9}) {
		t.Errorf("counted %v", sum.Codes)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	s := New(Config{Total: 10})
	for i := range 10_000 {
		st := s.site(strings.Repeat("a", i%50) + time.Duration(i).String())
		st.said.Reply(250, 1)
		st.known = true
	}
	b.ReportAllocs()
	for b.Loop() {
		if n := s.Snapshot(start); len(n.Sites) != 10_000 {
			b.Fatal(len(n.Sites))
		}
	}
}
