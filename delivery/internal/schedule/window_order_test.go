package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
)

func TestWindowPauseOrdered(t *testing.T) {
	w := testWindow(t)
	w.grow(20)
	pause := shaping.Order{Rule: "google 4.7.28", Action: shaping.Pause, For: 30 * time.Minute}
	w.order(w.now, pause, nil)
	w.want(0, "ordered")
	w.wantPause(33*time.Minute, "ordered")
	if _, why := w.pausedUntil(w.now); why != "google 4.7.28" {
		t.Errorf("pauses because of %q", why)
	}
	w.met(100, 19)
	w.failed(100, 0)
	w.wantPause(33*time.Minute, "what had begun before changes nothing")
	w.order(w.now, shaping.Order{Action: shaping.Pause, For: time.Minute}, nil)
	w.wantPause(33*time.Minute, "a shorter one")
	w.pass(33 * time.Minute)
	w.want(1, "over")
	w.met(20, 1)
	w.want(1, "comes back slowly")
	w.pass(5 * time.Minute)
	w.grow(20)
}

func TestWindowPauseIsBounded(t *testing.T) {
	for _, d := range []time.Duration{-1, 0, 1, 1 << 62} {
		w := testWindow(t)
		w.order(w.now, shaping.Order{Action: shaping.Pause, For: d}, nil)
		until, _ := w.pausedUntil(w.now)
		if paused := !until.IsZero(); paused != (d > 0) || until.Sub(w.now) > maxOrdered*6/5 {
			t.Errorf("ordered %v, pauses until %v", d, until)
		}
	}
}

func TestWindowSlow(t *testing.T) {
	w := testWindow(t)
	w.grow(20)
	slow := shaping.Order{
		Rule: "r", Action: shaping.Slow, For: 10 * time.Minute, Connections: 3, Messages: 7, Rate: shaping.Rate{N: 1, Per: time.Minute},
	}
	w.order(w.now, slow, nil)
	w.want(3, "slow")
	l := w.limits(w.now, w.site)
	if l.Connections != 3 || l.Messages != 7 || l.MessageRate != slow.Rate || l.Lifetime != w.site.Lifetime {
		t.Errorf("limits are %+v", l)
	}
	w.met(1000, 3)
	w.want(3, "no growth while slow")
	w.pass(10 * time.Minute)
	w.order(w.now, slow, nil)
	w.pass(10 * time.Minute)
	w.want(3, "slow for longer")
	w.pass(time.Minute)
	if l := w.limits(w.now, w.site); l != w.site {
		t.Errorf("limits are %+v after it", l)
	}
	w.want(3, "it doesn't come back at once")
	w.grow(20)
}

func TestWindowSlowdownsAreBounded(t *testing.T) {
	w := testWindow(t)
	for i := range 100 {
		w.order(w.now, shaping.Order{Rule: fmt.Sprint(i), Action: shaping.Slow, For: time.Duration(i+1) * time.Minute, Messages: 1 + i}, nil)
	}
	if n := len(w.orders); n != maxSlowdowns {
		t.Errorf("%d slowdowns are in force", n)
	}
	if l := w.limits(w.now, w.site); l.Messages != 93 {
		t.Errorf("%d messages per connection, want those of the orders that last longest", l.Messages)
	}
	w.pass(110 * time.Minute)
	if !w.idle(w.now) {
		t.Error("orders that are over are remembered")
	}
}
