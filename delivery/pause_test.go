package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// Each pause keeps back what is there and what comes, and nothing else, over a restart, until it is lifted; then all goes on at
// once.
func TestPause(t *testing.T) {
	for name := range each("") {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				h := w.host("mx.a.example", nil, "a.example")
				other := w.host("mx.b.example", nil, "b.example")
				w.start()
				w.enqueue("eve@a.example") // so that the site is known
				w.settle(time.Minute)
				w.want(0)(w.sender.Hold(context.Background(), delivery.Selector{Label: "news"}))
				w.stop()
				first := w.letter("ann@a.example", "shop", "big", "news")
				sel := each(first)[name]
				w.pause(sel, time.Time{})
				w.start()
				w.settle(3 * time.Hour)
				w.life()
				second := w.letter("ben@a.example", "shop", "news")
				w.letter("cat@b.example", "forum")
				w.settle(3 * time.Hour)
				other.wantTaken(t, 1)
				w.wantPending(first)
				if sel.ID == "" {
					w.wantPending(second)
				} else {
					w.wantStates(second, "ben@a.example delivered")
				}
				w.resume(sel)
				w.settle(time.Second)
				w.wantStates(first, "ann@a.example delivered")
				w.wantStates(second, "ben@a.example delivered")
				h.wantTaken(t, 3)
				w.wantRules()
				w.untroubled(t)
			})
		})
	}
}

func TestPauseOfEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.pause(delivery.Selector{}, time.Now().Add(time.Hour))
		w.enqueue("ann@a.example")
		w.settle(time.Hour - time.Second)
		h.wantTaken(t, 0)
		w.wantRules("all mail paused")
		w.settle(2 * time.Second)
		h.wantTaken(t, 1)
		w.wantRules()
	})
}

// A pause ends by itself when it should, however it selects, and one that replaces it counts at once.
func TestPauseUntil(t *testing.T) {
	for name := range each("") {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				h := w.host("mx.a.example", nil, "a.example")
				w.start()
				w.pause(delivery.Selector{}, time.Time{})
				id := w.letter("ann@a.example", "shop", "news")
				sel := each(id)[name]
				w.pause(sel, time.Now().Add(30*time.Minute+time.Nanosecond))
				w.resume(delivery.Selector{})
				w.settle(20 * time.Minute)
				w.pause(sel, time.Now().Add(50*time.Hour))
				w.settle(45 * time.Hour)
				h.wantTaken(t, 0)
				w.pause(sel, time.Now().Add(10*time.Second))
				w.settle(9 * time.Second)
				h.wantTaken(t, 0)
				w.settle(2 * time.Second)
				h.wantTaken(t, 1)
			})
		})
	}
}

// Of pauses that overlap each must end.
func TestPausesOverlap(t *testing.T) {
	for _, test := range []struct{ first, second delivery.Selector }{
		{delivery.Selector{Domain: "a.example"}, delivery.Selector{Tenant: "shop"}},
		{delivery.Selector{Label: "news"}, delivery.Selector{Label: "big"}},
		{delivery.Selector{Label: "news"}, delivery.Selector{Domain: "a.example"}},
		{delivery.Selector{Site: "mx.a.example"}, delivery.Selector{Label: "news", Site: "mx.a.example"}},
	} {
		for _, swap := range []bool{false, true} {
			t.Run(fmt.Sprint(test, swap), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					h := w.host("mx.a.example", nil, "a.example")
					w.start()
					w.pause(test.first, time.Time{})
					w.pause(test.second, time.Time{})
					w.letter("ann@a.example", "shop", "big", "news")
					w.settle(10 * time.Hour)
					if swap {
						test.first, test.second = test.second, test.first
					}
					w.resume(test.first)
					w.settle(10 * time.Hour)
					h.wantTaken(t, 0)
					w.resume(test.second)
					w.settle(time.Second)
					h.wantTaken(t, 1)
				})
			})
		}
	}
}

// What is kept back still expires, in time, and is reported.
func TestPausedMailExpires(t *testing.T) {
	for name := range each("") {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				h := w.host("mx.a.example", nil, "a.example")
				home := w.host("mx.home.example", nil, "home.example")
				w.config.Lifetime = 6*time.Hour + 30*time.Minute
				w.start()
				w.pause(delivery.Selector{Domain: "a.example"}, time.Time{})
				id := w.letter("ann@a.example", "shop", "news")
				w.pause(each(id)[name], time.Time{})
				if name != "domain" {
					w.resume(delivery.Selector{Domain: "a.example"})
				}
				w.settle(6 * time.Hour)
				w.wantPending(id)
				w.life()
				w.settle(30*time.Minute + time.Second)
				w.wantStates(id, "ann@a.example bounced")
				h.wantTaken(t, 0)
				if name == "tenant" { // whose report it is, too
					w.resume(each(id)[name])
					w.settle(time.Second)
				}
				home.wantTaken(t, 1)
			})
		})
	}
}

// Resume sends neither early what was to be sent later, nor what waits for its next attempt.
func TestResumeLetsOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Retry = retry.Schedule{5 * time.Hour}
		h := w.host("mx.a.example", refusing("450 4.2.0 later"), "a.example")
		w.start()
		w.letter("ann@a.example", "", "news")
		w.settle(time.Minute)
		m := delivery.Message{To: delivery.To("ben@a.example"), Labels: []string{"news"}, SendAt: time.Now().Add(3 * time.Hour), Body: strings.NewReader("\r\n\r\n")}
		w.send(m)
		w.pause(delivery.Selector{Label: "news"}, time.Time{})
		w.settle(time.Hour)
		w.resume(delivery.Selector{Label: "news"})
		w.settle(time.Hour)
		h.wantTaken(t, 0)
		w.settle(time.Hour)
		h.wantTaken(t, 1)
		w.settle(2 * time.Hour)
		h.wantTaken(t, 2)
	})
}

// Jobs that wait for a connection or a rate when the pause comes are not sent any more.
func TestPauseOfClaimedJobs(t *testing.T) {
	for _, sel := range []delivery.Selector{{Label: "news"}, {Domain: "a.example"}} {
		t.Run(sel.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				h := w.host("mx.a.example", nil, "a.example")
				w.config.Shaping.Default = shaping.Limits{Connections: 1, MessageRate: shaping.Rate{N: 1, Per: 4 * time.Second}}
				w.start()
				for range 20 {
					w.letter("ann@a.example", "", "news")
				}
				w.settle(6 * time.Second)
				h.wantTaken(t, 2)
				w.pause(sel, time.Time{})
				w.settle(3 * time.Hour)
				h.wantTaken(t, 2)
				w.resume(sel)
				w.settle(time.Minute)
				h.wantTaken(t, 18)
			})
		})
	}
}

// A pause and the rule that is under it live in a file.
func TestPauseOutlivesTheProgram(t *testing.T) {
	name := filepath.Join(t.TempDir(), "queue")
	h := &smtptest.Server{Name: "mx.a.example"}
	defer h.Close()
	for life := range 2 {
		q, err := boltqueue.Open(name, boltqueue.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := delivery.New(q, delivery.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		if life == 0 {
			err = errors.Join(
				s.Pause(ctx, delivery.Selector{Label: "news"}, time.Time{}, "too many complaints"),
				s.Reroute(ctx, delivery.Selector{Tenant: "shop"}, "smtps://shop:secret@relay.example"),
				s.SetLimits(ctx, "mx.a.example", shaping.Limits{Connections: 3}))
			if err != nil {
				t.Fatal(err)
			}
		}
		rules, err := s.Rules(ctx)
		if err != nil || len(rules) != 2 || rules[0].Why != "too many complaints" || rules[1].Via != "smtps://shop:xxxxx@relay.example" {
			t.Errorf("life %d: rules are %+v, %v", life, rules, err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
