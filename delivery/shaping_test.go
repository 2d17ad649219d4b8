package delivery_test

import (
	"regexp"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// refusing answers the first RCPT with reply.
func refusing(reply string) func(smtptest.Command) string {
	var asked atomic.Bool
	return func(c smtptest.Command) string {
		if c.Verb == "RCPT" && !asked.Swap(true) {
			return reply
		}
		return ""
	}
}

func ruled(t *testing.T, reply string, rule shaping.Rule) (*world, *host) {
	w := newWorld(t)
	h := w.host("mx.a.example", refusing(reply), "a.example")
	w.config.Retry = retry.Schedule{time.Minute}
	rule.Name, rule.Text = "a rule", regexp.MustCompile("about us")
	w.config.Shaping.Rules = []shaping.Rule{rule}
	w.start()
	return w, h
}

func TestRuleWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := ruled(t, "450 4.2.1 something about us", shaping.Rule{Action: shaping.Wait, For: 3 * time.Hour})
		second := w.host("mx2.a.example", nil, "a.example")
		id := w.enqueue("ann@a.example")
		w.settle(3*time.Hour - time.Second)
		w.wantPending(id)
		second.wantTaken(t, 0) // who is to wait isn't tried elsewhere at once
		w.settle(2 * time.Second)
		w.wantStates(id, "ann@a.example delivered")
		h.wantTaken(t, 1)
	})
}

func TestRuleTemporary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := ruled(t, "553 5.7.1 something about us", shaping.Rule{Action: shaping.Temporary, For: time.Hour})
		id := w.enqueue("ann@a.example")
		w.settle(time.Hour - time.Second)
		w.wantPending(id)
		w.settle(2 * time.Second)
		w.wantStates(id, "ann@a.example delivered")
	})
}

func TestRulePermanent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := ruled(t, "450 4.2.1 something about us", shaping.Rule{Action: shaping.Permanent})
		second := w.host("mx2.a.example", nil, "a.example")
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example bounced")
		second.wantTaken(t, 0)
	})
}

// What a rule asks for a site holds for all that goes there.
func TestRulePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := ruled(t, "450 4.7.1 something about us", shaping.Rule{Action: shaping.Pause, For: time.Hour})
		w.enqueue("ann@a.example")
		w.settle(2 * time.Minute)
		w.enqueue("ben@a.example")
		w.settle(50 * time.Minute)
		h.wantTaken(t, 0)
		w.settle(time.Hour)
		h.wantTaken(t, 2)
	})
}

func TestDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Address == "ann@a.example" {
				return "450 4.2.0 later"
			}
			return ""
		}, "a.example")
		w.config.Retry = retry.Schedule{time.Hour}
		w.start()
		began := time.Now()
		id := w.enqueue("ann@a.example", "ben@a.example")
		w.settle(2 * 24 * time.Hour)
		list := observed[delivery.Delayed](w)
		if len(list) != 1 {
			t.Fatalf("observed %d times", len(list))
		}
		d := list[0]
		if d.Key.ID != id || len(d.Recipients) != 1 || d.Recipients[0].Address != "ann@a.example" || !d.Due.After(d.Time) {
			t.Errorf("observed %+v", d)
		}
		if late := d.Time.Sub(began); late < 4*time.Hour || late > 5*time.Hour+time.Minute {
			t.Errorf("observed after %v", late)
		}
	})
}

func TestQueueID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "." {
				return "250 2.0.0 Ok: queued as 4VbX1z2Y3z"
			}
			return ""
		}, "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		if a := observed[delivery.Attempted](w); len(a) != 1 || a[0].QueueID != "4VbX1z2Y3z" {
			t.Errorf("observed %+v", a)
		}
	})
}
