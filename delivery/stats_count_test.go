package delivery_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// wantTotals checks all counters; those that aren't named are to be 0.
func (w *world) wantTotals(want map[string]uint64) {
	w.t.Helper()
	st := w.stats()
	for name, c := range map[string]delivery.Counter{
		"enqueued": st.Enqueued, "attempts": st.Attempts, "delivered": st.Delivered, "deferred": st.Deferred, "uncertain": st.Uncertain,
		"failed": st.Failed, "expired": st.Expired, "bounced": st.Bounced, "held": st.Held, "withdrawn": st.Withdrawn,
		"lapsed": st.Lapsed, "troubles": st.Troubles,
	} {
		if c.Total != want[name] {
			w.t.Errorf("%s: %d, want %d", name, c.Total, want[name])
		}
	}
}

// Each end that a recipient can come to, and each way there, is counted once.
func TestStatsTotals(t *testing.T) {
	for _, c := range []struct {
		name   string
		reply  func(smtptest.Command) string
		config func(*delivery.Config)
		to     []string
		want   map[string]uint64
	}{
		{
			name: "delivered, to two",
			to:   []string{"ann@a.example", "ben@a.example"},
			want: map[string]uint64{"enqueued": 1, "attempts": 1, "delivered": 2},
		}, {
			name:  "deferred, then delivered",
			reply: refusing("450 4.2.0 greylisted"),
			to:    []string{"ann@a.example"},
			want:  map[string]uint64{"enqueued": 1, "attempts": 2, "deferred": 1, "delivered": 1},
		}, {
			name:  "failed, and the report delivered",
			reply: refusing("550 5.1.1 no such user"),
			to:    []string{"ann@a.example"},
			want:  map[string]uint64{"enqueued": 1, "attempts": 2, "failed": 1, "bounced": 1, "delivered": 1},
		}, {
			name: "expired, and the report delivered",
			reply: func(c smtptest.Command) string {
				if c.Address == "ann@a.example" {
					return "450 4.2.0 later"
				}
				return ""
			},
			config: func(c *delivery.Config) { c.Lifetime, c.Retry = 90*time.Second, retry.Schedule{time.Minute} },
			to:     []string{"ann@a.example"},
			want:   map[string]uint64{"enqueued": 1, "attempts": 3, "deferred": 2, "expired": 1, "bounced": 1, "delivered": 1},
		}, {
			name: "one expired in an attempt that another one failed in",
			reply: func(c smtptest.Command) string {
				switch {
				case c.Address == "ann@a.example" && c.Conn == 2:
					time.Sleep(40 * time.Second)
					return "450 4.2.0 later"
				case c.Address == "ben@a.example" && c.Conn == 2:
					return "550 5.1.1 no such user"
				case c.Verb == "RCPT":
					return "450 4.2.0 later"
				}
				return ""
			},
			config: func(c *delivery.Config) { c.Lifetime, c.Retry = 90*time.Second, retry.Schedule{time.Minute} },
			to:     []string{"ann@a.example", "ben@a.example"},
			want:   map[string]uint64{"enqueued": 1, "attempts": 3, "deferred": 2, "failed": 2, "expired": 1, "bounced": 2, "delivered": 1},
		}, {
			name: "uncertain, and held",
			reply: func(c smtptest.Command) string {
				if c.Verb == "." {
					return smtptest.Close
				}
				return ""
			},
			config: func(c *delivery.Config) { c.Uncertain = delivery.HoldUncertain },
			to:     []string{"ann@a.example"},
			want:   map[string]uint64{"enqueued": 1, "attempts": 1, "uncertain": 1, "held": 1},
		}, {
			name:   "trouble",
			config: func(c *delivery.Config) { c.Source = func(*queue.Message, string) string { panic("source") } },
			to:     []string{"ann@a.example"},
			want:   map[string]uint64{"enqueued": 1, "attempts": 1, "delivered": 1, "troubles": 2},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.host("mx.a.example", c.reply, "a.example")
				w.host("mx.home.example", nil, "home.example")
				if c.config != nil {
					c.config(&w.config)
				}
				w.start()
				w.enqueue(c.to...)
				w.settle(time.Hour)
				w.wantTotals(c.want)
			})
		})
	}
}

// A job whose attempts end without a trace is counted each time that it is found again.
func TestStatsLapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = struct{ queue.Queue }{w.queue} // keeps no notes, so that lapses count
		w.start()
		w.stop()
		w.enqueue("ann@a.example")
		for range 5 { // as from other lives, that have ended before they could commit
			claimed, err := w.queue.Claim(context.Background(), queue.ClaimRequest{Now: time.Now(), Lease: time.Minute, Limit: 1})
			if err != nil || len(claimed.Jobs) != 1 {
				t.Fatal(claimed, err)
			}
			w.settle(time.Minute)
		}
		w.start()
		w.settle(time.Second)
		w.wantTotals(map[string]uint64{"lapsed": 1, "held": 1})
	})
}

// How many attempts it took, and how long.
func TestStatsHistograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", refusing("450 4.2.0 greylisted"), "a.example")
		w.config.Retry = retry.Schedule{2 * time.Minute}
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Hour)
		w.enqueue("ann@a.example", "ben@a.example")
		w.settle(time.Hour)
		st := w.stats()
		if h := st.Tries; h.Total() != 3 || h.Sum != 4 || h.Counts[0] != 2 || h.Counts[1] != 1 || h.Bounds[1] != 2 {
			t.Errorf("tries are %+v", h)
		}
		h := st.Latency
		if late, _ := slices.BinarySearch(h.Bounds, 120); h.Total() != 3 || h.Counts[0] != 2 || h.Counts[late] != 1 || h.Bounds[late] != 300 {
			t.Errorf("latencies are %+v", h)
		}
		if math.Abs(h.Sum-120) > 1 {
			t.Errorf("the latencies' sum is %v", h.Sum)
		}
		if len(h.Counts) != len(h.Bounds)+1 || !slices.IsSorted(h.Bounds) {
			t.Errorf("the bounds are %v", h.Bounds)
		}
	})
}

// near reports whether a rate is what it should be, as far as a sixtieth of the window goes.
func near(got, want float64) bool { return math.Abs(got-want) <= want/30 }

// Rates follow what happens, and forget it.
func TestStatsRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		w.stop()
		send := func(n int, every time.Duration) {
			for range n {
				w.enqueue("ann@a.example")
				time.Sleep(every)
			}
		}
		want := func(when string, minute, five, hour float64) {
			t.Helper()
			if c := w.stats().Enqueued; !near(c.Minute, minute) || !near(c.FiveMinutes, five) || !near(c.Hour, hour) {
				t.Errorf("%s: %+v, want %.3f, %.3f, %.3f", when, c, minute, five, hour)
			}
		}
		want("at the start", 0, 0, 0)
		send(60, time.Second/2)
		want("after half a minute at two per second", 2, 2, 2)
		send(60, time.Second/2)
		want("after a minute at two per second", 2, 2, 2)
		time.Sleep(2 * time.Minute)
		want("2 minutes after its end", 0, 120./180, 120./180)
		time.Sleep(17 * time.Minute)
		want("19 minutes after its end", 0, 0, 120./1200)
		send(600, time.Second)
		want("after 10 minutes at one per second", 1, 1, 720./1800)
		time.Sleep(24 * time.Hour)
		want("a day later", 0, 0, 0)
		send(1, 0)
		want("one more", 1./59.5, 1./298, 1./3570)
	})
}

// Figures may be asked for at any time, by anybody, while everything happens.
func TestStatsWhileSending(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		w.host(fmt.Sprintf("mx%d.example", i), nil, fmt.Sprintf("%d.example", i))
	}
	w.start()
	const each, senders = 25, 4
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			for range each {
				m := delivery.Message{To: delivery.To(fmt.Sprintf("ann@%d.example", i)), Body: strings.NewReader("\n")}
				if _, err := w.sender.Enqueue(context.Background(), m); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for w.stats().Delivered.Total < each*senders {
			}
		})
	}
	all.Wait()
	if st := w.stats(); st.Enqueued.Total != each*senders || st.Latency.Total() != each*senders {
		t.Errorf("counted %+v", st)
	}
}

// BenchmarkStats is with 100,000 lanes, all of which wait, and known to Run.
func BenchmarkStats(b *testing.B) {
	q := memqueue.New()
	sender, err := delivery.New(q, delivery.Config{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	due := time.Now().Add(time.Hour)
	for i := range 100_000 {
		m := delivery.Message{To: delivery.To(fmt.Sprintf("ann@%d.example", i)), SendAt: due, Body: strings.NewReader("\n")}
		if _, err := sender.Enqueue(ctx, m); err != nil {
			b.Fatal(err)
		}
	}
	done := make(chan error)
	go func() { done <- sender.Run(ctx) }()
	for st := (delivery.Stats{}); !st.Running; {
		if st, err = sender.Stats(ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		st, err := sender.Stats(ctx)
		if err != nil || len(st.Lanes) != 100_000 {
			b.Fatal(len(st.Lanes), err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkEnqueue is the making of a message, and the counting of it, without a queue that costs anything.
func BenchmarkEnqueue(b *testing.B) {
	sender, err := delivery.New(discarding{}, delivery.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m := delivery.Message{To: delivery.To("ann@a.example"), Body: strings.NewReader("\n")}
		if _, err := sender.Enqueue(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// discarding is a queue that stores nothing.
type discarding struct{ queue.Queue }

func (discarding) Enqueue(ctx context.Context, e *queue.Entry) (bool, error) {
	_, err := io.Copy(io.Discard, e.Body)
	return true, err
}
