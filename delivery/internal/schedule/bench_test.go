package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// BenchmarkStep tells what a message costs in all its steps: the claims, which are for many, an attempt, its end and its commit.
// Nearly half of that is looking at the site again after each event.
func BenchmarkStep(b *testing.B) {
	for _, sites := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("sites=%d", sites), func(b *testing.B) {
			f := newFlow(b, sites)
			b.ReportAllocs()
			b.ResetTimer()
			f.run(b.N)
		})
	}
}

// flow is the shortest way of a stream of messages through a State: whatever it asks for is done at once.
type flow struct {
	s       *State
	now     time.Time
	lanes   []queue.Lane
	actions []Action
	jobs    []*queue.Job
	next    []time.Time
	greeted map[Worker]bool
	sent    int
}

func newFlow(b *testing.B, sites int) *flow {
	f := &flow{s: New(Config{Total: 500, Policy: few(20)}), now: start, greeted: make(map[Worker]bool)}
	for i := range sites {
		f.lanes = append(f.lanes, lane1(fmt.Sprintf("d%d.example", i)))
		f.step(Ready{Lane: f.lanes[i], Due: f.now})
	}
	f.run(2000)
	return f
}

func (f *flow) step(e Event) { f.actions = append(f.actions, f.s.Step(f.now, e)...) }

func (f *flow) run(n int) {
	for f.sent = 0; f.sent < n; {
		a := f.actions[0]
		f.actions = f.actions[1:]
		f.now = f.now.Add(time.Microsecond)
		switch a := a.(type) {
		case Claim:
			f.claim(a)
		case Attempt:
			if a.New {
				f.step(Greeted{a.Worker})
			}
			f.sent++
			f.step(Done{Worker: a.Worker, Feedback: Feedback{Contact: Met, Sent: true}, Warm: true})
			f.step(Settled{Job: a.Job, Lane: a.Job.Lane()})
		case Close:
			f.step(Closed(a))
		}
	}
}

func (f *flow) claim(c Claim) {
	f.jobs, f.next = f.jobs[:0], f.next[:0]
	for _, take := range c.Take {
		for range take.N {
			f.jobs = append(f.jobs, &queue.Job{Key: queue.Key{ID: "m", N: len(f.jobs)}, Domain: take.Lane.Domain})
		}
		f.next = append(f.next, start)
	}
	f.step(Claimed{Claimed: queue.Claimed{Jobs: f.jobs, Lanes: f.next}})
}
