package delivery

import (
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// figure is something that is counted.
type figure int

const (
	countEnqueued figure = iota
	countAttempts
	countDelivered
	countDeferred
	countUncertain
	countFailed
	countExpired
	countBounced
	countHeld
	countWithdrawn
	countLapsed
	countTroubles
	figures
)

type totals [figures]uint64

// counters count what happens. One short lock per event is cheaper than it looks: a message costs a hundred times as much.
type counters struct {
	since time.Time

	mu      sync.Mutex // guards what follows
	totals  totals
	past    [3]history
	replies [400]uint64 // by code, from 200
	tries   Histogram
	latency Histogram
}

func newCounters(now time.Time) *counters {
	const hour, day = 3600, 86400
	c := &counters{
		since:   now,
		tries:   newHistogram(1, 2, 3, 4, 5, 7, 10, 15, 20),
		latency: newHistogram(0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 900, hour, 4*hour, 12*hour, day, 3*day),
	}
	for i, window := range [...]time.Duration{time.Minute, 5 * time.Minute, time.Hour} {
		c.past[i] = history{step: window / samples, last: now, n: 1}
	}
	return c
}

// add counts what is no event.
func (c *counters) add(f figure, n int) {
	if n > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.count(time.Now(), f, n)
	}
}

// note counts what an event tells.
func (c *counters) note(e Event) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := e.(type) {
	case Queued:
		c.count(now, countEnqueued, 1)
	case Attempted:
		c.attempted(now, &e)
	default:
		c.rare(now, e)
	}
}

// rare counts what hardly any message comes to: beside the other events, these made a frame for which stacks grew.
func (c *counters) rare(now time.Time, e Event) {
	switch e := e.(type) {
	case Bounced:
		c.count(now, countBounced, len(e.Recipients))
		for i := range e.Recipients {
			if isExpired(&e.Message, &e.Recipients[i], e.Time) {
				c.count(now, countExpired, 1)
			}
		}
	case Held:
		c.count(now, countHeld, 1)
	case Trouble:
		c.count(now, countTroubles, 1)
	}
}

func (c *counters) attempted(now time.Time, e *Attempted) {
	switch e.Outcome {
	case OutcomeDelivered:
		c.count(now, countDelivered, 1)
		c.tries.add(float64(e.Try))
		c.latency.add(max(e.Time.Add(e.Took).Sub(e.Message.Enqueued), 0).Seconds())
	case OutcomeDeferred:
		c.count(now, countDeferred, 1)
	case OutcomeUncertain:
		c.count(now, countUncertain, 1)
	case OutcomeFailed:
		c.count(now, countFailed, 1)
	}
	if isReply(&e.Reply) {
		c.replies[e.Reply.Code-200]++
	}
}

// isReply reports whether a server has said r, and its code is one of SMTP's.
func isReply(r *queue.Reply) bool { return r.Host != "" && 200 <= r.Code && r.Code <= 599 }

func (c *counters) count(now time.Time, f figure, n int) {
	for i := range c.past {
		c.past[i].pass(now, &c.totals)
	}
	c.totals[f] += uint64(n)
}

// read fills in what is counted.
func (c *counters) read(now time.Time, st *Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f, counter := range [figures]*Counter{
		countEnqueued: &st.Enqueued, countAttempts: &st.Attempts, countDelivered: &st.Delivered, countDeferred: &st.Deferred,
		countUncertain: &st.Uncertain, countFailed: &st.Failed, countExpired: &st.Expired, countBounced: &st.Bounced,
		countHeld: &st.Held, countWithdrawn: &st.Withdrawn, countLapsed: &st.Lapsed, countTroubles: &st.Troubles,
	} {
		counter.Total = c.totals[f]
		for i, rate := range [...]*float64{&counter.Minute, &counter.FiveMinutes, &counter.Hour} {
			c.past[i].pass(now, &c.totals)
			*rate = c.past[i].rate(now, figure(f), counter.Total)
		}
	}
	st.Since = c.since
	st.Replies = make(map[int]uint64)
	for i, n := range c.replies {
		if n > 0 {
			st.Replies[200+i] = n
		}
	}
	st.Tries, st.Latency = c.tries.clone(), c.latency.clone()
}

// samples is how many moments a history knows.
const samples = 60

// history has what the totals were at the last samples moments, step apart.
type history struct {
	step time.Duration
	last time.Time // of the newest sample; by the monotonic clock, so that it doesn't matter if the other one is set
	n    int       // samples that there ever were
	ring [samples]totals
}

// pass takes the samples that are missing up to now, in which the totals have been as they still are.
func (h *history) pass(now time.Time, t *totals) {
	steps := int(now.Sub(h.last) / h.step)
	if steps <= 0 {
		return
	}
	h.last = h.last.Add(time.Duration(steps) * h.step)
	for i := max(steps-samples, 0); i < steps; i++ {
		h.ring[(h.n+i)%samples] = *t
	}
	h.n += steps
}

// rate is how often per second f was counted since the oldest sample. What is less than a second counts as one.
func (h *history) rate(now time.Time, f figure, total uint64) float64 {
	oldest := max(h.n-samples, 0)
	age := now.Sub(h.last) + time.Duration(h.n-1-oldest)*h.step
	return float64(total-h.ring[oldest%samples][f]) / max(age, time.Second).Seconds()
}

func newHistogram(bounds ...float64) Histogram {
	return Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
}

func (h *Histogram) add(v float64) {
	i, _ := slices.BinarySearch(h.Bounds, v)
	h.Counts[i]++
	h.Sum += v
}

func (h *Histogram) clone() Histogram {
	return Histogram{slices.Clone(h.Bounds), slices.Clone(h.Counts), h.Sum}
}
