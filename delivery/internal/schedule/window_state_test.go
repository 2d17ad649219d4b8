package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// These hold the State as a whole to what the window is for.

// greeted is how many connections a site has.
func (w *toy) greeted(site string) (n int) {
	for _, h := range w.workers {
		if h.greeted && h.site == site {
			n++
		}
	}
	return n
}

// serves makes the server one that takes so many connections; fewer than none: that can't be reached.
func (w *toy) serves(message time.Duration, takes func() int) {
	w.server = func(_ string, n int) toyAnswer {
		switch limit := takes(); {
		case limit < 0:
			return toyAnswer{greet: 30 * time.Second, failed: Failed, message: message}
		case n > limit:
			return toyAnswer{greet: 300 * time.Millisecond, failed: TurnedAway, message: message}
		}
		return toyAnswer{greet: 300 * time.Millisecond, message: message}
	}
}

func TestFindsHiddenLimit(t *testing.T) {
	for _, limit := range []int{1, 2, 3, 5, 10, 15} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			w := newToy(t, 100, nil)
			w.serves(2*time.Second, func() int { return limit })
			w.add(queue.Lane{Domain: "x.example"}, 1800*limit)
			sum := 0
			for range 3000 {
				w.run(time.Second)
				sum += w.greeted("x.example")
			}
			near(t, "greeted", float64(sum)/3000, limit)
			if sent := w.sent["x.example"]; 50*w.refused >= sent {
				t.Errorf("%d connections refused for %d messages", w.refused, sent)
			}
		})
	}
}

func TestOutageEndsWithoutClump(t *testing.T) {
	w := newToy(t, 100, nil)
	takes := 50
	w.serves(3*time.Second, func() int { return takes })
	w.add(queue.Lane{Domain: "x.example"}, 50_000)
	w.run(20 * time.Minute)
	before := w.s.last
	w.run(30 * time.Minute)
	steady := float64(w.s.last-before) / 30

	takes = -1
	w.run(10 * time.Minute) // what was open goes on
	sent := w.sent["x.example"]
	w.add(queue.Lane{Domain: "x.example"}, sent)
	before = w.s.last
	w.run(350 * time.Minute)
	if n := w.s.last - before; n > 30 || w.sent["x.example"] > sent {
		t.Errorf("%d connections tried for %d messages during an outage", n, len(w.jobs))
	}

	takes = 50
	for w.sent["x.example"] == sent {
		w.run(time.Minute)
	}
	var dials []Worker
	for range 40 * 60 {
		w.run(time.Second)
		dials = append(dials, w.s.last)
	}
	for i, n := range dials[60:] {
		if peak := n - dials[i]; float64(peak) > 2*steady {
			t.Fatalf("%d connections in a minute %d s after the outage, %.1f normally", peak, i, steady)
		}
	}
	if n := w.greeted("x.example"); n < 18 {
		t.Errorf("%d connections after forty minutes", n)
	}
}

func TestProviderThrottlesAtNoon(t *testing.T) {
	w := newToy(t, 100, &shaping.Policy{Default: shaping.Limits{Connections: 10}})
	takes := 10
	w.serves(2*time.Second, func() int { return takes })
	w.add(queue.Lane{Domain: "x.example"}, 40_000)
	w.run(time.Hour)
	takes = 0
	w.run(10 * time.Minute) // what was open goes on
	sent, before := w.sent["x.example"], w.s.last
	w.run(110 * time.Minute)
	if n := w.s.last - before; n > 20 {
		t.Errorf("%d connections while the provider throttles", n)
	}
	takes = 10
	w.run(70 * time.Minute)
	if w.sent["x.example"] == sent {
		t.Fatal("sends nothing when the provider doesn't throttle any more")
	}
	sent = w.sent["x.example"]
	w.run(time.Hour)
	if n := w.sent["x.example"] - sent; n < 16_000 {
		t.Errorf("%d messages in an hour when all is well again, want about 18,000", n)
	}
}

// An order of a rule holds for the whole site, and for its time.
func TestOrderPausesSite(t *testing.T) {
	w := newToy(t, 100, nil)
	w.serves(time.Second, func() int { return 50 })
	w.add(queue.Lane{Domain: "x.example"}, 100_000)
	w.run(10 * time.Minute)
	for _, st := range w.s.sites {
		st.window.order(w.now, shaping.Order{Rule: "r", Action: shaping.Pause, For: 30 * time.Minute}, nil)
	}
	w.run(10 * time.Second)
	sent := w.sent["x.example"]
	w.run(32 * time.Minute)
	if n := w.sent["x.example"] - sent; n != 0 {
		t.Errorf("%d messages are sent during a pause", n)
	}
	w.run(10 * time.Minute)
	if n := w.greeted("x.example"); n < 18 {
		t.Errorf("%d connections ten minutes after the pause", n)
	}
}

func TestOrderSlowsSite(t *testing.T) {
	w := newToy(t, 100, nil)
	w.serves(time.Second, func() int { return 50 })
	w.add(queue.Lane{Domain: "x.example"}, 100_000)
	w.run(10 * time.Minute)
	for _, st := range w.s.sites {
		o := shaping.Order{Rule: "r", Action: shaping.Slow, For: time.Hour, Connections: 3, Messages: 10}
		st.window.order(w.now, o, nil)
	}
	if l := w.s.Snapshot(w.now).Sites[0].Limits; l.Connections != 3 || l.Messages != 10 {
		t.Errorf("limits in force are %+v", l)
	}
	w.run(5 * time.Minute) // until the connections have had their time
	sent, before := w.sent["x.example"], w.s.last
	for range 50 * 60 {
		w.run(time.Second)
		if n := w.greeted("x.example"); n > 3 {
			t.Fatalf("%d connections", n)
		}
	}
	sent = w.sent["x.example"] - sent
	if n := int(w.s.last - before); sent < 1000 || n < sent/10-3 || n > sent/10+3 {
		t.Errorf("%d connections for %d messages, want ten on each", n, sent)
	}
}
