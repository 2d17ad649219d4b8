package delivery_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// uncertainWorld has a host that closes its first connection after the final dot.
func uncertainWorld(t *testing.T, ask func(context.Context, delivery.UncertainDelivery) delivery.UncertainAction) (*world, *host) {
	w := newWorld(t)
	h := w.host("mx.a.example", func(c smtptest.Command) string {
		if c.Verb == "." && c.Conn == 1 {
			return smtptest.Close
		}
		return ""
	}, "a.example")
	w.config.Retry = retry.Schedule{time.Minute}
	w.config.OnUncertain = ask
	return w, h
}

func TestOnUncertain(t *testing.T) {
	for _, answer := range []delivery.UncertainAction{delivery.RetryUncertain, delivery.HoldUncertain} {
		synctest.Test(t, func(t *testing.T) {
			var asked []delivery.UncertainDelivery
			w, _ := uncertainWorld(t, func(_ context.Context, d delivery.UncertainDelivery) delivery.UncertainAction {
				asked = append(asked, d)
				return answer
			})
			w.config.Uncertain = delivery.HoldUncertain - answer // the other one
			w.start()
			id := w.enqueue("ann@a.example")
			w.settle(time.Hour)
			if len(asked) != 1 {
				t.Fatalf("asked %d times", len(asked))
			}
			d := asked[0]
			if d.Key.ID != id || d.Message.ID != id || d.Reply.Host != "mx.a.example" || d.Try != 1 ||
				len(d.Recipients) != 1 || d.Recipients[0] != "ann@a.example" {
				t.Errorf("asked about %+v", d)
			}
			if held := w.jobs(id)[0].Held; held != (answer == delivery.HoldUncertain) {
				t.Errorf("the answer is %v; held: %v", answer, held)
			}
		})
	}
}

// Whoever doesn't answer has not said anything.
func TestOnUncertainHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		defer close(hang)
		w, _ := uncertainWorld(t, func(context.Context, delivery.UncertainDelivery) delivery.UncertainAction {
			<-hang
			return delivery.HoldUncertain
		})
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(2*time.Minute + 31*time.Second)
		w.wantStates(id, "ann@a.example delivered")
		if len(observed[delivery.Trouble](w)) != 1 {
			t.Errorf("nobody is told that there was no answer")
		}
		w.stop()
	})
}

func TestOnUncertainPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := uncertainWorld(t, func(context.Context, delivery.UncertainDelivery) delivery.UncertainAction { panic("no idea") })
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(3 * time.Minute)
		w.wantStates(id, "ann@a.example delivered")
		h.wantTaken(t, 1)
	})
}

// The end of Run waits for nobody's decision for long.
func TestOnUncertainWhenRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := uncertainWorld(t, func(ctx context.Context, _ delivery.UncertainDelivery) delivery.UncertainAction {
			<-ctx.Done()
			return delivery.HoldUncertain
		})
		w.config.DrainTimeout = 3 * time.Second
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("Run took %v to end", took)
		}
		if j := w.jobs(id)[0]; !j.Recipients[0].Uncertain || !j.Leased.IsZero() {
			t.Errorf("the outcome is not committed: %+v", j)
		}
	})
}
