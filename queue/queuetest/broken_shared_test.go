package queuetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// wanted is what one has who gets all.
func wanted(want map[string]queue.Slots) map[string]int {
	have := map[string]int{}
	for site, n := range want {
		have[site] = n.Want
	}
	return have
}

// brokenShared lists shared queues that each break a rule, under the name of the case that must find it.
var brokenShared = []struct {
	name  string // of the case
	what  string // is wrong
	twist func(here, there *user)
}{
	{"AnotherSees", "each process has its own storage", func(_, there *user) { *there = *newUser() }},
	{"AnotherClaims", "a process ends the leases of others", func(_, there *user) {
		there.claim = func() {
			for _, j := range there.jobs {
				j.Leased = time.Time{}
			}
		}
	}},
	{"WakeReceives", "nobody is woken", func(here, _ *user) {
		here.wake = func(context.Context) <-chan struct{} { return make(chan struct{}) }
	}},
	{"WakeReceives", "only one of two is woken", func(here, _ *user) {
		c := make(chan struct{}, 1)
		here.wakes[c] = here
		here.wake = func(context.Context) <-chan struct{} { return c }
	}},
	{"WakeUnread", "who isn't receiving at that very moment is never woken", func(here, _ *user) {
		c := make(chan struct{})
		here.wakes[c] = here
		here.wake = func(context.Context) <-chan struct{} { return c }
	}},
	{"WakeEnds", "the channel stays open", func(here, _ *user) {
		here.wake = func(context.Context) <-chan struct{} { return make(chan struct{}) }
	}},
	{"SharedNow", "each process has its own clock", func(_, there *user) {
		there.now = func() time.Time { return time.Now().Add(-time.Hour) }
	}},
	{"SharedContext", "an ended ctx is not looked at", func(here, _ *user) {
		here.now = func() time.Time { panic("asked") }
	}},
	{"BeatAlone", "a holder that is alone gets half", func(here, _ *user) {
		here.beat = func(_ string, _ time.Duration, want map[string]queue.Slots) map[string]int {
			have := map[string]int{}
			for site, n := range want {
				have[site] = n.Want / 2
			}
			return have
		}
	}},
	{"BeatShares", "each gets what it wants", func(here, _ *user) {
		here.beat = func(_ string, _ time.Duration, want map[string]queue.Slots) map[string]int { return wanted(want) }
	}},
	{"BeatShares", "who comes first keeps all", func(here, _ *user) {
		first := ""
		here.beat = func(holder string, _ time.Duration, want map[string]queue.Slots) map[string]int {
			if first == "" {
				first = holder
			}
			if holder != first {
				return map[string]int{"y": want["y"].Want}
			}
			return wanted(want)
		}
	}},
	{"BeatUsed", "what is used isn't looked at", func(here, _ *user) {
		good := &user{pool: here.pool}
		here.beat = func(holder string, ttl time.Duration, want map[string]queue.Slots) map[string]int {
			for site, n := range want {
				want[site] = queue.Slots{Want: n.Want}
			}
			have, _ := good.Beat(context.Background(), holder, ttl, want)
			return have
		}
	}},
	{"BeatSilent", "silence frees no lease", func(here, _ *user) {
		here.beat = func(_ string, _ time.Duration, want map[string]queue.Slots) map[string]int { return wanted(want) }
	}},
	{"LeaserWakes", "only Enqueue wakes", func(_, there *user) {
		there.lease = func(*queue.LeaseRequest) { clear(there.wakes) }
	}},
	{"LeasedSilent", "nobody knows who leases", func(here, _ *user) {
		here.lease = func(l *queue.LeaseRequest) { l.Holder = "" }
	}},
	{"LeasedSilent", "who has never called Beat keeps what it leases", func(here, _ *user) {
		here.lease = func(l *queue.LeaseRequest) {
			if here.beats[l.Holder] == nil {
				l.Holder = ""
			}
		}
	}},
	{"BeatForgotten", "only those who have called Beat lose leases", func(here, _ *user) {
		here.claim = func() {
			for k, holder := range here.holders {
				if here.beats[holder] == nil {
					delete(here.holders, k)
				}
			}
		}
	}},
	{"BeatSilent", "every lease is freed by another's silence", func(here, _ *user) {
		good := &user{pool: here.pool}
		here.beat = func(holder string, ttl time.Duration, want map[string]queue.Slots) map[string]int {
			have, _ := good.Beat(context.Background(), holder, ttl, want)
			here.mu.Lock()
			defer here.mu.Unlock()
			if holder == "heir" {
				for _, j := range here.jobs {
					j.Leased = time.Time{}
				}
			}
			return have
		}
	}},
}

func TestBrokenSharedQueues(t *testing.T) {
	for _, b := range brokenShared {
		t.Run(fmt.Sprintf("%s: %s", b.name, b.what), func(t *testing.T) {
			t.Parallel()
			here := newUser()
			there := sharing.another(here).(*user)
			b.twist(here, there)
			mustFail(t, b.name, here, bound{another: func(queue.Queue) queue.Queue { return there }})
		})
	}
}
