package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

func (w *world) stats() delivery.Stats {
	w.t.Helper()
	st, err := w.sender.Stats(context.Background())
	if err != nil {
		w.t.Fatalf("Stats: %v", err)
	}
	return st
}

// wantDepth checks how many jobs there are in which state, in all and in the only lane, which it returns.
func (w *world) wantDepth(when string, waiting, leased, held int) delivery.LaneStats {
	w.t.Helper()
	st := w.stats()
	d := st.Depth
	d.Oldest = time.Time{}
	if want := (delivery.Depth{Waiting: waiting, Leased: leased, Held: held}); !st.DepthKnown || d != want {
		w.t.Errorf("%s: the depth is %+v, want %+v", when, d, want)
	}
	if waiting+leased+held == 0 {
		if len(st.Lanes) != 0 {
			w.t.Errorf("%s: there are lanes: %+v", when, st.Lanes)
		}
		return delivery.LaneStats{}
	}
	if len(st.Lanes) != 1 || st.Lanes[0].Depth != st.Depth {
		w.t.Fatalf("%s: the lanes are %+v", when, st.Lanes)
	}
	return st.Lanes[0]
}

// slowly answers the end of the data after a minute.
func slowly(c smtptest.Command) string {
	if c.Verb == "." {
		time.Sleep(time.Minute)
	}
	return ""
}

func TestStatsDepth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", slowly, "a.example")
		w.start()
		ctx, all := context.Background(), delivery.Selector{}
		w.wantDepth("at the start", 0, 0, 0)

		w.enqueue("ann@a.example")
		w.settle(time.Second)
		w.wantDepth("while it is sent", 0, 1, 0)
		if st := w.stats(); !st.Running || st.Connections != 1 || st.Idle != 0 || st.Unsettled != 1 || st.Concurrency != 500 {
			t.Errorf("while it is sent: %+v", st)
		}
		w.settle(time.Minute)
		w.wantDepth("once it is delivered", 0, 0, 0)
		if st := w.stats(); st.Connections != 1 || st.Idle != 1 || st.Unsettled != 0 {
			t.Errorf("once it is delivered: %+v", st)
		}

		due := time.Now().Add(time.Hour)
		w.send(delivery.Message{To: delivery.To("ann@a.example"), Tenant: "shop", SendAt: due, Body: strings.NewReader("\n")})
		l := w.wantDepth("when it is scheduled", 1, 0, 0)
		if l.Domain != "a.example" || l.Tenant != "shop" || l.Retry || l.Site != "mx.a.example" || l.Paused || !l.Oldest.Equal(due) {
			t.Errorf("its lane is %+v", l)
		}
		if n, err := w.sender.Hold(ctx, all); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		w.wantDepth("when it is held", 0, 0, 1)
		if err := w.sender.Pause(ctx, delivery.Selector{Tenant: "shop"}, time.Time{}, "unpaid"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.sender.Release(ctx, all); err != nil {
			t.Fatal(err)
		}
		w.settle(time.Second)
		if l := w.wantDepth("when its tenant pauses", 1, 0, 0); !l.Paused {
			t.Errorf("its lane is %+v", l)
		}
		if rules := w.stats().Rules; len(rules) != 1 || rules[0].Why != "unpaid" || rules[0].Selector.Tenant != "shop" {
			t.Errorf("the rules are %+v", rules)
		}
		if _, err := w.sender.Withdraw(ctx, all); err != nil {
			t.Fatal(err)
		}
		w.wantDepth("when it is withdrawn", 0, 0, 0)
		if st := w.stats(); st.Enqueued.Total != 2 || st.Held.Total != 1 || st.Withdrawn.Total != 1 || st.Delivered.Total != 1 {
			t.Errorf("counted %+v", st)
		}
	})
}

// While Run doesn't run, there are depths and counters, and nothing else.
func TestStatsAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", nil, "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		w.stop()
		w.enqueue("ben@a.example")
		if l := w.wantDepth("at rest", 1, 0, 0); l.Site != "" {
			t.Errorf("the lane is %+v", l)
		}
		st := w.stats()
		if st.Running || st.Connections != 0 || st.Sites != nil || st.Enqueued.Total != 2 || st.Delivered.Total != 1 {
			t.Errorf("at rest: %+v", st)
		}
	})
}

// depthless is a queue that can do no more than it must.
type depthless struct{ queue.Queue }

func TestStatsWithoutDepths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = depthless{w.queue}
		w.start()
		w.send(delivery.Message{To: delivery.To("ann@a.example"), SendAt: time.Now().Add(time.Hour), Body: strings.NewReader("\n")})
		if st := w.stats(); st.DepthKnown || st.Depth != (delivery.Depth{}) || st.Lanes != nil || st.Enqueued.Total != 1 {
			t.Errorf("without depths: %+v", st)
		}
	})
}

// failingDepths tells of one lane, and fails.
type failingDepths struct{ queue.Queue }

var errDepths = errors.New("no depths today")

func (failingDepths) Depths(context.Context, time.Time) iter.Seq2[queue.Depth, error] {
	return func(yield func(queue.Depth, error) bool) {
		_ = yield(queue.Depth{Waiting: 1}, nil) && yield(queue.Depth{}, errDepths)
	}
}

// A queue that fails takes the rest of the figures from nobody.
func TestStatsOfFailingQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = failingDepths{w.queue}
		w.host("mx.a.example", nil, "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		st, err := w.sender.Stats(context.Background())
		if !errors.Is(err, errDepths) || st.DepthKnown || st.Depth != (delivery.Depth{}) || st.Lanes != nil {
			t.Errorf("the error is %v, the depth %+v, the lanes %+v", err, st.Depth, st.Lanes)
		}
		if st.Delivered.Total != 1 || len(st.Sites) != 1 || !st.Running {
			t.Errorf("the figures are %+v", st)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if st, err := w.sender.Stats(ctx); !errors.Is(err, context.Canceled) || st.Delivered.Total != 1 {
			t.Errorf("after the context's end: %v, %+v", err, st.Delivered)
		}
	})
}

// The figures of a site, its window, and what its servers have said.
func TestStatsOfSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Address == "nobody@a.example" {
				return "550 5.1.1 no such user"
			}
			return slowly(c)
		}, "a.example")
		w.config.Shaping.Default = shaping.Limits{Connections: 3, Start: 2, Idle: time.Hour, Lifetime: time.Hour}
		w.start()
		for range 20 {
			w.enqueue("ann@a.example")
		}
		w.enqueue("nobody@a.example", "ben@a.example")
		w.settle(time.Second)
		st := w.stats()
		if len(st.Sites) != 1 {
			t.Fatalf("the sites are %+v", st.Sites)
		}
		s := st.Sites[0]
		if s.Name != "mx.a.example" || s.Window != 2 || s.Connections != 2 || s.Greeted != 2 || s.Idle != 0 || s.Limits.Connections != 3 {
			t.Errorf("at first the site is %+v", s)
		}
		if s.InHand == 0 || s.InHand != st.InHand || s.Ready != 1 {
			t.Errorf("at first the site has %d in hand, of %d in all, and %d lanes", s.InHand, st.InHand, s.Ready)
		}
		w.settle(time.Hour)
		s = w.stats().Sites[0]
		if s.Window != 3 || s.Connections != 3 || s.Idle != 3 || s.InHand != 0 || s.Ready != 0 {
			t.Errorf("at last the site is %+v", s)
		}
		if s.Delivered != 21 || s.Failed != 1 || s.Deferred != 0 || s.Replies[250] != 21 || s.Replies[550] != 1 || len(s.Replies) != 2 {
			t.Errorf("at last the site has said %+v", s)
		}
		if r := w.stats().Replies; r[250] != 21 || r[550] != 1 || len(r) != 2 {
			t.Errorf("replies are %v", r)
		}
	})
}

// A host that has enough of our connections has said a code, and deferred nobody.
func TestStatsOfCrowdedHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "CONNECT" && c.Conn == 2 {
				return "421 4.7.0 too many connections"
			}
			return slowly(c)
		}, "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		w.enqueue("ben@a.example")
		w.settle(10 * time.Minute)
		if s := w.stats().Sites[0]; s.Delivered != 2 || s.Deferred != 0 || s.Replies[421] != 1 {
			t.Errorf("the site has said %+v", s)
		}
		w.wantTotals(map[string]uint64{"enqueued": 2, "attempts": 2, "delivered": 2})
	})
}

// A site whose connections fail pauses, and everybody is told when and why.
func TestSitePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", nil, "a.example").Close()
		w.config.Shaping.Default = shaping.Limits{Start: 1, Rest: 10 * time.Minute}
		w.config.Retry = retry.Schedule{time.Hour}
		w.start()
		began := time.Now()
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		list := observed[delivery.SitePaused](w)
		if len(list) != 1 || list[0].Site != "mx.a.example" || !list[0].Time.Equal(began) {
			t.Fatalf("observed %+v", list)
		}
		p := list[0]
		if rest := p.Until.Sub(began); rest < 8*time.Minute || rest > 12*time.Minute || !strings.Contains(p.Why, "connect") {
			t.Errorf("observed %+v", p)
		}
		st := w.stats()
		if s := st.Sites[0]; !s.PausedUntil.Equal(p.Until) || s.Why != p.Why || s.Window != 0 || s.Deferred != 1 || s.Replies != nil || st.Paused != 1 {
			t.Errorf("the site is %+v", s)
		}
		w.settle(time.Until(p.Until))
		over := observed[delivery.SiteResumed](w)
		if len(over) != 1 || over[0] != (delivery.SiteResumed{Time: p.Until, Site: "mx.a.example"}) {
			t.Errorf("observed %+v, want it at %v", over, p.Until)
		}
		if st := w.stats(); st.Paused != 0 || st.Sites[0].Why != "" || !st.Sites[0].PausedUntil.IsZero() || st.Sites[0].Window != 1 {
			t.Errorf("after its pause the site is %+v", st.Sites[0])
		}
	})
}

// An observer that takes its time over a pause hears of all in order, and holds up nothing.
func TestSitePausedSlowObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", nil, "a.example").Close()
		w.host("mx.b.example", nil, "b.example")
		w.config.Shaping.Default = shaping.Limits{Start: 1, Rest: 10 * time.Minute}
		w.config.Retry = retry.Schedule{30 * time.Minute}
		w.config.Observer = delivery.ObserverFunc(func(e delivery.Event) {
			if _, ok := e.(delivery.SitePaused); ok {
				time.Sleep(time.Hour)
			}
			w.observe(e)
		})
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		id := w.enqueue("ben@b.example")
		w.settle(time.Second)
		w.wantStates(id, "ben@b.example delivered")
		w.settle(24 * time.Hour)
		w.mu.Lock()
		defer w.mu.Unlock()
		var until time.Time // zero: it doesn't pause
		for _, e := range w.events {
			switch e := e.(type) {
			case delivery.SitePaused:
				if !until.IsZero() {
					t.Errorf("paused again at %v", e.Time)
				}
				until = e.Until
			case delivery.SiteResumed:
				if !e.Time.Equal(until) {
					t.Errorf("resumed at %v, and was to pause until %v", e.Time, until)
				}
				until = time.Time{}
			}
		}
	})
}

// A pause by a reply has its rule's name; a flush ends it.
func TestSitePausedByRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := ruled(t, "450 4.7.1 something about us", shaping.Rule{Action: shaping.Pause, For: time.Hour})
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		if s := w.stats().Sites[0]; s.Why != "a rule" || s.PausedUntil.IsZero() {
			t.Errorf("the site is %+v", s)
		}
		if list := observed[delivery.SitePaused](w); len(list) != 1 || list[0].Why != "a rule" {
			t.Errorf("observed %+v", list)
		}
		if _, err := w.sender.Flush(context.Background(), delivery.Selector{Site: "mx.a.example"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(observed[delivery.SiteResumed](w)) != 1 {
			t.Error("the end of the pause was not told")
		}
	})
}

// A reply that slows a site lowers the limits that are shown, and says which rule it was.
func TestStatsOfSlowedSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := ruled(t, "450 4.7.1 something about us", shaping.Rule{Action: shaping.Slow, For: time.Hour, Connections: 1})
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		if s := w.stats().Sites[0]; s.Limits.Connections != 1 || !slices.Equal(s.Slowed, []string{"a rule"}) || s.Window != 1 {
			t.Errorf("the site is %+v", s)
		}
		w.settle(3 * time.Hour / 2)
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		if s := w.stats().Sites[0]; s.Limits.Connections != 20 || s.Slowed != nil {
			t.Errorf("afterwards the site is %+v", s)
		}
	})
}

// What is shown to anybody has no passwords, and can be read by anything that reads JSON.
func TestStatsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", nil, "a.example")
		w.start()
		if err := w.sender.Reroute(context.Background(), delivery.Selector{Tenant: "shop"}, "smtps://user:secret@relay.example"); err != nil {
			t.Fatal(err)
		}
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		st := w.stats()
		text, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "relay.example") || strings.Contains(string(text), "secret") {
			t.Errorf("the rules are %+v", st.Rules)
		}
		var back delivery.Stats
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if back.Delivered != st.Delivered || back.Latency.Total() != 1 || back.Sites[0].Limits != st.Sites[0].Limits || back.Replies[250] != 1 {
			t.Errorf("read back as %+v", back)
		}
		if rules, err := w.sender.Rules(context.Background()); err != nil || strings.Contains(rules[0].Via, "secret") {
			t.Errorf("the rules are %+v, %v", rules, err)
		}
	})
}
