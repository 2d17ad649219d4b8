package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

func lane1(domain string) queue.Lane { return queue.Lane{Domain: domain} }

func limited(l shaping.Limits) *shaping.Policy { return &shaping.Policy{Default: l, Bare: true} }

func TestIdleConnectionsClose(t *testing.T) {
	w := newToy(t, 10, limited(shaping.Limits{Connections: 3, Start: 3, Idle: 7 * time.Second}))
	w.add(lane1("a.example"), 30)
	w.run(6 * time.Second)
	if len(w.workers) != 3 || len(w.closes) != 0 {
		t.Errorf("%d connections, %d told to close, before their time", len(w.workers), len(w.closes))
	}
	w.run(2 * time.Second)
	if len(w.workers) != 0 || len(w.closes) != 3 {
		t.Errorf("%d connections, %d told to close", len(w.workers), len(w.closes))
	}
}

func TestMessagesOverOneConnection(t *testing.T) {
	w := newToy(t, 10, limited(shaping.Limits{Connections: 1, Messages: 10}))
	w.add(lane1("a.example"), 100)
	w.run(4 * time.Second)
	if w.s.last != 10 || w.sent["a.example"] != 100 {
		t.Errorf("%d messages over %d connections, 10 each", w.sent["a.example"], w.s.last)
	}
}

// A message begins only on connections that are young enough, also after they were idle.
func TestLifetimeOfConnections(t *testing.T) {
	limits := shaping.Limits{Connections: 1, Messages: 1000, Lifetime: 5 * time.Second, Idle: time.Minute}
	w := newToy(t, 10, limited(limits))
	w.add(lane1("a.example"), 1000)
	w.run(11 * time.Second)
	if w.s.last != 3 {
		t.Errorf("%d connections in 11 s, of 5 s each", w.s.last)
	}
	w = newToy(t, 10, limited(limits))
	w.add(lane1("a.example"), 1)
	w.run(6 * time.Second)
	w.add(lane1("a.example"), 1)
	w.run(time.Second)
	if w.s.last != 2 || w.sent["a.example"] != 2 {
		t.Errorf("%d messages over %d connections, of which one was too old", w.sent["a.example"], w.s.last)
	}
}

// Where connections are short, one that has had its time goes to a site that waits, however much it has to do.
func TestQuantum(t *testing.T) {
	w := newToy(t, 1, few(1))
	w.add(lane1("a.example"), 10_000)
	w.run(time.Second)
	w.add(lane1("b.example"), 10_000)
	w.run(500 * time.Millisecond)
	if w.sent["b.example"] > 0 {
		t.Error("a connection that hasn't had its time was taken away")
	}
	w.run(40 * time.Second)
	a, b := w.sent["a.example"], w.sent["b.example"]
	if a+b < 3800 || b < (a+b)*45/100 || b > (a+b)*55/100 {
		t.Errorf("%d and %d messages", a, b)
	}
	if w.s.last < 15 || w.s.last > 25 {
		t.Errorf("%d connections in 40 s, 2 s each", w.s.last)
	}
}

// Better mail doesn't wait for the time of a connection to be over.
func TestQuantumEndsForBetterMail(t *testing.T) {
	w := newToy(t, 1, few(1))
	w.add(lane1("a.example"), 10_000)
	w.run(100 * time.Millisecond)
	w.add(queue.Lane{Domain: "b.example", Priority: queue.High}, 1)
	w.run(50 * time.Millisecond)
	if w.sent["b.example"] != 1 {
		t.Error("high priority waits for a connection")
	}
}

func TestIdleConnectionsMakeRoom(t *testing.T) {
	w := newToy(t, 4, limited(shaping.Limits{Connections: 1, Idle: time.Hour}))
	for i := range 4 {
		w.add(lane1(fmt.Sprintf("a%d.example", i)), 1)
		w.run(time.Second)
	}
	if len(w.workers) != 4 || len(w.closes) != 0 {
		t.Fatalf("%d connections are idle, %d closed", len(w.workers), len(w.closes))
	}
	w.add(lane1("b.example"), 1)
	w.run(100 * time.Millisecond)
	if w.sent["b.example"] != 1 || len(w.closes) != 1 {
		t.Errorf("%d sent, %d connections closed for it", w.sent["b.example"], len(w.closes))
	}
	if w.open["a0.example"] != 0 {
		t.Error("it isn't the one that was idle longest that closes")
	}
}

func TestIdleConnectionServesOtherDomainsOfItsSite(t *testing.T) {
	w := newToy(t, 10, limited(shaping.Limits{Connections: 1}))
	w.siteOf = func(string) string { return "site" }
	for i := range 20 {
		w.add(lane1(fmt.Sprintf("d%d.example", i)), 1)
		w.run(time.Second)
	}
	if len(w.sent) != 20 {
		t.Errorf("%d domains served", len(w.sent))
	}
	clear(w.sent)
	last := w.s.last
	for i := range 20 {
		w.add(lane1(fmt.Sprintf("d%d.example", i)), 1)
		w.run(time.Second)
	}
	if len(w.sent) != 20 || w.s.last != last {
		t.Errorf("%d domains of a known site served over %d connections more", len(w.sent), w.s.last-last)
	}
}

// Connections that are more than the site may have now close as soon as they are idle.
func TestFewerConnections(t *testing.T) {
	slow := shaping.Order{Rule: "r", Action: shaping.Slow, For: time.Hour, Connections: 2}
	for name, lower := range map[string]func(*toy){
		"policy": func(w *toy) { w.step(Policy{few(2)}) },
		"order": func(w *toy) {
			w.feedback = func(*queue.Job) Feedback {
				return Feedback{Contact: Met, Sent: true, Orders: []shaping.Order{slow}}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newToy(t, 100, few(10))
			w.add(lane1("a.example"), 10_000)
			w.run(time.Second)
			if w.open["a.example"] != 10 {
				t.Fatalf("%d connections", w.open["a.example"])
			}
			lower(w)
			w.run(time.Second)
			if w.open["a.example"] != 2 {
				t.Errorf("%d connections where 2 may be", w.open["a.example"])
			}
		})
	}
}

func TestMoreConnections(t *testing.T) {
	w := newToy(t, 100, few(2))
	w.add(lane1("a.example"), 10_000)
	w.run(time.Second)
	w.step(Policy{few(10)})
	w.run(5 * time.Second)
	if w.open["a.example"] != 10 {
		t.Errorf("%d connections where 10 may be", w.open["a.example"])
	}
}
