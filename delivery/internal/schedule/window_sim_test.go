package schedule

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
)

var epoch = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// server is a site as a simulation needs it.
type server struct {
	takes  func(at time.Duration) int  // how many connections it has at once
	down   func(at time.Duration) bool // nobody reaches it
	silent bool                        // what is too much isn't refused, but left without an answer
	greets time.Duration               // how long connecting and greeting take
	sends  time.Duration               // how long a message takes
	flaky  float64                     // how many connections fail, of 1
	lags   time.Duration               // how long it counts a connection that is closed
}

// simulation sends to one server through a window, for as long as one likes.
type simulation struct {
	t      *testing.T
	server server
	limits shaping.Limits
	rand   *rand.Rand
	window window

	now     time.Duration
	steps   stepHeap
	ordered int
	waiting int // messages
	workers int
	greeted int
	counted int // by the server
	idle    []*simulated

	delivered, refused, failed int
	dials                      []time.Duration
	greetedFor, sizeFor        time.Duration // greeted and size, times time
	wake                       time.Duration
}

// simulated is a connection.
type simulated struct {
	since time.Duration
	sent  int
	rest  int // counts its rests
}

func constant(n int) func(time.Duration) int { return func(time.Duration) int { return n } }

func never(time.Duration) bool { return false }

func newSimulation(t *testing.T, seed uint64, server server) *simulation {
	if server.down == nil {
		server.down = never
	}
	return &simulation{
		t: t, server: server, limits: (&shaping.Policy{}).Limits("x.example"), rand: rand.New(rand.NewPCG(seed, 7)), wake: -1,
	}
}

type step struct {
	at    time.Duration
	order int
	do    func()
}

type stepHeap []step

func (h stepHeap) Len() int { return len(h) }
func (h stepHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h stepHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *stepHeap) Push(x any)   { *h = append(*h, x.(step)) }
func (h *stepHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (s *simulation) after(d time.Duration, do func()) {
	s.ordered++
	heap.Push(&s.steps, step{s.now + d, s.ordered, do})
}

func (s *simulation) time() time.Time { return epoch.Add(s.now) }

// about is d, half more or less.
func (s *simulation) about(d time.Duration) time.Duration {
	return d/2 + time.Duration(s.rand.Int64N(int64(d)+1))
}

// run goes on until end.
func (s *simulation) run(end time.Duration) {
	s.serve()
	for len(s.steps) > 0 && s.steps[0].at <= end {
		next := heap.Pop(&s.steps).(step)
		s.pass(next.at)
		next.do()
		s.serve()
	}
	s.pass(end)
}

func (s *simulation) pass(to time.Duration) {
	s.greetedFor += time.Duration(s.greeted) * (to - s.now)
	s.sizeFor += time.Duration(s.window.size(s.time(), s.limits)) * (to - s.now)
	s.now = to
}

// arrive adds n messages, and as many again every period.
func (s *simulation) arrive(n int, period time.Duration) {
	s.waiting += n
	if period > 0 {
		s.after(period, func() { s.arrive(n, period) })
	}
}

// serve gives the messages to connections.
func (s *simulation) serve() {
	size := s.window.size(s.time(), s.limits)
	if size > s.limits.Connections || size < 0 {
		s.t.Fatalf("size is %d", size)
	}
	if until, _ := s.window.pausedUntil(s.time()); !until.IsZero() {
		for len(s.idle) > 0 {
			s.close(s.idle[0])
			s.idle = s.idle[1:]
		}
		if wake := until.Sub(epoch); wake != s.wake {
			s.wake = wake
			s.after(wake-s.now, func() {})
		}
		return
	}
	for s.waiting > 0 {
		if last := len(s.idle) - 1; last >= 0 {
			c := s.idle[last]
			s.idle = s.idle[:last]
			s.waiting--
			s.send(c)
		} else if s.workers < size {
			s.waiting--
			s.dial()
		} else {
			break
		}
	}
}

func (s *simulation) dial() {
	s.workers++
	s.dials = append(s.dials, s.now)
	s.after(s.about(s.server.greets), func() {
		down := s.server.down(s.now) || s.rand.Float64() < s.server.flaky
		full := s.counted >= s.server.takes(s.now)
		switch {
		case down || full && s.server.silent:
			s.after(30*time.Second, func() { s.lose(false) })
		case full:
			s.lose(true)
		default:
			s.counted++
			s.greeted++
			s.send(&simulated{since: s.now})
		}
	})
}

// lose ends an attempt to connect.
func (s *simulation) lose(turnedAway bool) {
	s.waiting++
	s.workers--
	if turnedAway {
		s.refused++
		s.window.turnedAway(s.time(), s.greeted, "421 no", s.limits, s.rand)
	} else {
		s.failed++
		s.window.failed(s.time(), s.greeted, "timeout", s.limits, s.rand)
	}
}

func (s *simulation) send(c *simulated) {
	c.rest++
	s.after(s.about(s.server.sends), func() {
		if s.server.down(s.now) {
			s.waiting++
			s.window.failed(s.time(), s.greeted, "lost", s.limits, s.rand)
			s.close(c)
			return
		}
		s.delivered++
		s.window.met(s.time(), s.greeted, s.limits)
		c.sent++
		l := s.window.limits(s.time(), s.limits)
		switch {
		case c.sent >= l.Messages || s.now-c.since >= l.Lifetime || s.workers > s.window.size(s.time(), s.limits):
			s.close(c)
		case s.waiting > 0 && s.window.size(s.time(), s.limits) > 0:
			s.waiting--
			s.send(c)
		default:
			s.idle = append(s.idle, c)
			rest := c.rest
			s.after(l.Idle, func() {
				for i, other := range s.idle {
					if other == c && c.rest == rest {
						s.idle = append(s.idle[:i:i], s.idle[i+1:]...)
						s.close(c)
						return
					}
				}
			})
		}
	})
}

func (s *simulation) close(*simulated) {
	s.workers--
	s.greeted--
	s.after(s.server.lags, func() { s.counted-- })
}

// peak returns the most dials in one minute between from and to.
func (s *simulation) peak(from, to time.Duration) (most int) {
	first := 0
	for i, at := range s.dials {
		if at < from || at >= to {
			first = i + 1
			continue
		}
		for at-s.dials[first] >= time.Minute {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
