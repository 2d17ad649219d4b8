package schedule

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// rated is a policy with few connections and room for rates.
func rated(change func(*shaping.Policy)) *shaping.Policy {
	p := few(5)
	p.Bare = true
	change(p)
	return p
}

// checkSpacing holds what was begun to n per time, evenly but for the time that a claim takes.
func (w *toy) checkSpacing(want int, every time.Duration) {
	w.t.Helper()
	if len(w.order) < want-1 || len(w.order) > want+1 {
		w.t.Errorf("%d begun, want %d", len(w.order), want)
	}
	for i := range w.times[1:] {
		if gap := w.times[i+1].Sub(w.times[i]); gap < every-every/10 || gap > every+every/10 {
			w.t.Fatalf("%v between two, of every %v", gap, every)
		}
	}
}

func TestTenantRate(t *testing.T) {
	w := newToy(t, 100, rated(func(p *shaping.Policy) {
		p.Tenants = map[string]shaping.Tenant{"slow": {Rate: shaping.Rate{N: 1, Per: time.Second}}}
	}))
	for i := range 10 {
		w.add(queue.Lane{Domain: fmt.Sprintf("d%d.example", i), Tenant: "slow"}, 100)
	}
	w.run(100 * time.Second)
	w.checkSpacing(100, time.Second)
	if w.returns > 0 {
		t.Errorf("%d were claimed in vain", w.returns)
	}
}

// A claim that brings less than it asked for costs a tenant nothing.
func TestTenantRateCountsWhatComes(t *testing.T) {
	w := newToy(t, 1000, rated(func(p *shaping.Policy) {
		p.Tenants = map[string]shaping.Tenant{"bursts": {Rate: shaping.Rate{N: 1, Per: time.Hour, Burst: 100}}}
	}))
	for i := range 200 {
		w.add(queue.Lane{Domain: fmt.Sprintf("d%d.example", i), Tenant: "bursts"}, 1)
	}
	w.run(time.Minute)
	if len(w.order) != 100 {
		t.Errorf("%d begun, of a burst of 100", len(w.order))
	}
}

// A higher rate helps those who wait, at once.
func TestTenantRateRaised(t *testing.T) {
	rate := func(per time.Duration) *shaping.Policy {
		return rated(func(p *shaping.Policy) {
			p.Tenants = map[string]shaping.Tenant{"slow": {Rate: shaping.Rate{N: 1, Per: per}}}
		})
	}
	w := newToy(t, 100, rate(time.Hour))
	w.add(queue.Lane{Domain: "d.example", Tenant: "slow"}, 100)
	w.run(time.Minute)
	w.step(Policy{rate(time.Second)})
	w.run(30 * time.Second)
	if n := len(w.order); n < 29 {
		t.Errorf("%d begun", n)
	}
}

// What is too early for a sender or a sending address is sent back once, to a turn of its own.
func TestSenderAndSourceRates(t *testing.T) {
	for _, r := range []shaping.Rate{{N: 1, Per: time.Second}, {N: 3, Per: time.Second}, {N: 7, Per: time.Second}} {
		for name, policy := range map[string]*shaping.Policy{
			"sender": rated(func(p *shaping.Policy) { p.Senders = map[string]shaping.Rate{"s@x.example": r} }),
			"source": rated(func(p *shaping.Policy) { p.Sources = map[string]shaping.Rate{"ip": r} }),
		} {
			t.Run(fmt.Sprint(name, r.N), func(t *testing.T) {
				w := newToy(t, 100, policy)
				w.s.config.Source = func(*queue.Job) string { return "ip" }
				w.from = "s@x.example"
				random := rand.New(rand.NewPCG(1, 1))
				w.claim = func() time.Duration { return time.Duration(random.IntN(5000)) * time.Microsecond }
				for i := range 5 {
					w.add(lane1(fmt.Sprintf("d%d.example", i)), 60)
				}
				w.run(40 * time.Second)
				w.checkSpacing(40*r.N, r.Per/time.Duration(r.N))
				if w.returns > 300 {
					t.Errorf("%d times given back", w.returns)
				}
				for _, j := range w.order {
					if j.Tries > 0 {
						t.Fatal("a wait counts as an attempt")
					}
				}
			})
		}
	}
}

// Another rate doesn't send new jobs behind what the old one had planned.
func TestSenderRateRaised(t *testing.T) {
	rate := func(per time.Duration) *shaping.Policy {
		return rated(func(p *shaping.Policy) { p.Senders = map[string]shaping.Rate{"s@x.example": {N: 1, Per: per}} })
	}
	w := newToy(t, 100, rate(time.Hour))
	w.from = "s@x.example"
	w.add(lane1("d.example"), 1000)
	w.run(time.Minute)
	w.step(Policy{rate(time.Second)})
	w.add(lane1("e.example"), 30)
	w.run(40 * time.Second)
	if n := w.sent["e.example"]; n != 30 {
		t.Errorf("%d of 30 sent", n)
	}
}

func TestSiteMessageRate(t *testing.T) {
	w := newToy(t, 100, limited(shaping.Limits{Connections: 20, Start: 20, MessageRate: shaping.Rate{N: 1, Per: 20 * time.Second}}))
	w.counts = true
	w.add(lane1("a.example"), 1000)
	w.run(10 * time.Minute)
	w.checkSpacing(31, 20*time.Second)
	if w.mostInHand > 1 || w.returns > 0 {
		t.Errorf("%d jobs wait in hand, %d were given back", w.mostInHand, w.returns)
	}
	if len(w.workers) > 0 {
		t.Errorf("%d connections wait for the rate", len(w.workers))
	}
}

func TestSiteConnectionRate(t *testing.T) {
	w := newToy(t, 100, limited(shaping.Limits{Connections: 20, Start: 20, Messages: 1, ConnectionRate: shaping.Rate{N: 1, Per: 20 * time.Second}}))
	w.add(lane1("a.example"), 1000)
	w.run(10 * time.Minute)
	w.checkSpacing(31, 20*time.Second)
	if inHand := w.s.sites["a.example"].inHand(); inHand > 0 {
		t.Errorf("%d jobs wait in hand", inHand)
	}
}

// Domains whose common site nobody knew of obey its rates, too.
func TestRatesOfUnknownDomains(t *testing.T) {
	for name, limits := range map[string]shaping.Limits{
		"messages":    {Connections: 20, Start: 20, MessageRate: shaping.Rate{N: 1, Per: time.Second}},
		"connections": {Connections: 20, Start: 20, Messages: 1, ConnectionRate: shaping.Rate{N: 1, Per: time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newToy(t, 100, limited(limits))
			w.siteOf = func(string) string { return "site" }
			var begun []time.Time
			w.server = func(string, int) toyAnswer {
				begun = append(begun, w.now)
				return toyAnswer{greet: time.Millisecond, message: time.Millisecond}
			}
			for i := range 50 {
				w.add(lane1(fmt.Sprintf("d%d.example", i)), 1)
			}
			w.run(10 * time.Second)
			if len(begun) < 10 || len(begun) > 11 {
				t.Errorf("%d messages in 10 s, one each", len(begun))
			}
		})
	}
}

// The end of a slow order is heard of, though a message would have to wait for longer.
func TestSlowRateEnds(t *testing.T) {
	w := newToy(t, 100, few(5))
	w.feedback = func(*queue.Job) Feedback {
		return Feedback{Contact: Met, Sent: true, Orders: []shaping.Order{
			{Rule: "r", Action: shaping.Slow, For: 10 * time.Minute, Rate: shaping.Rate{N: 1, Per: 10 * time.Hour}},
		}}
	}
	w.add(lane1("a.example"), 1000)
	w.run(time.Minute)
	begun := len(w.order)
	if begun > 20 || w.s.sites["a.example"].inHand() > 0 {
		t.Errorf("%d begun, %d in hand, under a slow order", begun, w.s.sites["a.example"].inHand())
	}
	w.run(12 * time.Minute)
	if len(w.order) == begun {
		t.Error("nothing was begun after it had ended")
	}
}

// Many sites with a little each have a tenant's rate together, and all of it.
func TestTenantRateOverManySites(t *testing.T) {
	w := newToy(t, 100, rated(func(p *shaping.Policy) {
		p.Tenants = map[string]shaping.Tenant{"slow": {Rate: shaping.Rate{N: 10, Per: time.Second}}}
	}))
	for i := range 100 {
		w.add(queue.Lane{Domain: fmt.Sprintf("d%d.example", i), Tenant: "slow"}, 5)
	}
	w.run(40 * time.Second)
	if len(w.order) < 390 || len(w.order) > 401 {
		t.Errorf("%d begun, of 400", len(w.order))
	}
	for i := range w.times[1:] {
		if gap := w.times[i+1].Sub(w.times[i]); gap < 95*time.Millisecond {
			t.Fatalf("%v between two", gap)
		}
	}
}
