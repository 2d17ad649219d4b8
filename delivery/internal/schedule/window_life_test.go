package schedule

import (
	"fmt"
	"testing"
	"time"
)

const plenty = 100_000_000 // messages: more than go in any of these lives

// mean returns how many connections were greeted on average, and how many there might have been, until end.
func (s *simulation) mean(end time.Duration) (greeted, size float64) {
	began, greetedFor, sizeFor := s.now, s.greetedFor, s.sizeFor
	s.run(end)
	return float64(s.greetedFor-greetedFor) / float64(end-began), float64(s.sizeFor-sizeFor) / float64(end-began)
}

// near fails the test if got isn't within a fifth of want.
func near(t *testing.T, what string, got float64, want int) {
	t.Helper()
	if got < 0.8*float64(want) || got > 1.2*float64(want) {
		t.Errorf("%s: %.2f, want %d", what, got, want)
	}
}

// wantRefused fails the test if one in fifty messages, or more, costs a connection that isn't had.
func (s *simulation) wantRefused() {
	s.t.Helper()
	if lost := s.refused + s.failed; 50*lost >= s.delivered {
		s.t.Errorf("%d connections refused and %d failed for %d messages", s.refused, s.failed, s.delivered)
	}
}

func TestWindowFindsHiddenLimit(t *testing.T) {
	for _, limit := range []int{1, 2, 3, 5, 10, 15} {
		for _, sends := range []time.Duration{time.Second, 10 * time.Second} {
			for _, silent := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d/%v/silent=%v", limit, sends, silent), func(t *testing.T) {
					for seed := range uint64(1) {
						s := newSimulation(t, seed, server{takes: constant(limit), greets: 300 * time.Millisecond, sends: sends, silent: silent})
						s.waiting = plenty
						greeted, size := s.mean(time.Hour)
						near(t, "greeted", greeted, limit)
						near(t, "size", size, limit)
						s.wantRefused()
					}
				})
			}
		}
	}
}

// A server may count a connection for a while after it was closed, so that it refuses what it will take a moment later.
func TestWindowAtServerThatCountsSlowly(t *testing.T) {
	for _, limit := range []int{3, 5, 10, 15} {
		for seed := range uint64(1) {
			s := newSimulation(t, seed, server{takes: constant(limit), greets: 300 * time.Millisecond, sends: time.Second, lags: 100 * time.Millisecond})
			s.waiting = plenty
			greeted, _ := s.mean(time.Hour)
			near(t, fmt.Sprintf("greeted of %d", limit), greeted, limit)
			s.wantRefused()
		}
	}
}

func TestWindowFollowsHiddenLimit(t *testing.T) {
	for _, c := range [][2]int{{5, 15}, {1, 10}, {10, 20}, {15, 3}, {10, 1}, {5, 4}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			for seed := range uint64(1) {
				s := newSimulation(t, seed, server{greets: 300 * time.Millisecond, sends: 2 * time.Second})
				s.server.takes = func(at time.Duration) int {
					if at < 90*time.Minute {
						return c[0]
					}
					return c[1]
				}
				s.waiting = plenty
				greeted, _ := s.mean(90 * time.Minute)
				near(t, "before", greeted, c[0])
				s.run(150*time.Minute + maxHold/5) // the longest hold
				greeted, _ = s.mean(s.now + time.Hour)
				near(t, "after", greeted, c[1])
				s.wantRefused()
			}
		})
	}
}

func TestWindowAtProviderThatThrottlesAtNoon(t *testing.T) {
	for seed := range uint64(1) {
		s := newSimulation(t, seed, server{greets: 300 * time.Millisecond, sends: 2 * time.Second})
		s.server.takes = func(at time.Duration) int {
			if at >= 12*time.Hour && at < 14*time.Hour {
				return 0
			}
			return 10
		}
		s.run(10 * time.Hour)
		s.waiting = plenty
		s.run(12 * time.Hour)
		before := s.delivered
		dials := len(s.dials)
		s.run(14 * time.Hour)
		if n := len(s.dials) - dials; n > 40 {
			t.Errorf("%d connections are made while it throttles", n)
		}
		s.run(14*time.Hour + maxRests*time.Minute*6/5 + 10*time.Minute)
		after := s.delivered
		s.run(s.now + 2*time.Hour)
		if after = s.delivered - after; after < before*9/10 {
			t.Errorf("%d messages in two hours before it, %d after it", before, after)
		}
		s.wantRefused()
	}
}

// What has waited for six hours doesn't come in one clump.
func TestWindowAfterOutage(t *testing.T) {
	for _, sends := range []time.Duration{1500 * time.Millisecond, 3 * time.Second} {
		for _, begins := range []time.Duration{0, 2 * time.Hour} { // is the server down when the sender starts?
			t.Run(fmt.Sprintf("%v/%v", sends, begins), func(t *testing.T) {
				for seed := range uint64(1) {
					s := newSimulation(t, seed, server{takes: constant(50), greets: 300 * time.Millisecond, sends: sends})
					s.server.down = func(at time.Duration) bool { return at >= begins && at < begins+6*time.Hour }
					s.waiting = plenty
					s.run(begins)
					s.waiting = 50_000
					before := len(s.dials)
					s.run(begins + 6*time.Hour)
					if n := len(s.dials) - before; n > 60 {
						t.Errorf("%d connections are tried during the outage", n)
					}
					for s.window.probing {
						s.run(s.now + time.Minute)
					}
					back := s.now - time.Minute
					if back > begins+7*time.Hour {
						t.Errorf("it takes %v to find that the server is back", back-begins-6*time.Hour)
					}
					s.run(back + 25*time.Minute) // until almost all of what has waited is sent, if that goes fast
					peak := s.peak(back, s.now)
					s.waiting = plenty
					s.run(s.now + 5*time.Minute)
					before = len(s.dials)
					s.run(s.now + time.Hour)
					if steady := float64(len(s.dials)-before) / 60; float64(peak) > 2*steady {
						t.Errorf("%d connections in a minute after the outage, %.1f normally", peak, steady)
					}
				}
			})
		}
	}
}

// Connections that last for few messages, or are slow to come, are rarely all greeted at once.
func TestWindowOfShortConnections(t *testing.T) {
	for _, greets := range []time.Duration{300 * time.Millisecond, 2 * time.Second, 6 * time.Second} {
		s := newSimulation(t, 1, server{takes: constant(50), greets: greets, sends: time.Second})
		s.limits.Connections, s.limits.Messages = 10, 5
		s.waiting = plenty
		s.run(time.Hour)
		_, size := s.mean(2 * time.Hour)
		near(t, fmt.Sprint("greeting takes ", greets), size, 10)
	}
}

// Some connections that fail don't make a site dead, nor the window small.
func TestWindowAtFlakyServer(t *testing.T) {
	for _, flaky := range []float64{0.01, 0.05, 0.2} {
		for seed := range uint64(1) {
			s := newSimulation(t, seed, server{takes: constant(50), greets: 300 * time.Millisecond, sends: 3 * time.Second, flaky: flaky})
			s.waiting = plenty
			s.run(time.Hour)
			greeted, _ := s.mean(2 * time.Hour)
			near(t, fmt.Sprintf("greeted, of 20, %v fail", flaky), greeted, 20)
		}
	}
}

// A window that isn't used doesn't grow: nobody knows whether the site takes so many.
func TestWindowOfLittleWork(t *testing.T) {
	s := newSimulation(t, 1, server{takes: constant(50), greets: 300 * time.Millisecond, sends: 2 * time.Second})
	s.arrive(1, 3*time.Second)
	for s.now < 5*time.Hour {
		if n := s.window.size(s.time(), s.limits); n > 4 {
			t.Fatalf("size is %d with one or two connections at a time", n)
		}
		s.run(s.now + time.Minute)
	}
}
