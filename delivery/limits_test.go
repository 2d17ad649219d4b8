package delivery_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
)

// What waits for its next attempt, or for a dead site, goes at once, and what was to be sent later only if it is named.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		h.Close()
		w.start()
		ctx := context.Background()
		for range 20 {
			w.enqueue("ann@a.example")
		}
		w.settle(20 * time.Hour)
		later := w.send(delivery.Message{To: delivery.To("ben@a.example"), SendAt: time.Now().Add(90 * time.Hour), Body: strings.NewReader("\r\n\r\n")})
		up := w.host("mx2.a.example", nil)
		w.reroute("a.example", up)
		if _, err := w.sender.Flush(ctx, delivery.Selector{Domain: "a.example"}); err != nil {
			t.Error(err)
		}
		w.settle(10 * time.Second)
		up.wantTaken(t, 20)
		w.wantPending(later)
		w.want(1)(w.sender.Flush(ctx, delivery.Selector{ID: later}))
		w.settle(time.Second)
		up.wantTaken(t, 21)
		w.want(0)(w.sender.Flush(ctx, delivery.Selector{ID: later}))
	})
}

// Limits follow at once, outlive Run, and can be taken back.
func TestSetLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		w.config.Shaping.Default.MessageRate = shaping.Rate{N: 1, Per: time.Minute}
		w.start()
		ctx := context.Background()
		for range 1000 {
			w.enqueue("ann@a.example")
		}
		w.settle(150 * time.Second)
		h.wantTaken(t, 3)
		w.do(w.sender.SetLimits(ctx, "mx.a.example", shaping.Limits{MessageRate: shaping.Rate{N: 1, Per: time.Second}}))
		w.settle(100 * time.Second)
		if n := len(h.Messages()); n < 95 || n > 105 {
			t.Errorf("%d messages in 100 s, at 1 in a second", n)
		}
		w.life()
		before := len(h.Messages())
		w.settle(100 * time.Second)
		if n := len(h.Messages()) - before; n < 90 || n > 105 {
			t.Errorf("%d messages in 100 s of another life", n)
		}
		w.do(w.sender.SetLimits(ctx, "mx.a.example", shaping.Limits{}))
		w.settle(2 * time.Minute)
		before = len(h.Messages())
		w.settle(10 * time.Minute)
		if n := len(h.Messages()) - before; n < 9 || n > 11 {
			t.Errorf("%d messages in 10 minutes, at 1 in a minute", n)
		}
		for _, l := range []shaping.Limits{{Connections: -1}, {Rest: -1}} {
			if w.sender.SetLimits(ctx, "mx.a.example", l) == nil {
				t.Errorf("%+v are limits", l)
			}
		}
		for _, site := range []string{"", "\xff", "MX.a.example", strings.Repeat("x", 2000)} {
			if w.sender.SetLimits(ctx, site, shaping.Limits{Connections: 1}) == nil {
				t.Errorf("%.20q is a site", site)
			}
		}
	})
}
