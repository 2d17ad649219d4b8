package schedule

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
)

// TestWindowAnyHistory tells windows random things, at times that go forward and back. Whatever they were told, they keep to their
// bounds, and a server that is well gets its full window back in a bounded time.
func TestWindowAnyHistory(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := testWindow(t)
			w.rand = rand.New(rand.NewPCG(seed, 3))
			w.site.Connections = 1 + w.rand.IntN(20)
			w.site.Start = 1 + w.rand.IntN(w.site.Connections)
			for range w.rand.IntN(1000) {
				w.tell()
				w.check()
			}
			w.recover()
			w.pass(ceilingMemory + maxOrdered)
			if size := w.size(w.now, w.site); !w.idle(w.now) || size != w.site.Start {
				t.Errorf("size is %d after a long silence, want %d: %+v", size, w.site.Start, w.window)
			}
		})
	}
}

// tell has something happen to the window.
func (w *windowTest) tell() {
	open := w.rand.IntN(22)
	if size := w.size(w.now, w.site); w.rand.IntN(3) > 0 {
		open = min(open, size)
	}
	switch times := 1 + w.rand.IntN(30); w.rand.IntN(12) {
	case 0, 1, 2:
		w.met(10*times, open)
	case 3:
		w.failed(times, open)
	case 4:
		w.failed(1, open)
	case 5, 6:
		w.turnedAway(open)
	case 7:
		o := shaping.Order{Rule: fmt.Sprint(w.rand.IntN(20)), Action: shaping.Pause, For: time.Duration(w.rand.Int64N(int64(2 * time.Hour)))}
		if w.rand.IntN(3) > 0 {
			o.Action, o.Connections = shaping.Slow, w.rand.IntN(5)
		}
		w.order(w.now, o, w.rand)
	case 8:
		if w.rand.IntN(5) == 0 {
			w.flush()
		}
	case 9:
		w.site.Connections = 1 + w.rand.IntN(20)
		w.site.Start = min(w.site.Start, w.site.Connections)
	case 10:
		w.pass(time.Duration(w.rand.Int64N(int64(3*time.Hour))) - time.Hour)
	default:
		w.pass(time.Duration(w.rand.Int64N(int64(time.Minute))))
	}
}

// check holds the window to its bounds.
func (w *windowTest) check() {
	w.Helper()
	size := w.size(w.now, w.site)
	until, _ := w.pausedUntil(w.now)
	if size < 0 || size > w.site.Connections || (size == 0) != !until.IsZero() {
		w.Fatalf("size is %d of %d, paused until %v: %+v", size, w.site.Connections, until, w.window)
	}
	if until.Sub(w.now) > 2*time.Hour*6/5 {
		w.Fatalf("pauses for %v", until.Sub(w.now))
	}
	if len(w.orders) > maxSlowdowns || w.ceiling < 0 || w.conns < 0 || w.credit < 0 {
		w.Fatalf("%+v", w.window)
	}
}

// recover plays a server that is well and has much to take.
func (w *windowTest) recover() {
	w.Helper()
	began := w.now
	for n := 0; n < w.site.Connections; n = w.size(w.now, w.site) {
		if w.now.Sub(began) > 6*time.Hour {
			w.Fatalf("size is %d of %d after six good hours: %+v", n, w.site.Connections, w.window)
		}
		if n > 0 {
			w.met(2*n, n)
		}
		w.pass(10 * time.Second)
	}
}
