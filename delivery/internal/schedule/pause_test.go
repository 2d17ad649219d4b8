package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

func TestPauses(t *testing.T) {
	for name, pause := range map[string]Pause{
		"site": {Site: "site"}, "domain": {Domain: "a.example"}, "tenant": {Tenant: "x"}, "all": {},
	} {
		for _, ends := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ends), func(t *testing.T) {
				w := newToy(t, 10, few(2))
				w.siteOf = func(string) string { return "site" }
				l := queue.Lane{Domain: "a.example", Tenant: "x"}
				w.add(l, 10)
				w.run(time.Second) // the site is known
				if ends {
					pause.Until = w.now.Add(time.Minute)
				}
				w.add(l, 1000)
				w.run(time.Second)
				w.step(Pauses{[]Pause{pause}})
				w.run(time.Second)
				sent := w.sent["a.example"]
				w.add(l, 10) // what arrives later obeys it, too
				w.add(queue.Lane{Domain: "a.example", Tenant: "x", Priority: queue.High}, 10)
				w.run(50 * time.Second)
				if w.sent["a.example"] != sent || w.inHand() != 0 {
					t.Fatalf("%d sent in the pause, %d in hand", w.sent["a.example"]-sent, w.inHand())
				}
				if !ends {
					w.run(time.Hour)
					w.step(Pauses{})
				}
				w.run(30 * time.Second)
				if w.sent["a.example"] != 1030 || len(w.s.kept) != 0 {
					t.Errorf("%d sent, %d lanes kept", w.sent["a.example"], len(w.s.kept))
				}
			})
		}
	}
}

// Of several pauses, the longest holds; one that is replaced doesn't hold any more.
func TestPausesReplaced(t *testing.T) {
	w := newToy(t, 10, few(2))
	w.step(Pauses{[]Pause{{Domain: "a.example", Until: at(60)}, {Tenant: ""}, {Until: at(120)}}})
	w.add(lane1("a.example"), 10)
	w.run(time.Hour)
	if len(w.order) > 0 {
		t.Fatalf("%d begun", len(w.order))
	}
	w.step(Pauses{[]Pause{{Domain: "a.example", Until: w.now.Add(time.Minute)}, {Until: w.now.Add(2 * time.Minute)}}})
	w.run(119 * time.Second)
	if len(w.order) > 0 {
		t.Fatalf("%d begun", len(w.order))
	}
	w.run(2 * time.Second)
	if w.sent["a.example"] != 10 {
		t.Errorf("%d sent", w.sent["a.example"])
	}
}

// A pause that replies ask for ends the connections; for a long one the jobs in hand go back.
func TestPauseOrder(t *testing.T) {
	for _, long := range []bool{false, true} {
		w := newToy(t, 10, few(5))
		order := shaping.Order{Rule: "r", Action: shaping.Pause, For: patience / 2}
		if long {
			order.For = time.Minute
		}
		w.feedback = func(*queue.Job) Feedback { return Feedback{Contact: Met, Sent: true, Orders: []shaping.Order{order}} }
		w.add(lane1("a.example"), 1000)
		w.run(time.Second)
		if len(w.workers) > 0 || len(w.order) > 5 {
			t.Errorf("%d connections, %d begun", len(w.workers), len(w.order))
		}
		if (w.inHand() == 0) != long || (w.returns > 0) != long {
			t.Errorf("%d in hand, %d given back, long: %v", w.inHand(), w.returns, long)
		}
		begun := len(w.order)
		w.run(70 * time.Second)
		if len(w.order) == begun {
			t.Error("nothing is begun after the pause")
		}
	}
}

func TestFlush(t *testing.T) {
	for _, name := range []string{"", "a.example", "b.example"} {
		w := newToy(t, 10, nil)
		dead := true
		w.server = func(string, int) toyAnswer {
			if dead {
				return toyAnswer{greet: time.Millisecond, failed: Failed}
			}
			return toyAnswer{greet: time.Millisecond, message: time.Millisecond}
		}
		w.add(lane1("a.example"), 100)
		w.run(10 * time.Second)
		dead = false
		w.step(Flush{name})
		w.run(10 * time.Second)
		if (w.sent["a.example"] > 0) != (name != "b.example") {
			t.Errorf("flush of %q: %d sent", name, w.sent["a.example"])
		}
	}
}

func TestRecall(t *testing.T) {
	w := newToy(t, 10, few(2))
	w.server = func(string, int) toyAnswer { return toyAnswer{greet: time.Millisecond, message: time.Minute} }
	w.add(lane1("a.example"), 10)
	w.run(time.Second)
	if w.inHand() != 2 {
		t.Fatalf("%d in hand", w.inHand())
	}
	w.step(Recall{Match: func(j *queue.Job) bool { return false }})
	if w.returns != 0 {
		t.Error("what doesn't match is given back")
	}
	busy := len(w.order)
	w.step(Recall{Match: func(j *queue.Job) bool { return true }})
	if w.returns != 2 || w.sent["a.example"] != 0 || len(w.order) != busy {
		t.Errorf("%d given back", w.returns)
	}
	w.run(10 * time.Minute)
	if w.sent["a.example"] != 10 {
		t.Errorf("%d sent", w.sent["a.example"])
	}
}

// A job that is rerouted waits for the site that it leads to, for its connections and its pauses, without turning in
// circles.
func TestDetour(t *testing.T) {
	w := newToy(t, 10, few(2))
	w.siteOf = func(string) string { return "home" }
	w.detour = func(j *queue.Job) string { return "relay" }
	w.add(lane1("a.example"), 100)
	w.run(5 * time.Minute)
	if w.sent["a.example"] != 100 || w.s.SiteOf("a.example") != "a.example" {
		t.Errorf("%d sent, the domain is of %q", w.sent["a.example"], w.s.SiteOf("a.example"))
	}
	w.step(Pauses{[]Pause{{Site: "relay"}}})
	w.add(lane1("a.example"), 100)
	before := len(w.order)
	w.run(time.Minute)
	if w.sent["a.example"] != 100 {
		t.Errorf("%d sent in the pause", w.sent["a.example"]-100)
	}
	if tried := len(w.order) - before; tried > 110 {
		t.Errorf("%d attempts at going there in a minute, for 100 jobs", tried)
	}
	w.step(Pauses{})
	w.run(time.Hour + time.Minute) // whoever lifts the pause may have them looked at sooner
	if w.sent["a.example"] != 200 {
		t.Errorf("%d sent", w.sent["a.example"])
	}
}

// A lane that is rerouted waits where it goes: what its own site makes of connections doesn't matter, and few jobs are claimed
// that can't go yet. When nothing is rerouted any more, it is at home again.
func TestDetourOfManyJobs(t *testing.T) {
	w := newToy(t, 100, few(2))
	w.siteOf = func(string) string { return "home" }
	w.detour = func(j *queue.Job) string { return "relay" }
	w.server = func(string, int) toyAnswer {
		return toyAnswer{greet: 10 * time.Millisecond, message: 100 * time.Millisecond}
	}
	w.add(lane1("a.example"), 5000)
	w.run(100 * time.Second)
	if w.sent["a.example"] < 1900 || w.returns > 50 {
		t.Errorf("%d sent in 100 s over 2 connections, %d given back", w.sent["a.example"], w.returns)
	}
	w.detour = func(j *queue.Job) string { return "" }
	w.step(Pauses{})
	w.run(time.Second)
	if st := w.s.sites["home"]; st == nil || st.workers == 0 || len(w.s.detours) > 0 {
		t.Error("the lane isn't at home")
	}
}

// A domain whose site proves to be full, or to pause, waits there, and its mail is no worker's. What one claim has brought
// before that was known is in hand.
func TestRoutedToOtherSite(t *testing.T) {
	for _, paused := range []bool{false, true} {
		w := newToy(t, 20, few(2))
		w.siteOf = func(string) string { return "site" }
		w.server = func(string, int) toyAnswer {
			if paused {
				return toyAnswer{greet: time.Millisecond, failed: Failed}
			}
			return toyAnswer{greet: time.Millisecond, message: time.Minute}
		}
		for i := range 50 {
			w.add(lane1(fmt.Sprintf("d%d.example", i)), 10)
		}
		w.run(10 * time.Second)
		if n := len(w.workers); !paused && n != 2 || paused && n != 0 {
			t.Errorf("%d connections, paused: %v", n, paused)
		}
		if st := w.s.sites["site"]; st == nil || st.inHand() > 4+100 || paused && st.inHand() > 0 {
			t.Errorf("in hand: %d, paused: %v", st.inHand(), paused)
		}
		if w.s.SiteOf("d49.example") != "site" {
			t.Error("the site isn't learned")
		}
	}
}
