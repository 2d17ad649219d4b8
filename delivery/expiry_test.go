package delivery_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

func TestExpiryIsReportedWhenItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" {
				return "452 4.2.2 mailbox full"
			}
			return ""
		}, "a.example")
		home := w.host("mx.home.example", nil, "home.example")
		w.start()
		began := time.Now()
		id := w.enqueue("ann@a.example")
		w.settle(5*24*time.Hour - time.Minute)
		w.wantStates(id, "ann@a.example pending")
		home.wantTaken(t, 0)
		w.settle(time.Minute + time.Second)
		w.wantStates(id, "ann@a.example bounced")
		text := string(home.wantTaken(t, 1)[0].Data)
		if !strings.Contains(text, "expired") || !strings.Contains(text, "mailbox full") {
			t.Errorf("the report says neither that the message expired nor what was heard last:\n%s", text)
		}
		b := observed[delivery.Bounced](w)
		if took := b[0].Time.Sub(began).Round(time.Second); took != 5*24*time.Hour {
			t.Errorf("given up after %v", took)
		}
		// 1, 2, 4, ... 240 minutes ±20 %: 8 attempts in the first 3 to 5 hours, then one every 3.2 to 4.8 hours.
		if total, _, _ := h.Connections(); total < 30 || total > 48 {
			t.Errorf("%d attempts in 5 days", total)
		}
	})
}

// Five days of attempts at exactly the times that the schedule says.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", nil, "a.example").Close()
		w.config.Retry = retry.Schedule{time.Minute, 5 * time.Minute, 6 * time.Hour}
		w.start()
		began := time.Now()
		id := w.enqueue("ann@a.example")
		w.settle(6 * 24 * time.Hour)
		at := time.Duration(0)
		for i, a := range observed[delivery.Attempted](w) {
			if a.Message.ID != id {
				continue // the report, whose domain doesn't exist
			}
			if got := a.Time.Sub(began); got != at {
				t.Fatalf("attempt %d is made after %v, want %v", i+1, got, at)
			}
			at += []time.Duration{time.Minute, 5 * time.Minute, 6 * time.Hour}[min(i, 2)]
		}
		if at < 5*24*time.Hour || at > 5*24*time.Hour+6*time.Hour {
			t.Errorf("the attempts end before %v", at)
		}
	})
}

func TestExpiryHoldsForHeldAndScheduled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "." {
				return smtptest.Close
			}
			return ""
		}, "a.example")
		home := w.host("mx.home.example", nil, "home.example")
		w.config.Uncertain = delivery.HoldUncertain
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(24 * time.Hour)
		if !w.jobs(id)[0].Held || len(observed[delivery.Held](w)) != 1 || len(w.attempts()) != 1 {
			t.Fatalf("an uncertain job is not held: attempts %v", w.attempts())
		}
		w.settle(4*24*time.Hour + time.Second)
		w.wantStates(id, "ann@a.example bounced")
		home.wantTaken(t, 1)
	})
}

func TestHeldIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "." && c.Conn == 1 {
				return smtptest.Close
			}
			return ""
		}, "a.example")
		w.config.Uncertain = delivery.HoldUncertain
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Hour)
		if _, err := w.sender.Release(t.Context(), delivery.Selector{ID: id}); err != nil {
			t.Fatal(err)
		}
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example delivered")
		h.wantTaken(t, 1)
	})
}

func TestWithdraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		id := w.send(delivery.Message{
			From: "sender@home.example", To: delivery.To("ann@a.example"), SendAt: time.Now().Add(time.Hour),
			Body: strings.NewReader("Subject: later\r\n\r\n"),
		})
		w.settle(time.Minute)
		if _, err := w.sender.Withdraw(t.Context(), delivery.Selector{ID: id}); err != nil {
			t.Fatal(err)
		}
		w.settle(2 * time.Hour)
		w.wantStates(id, "ann@a.example withdrawn")
		h.wantTaken(t, 0)
		if j := w.jobs(id)[0]; j.Finished.IsZero() {
			t.Errorf("a withdrawn job is not finished")
		}
	})
}

func TestScheduled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		at := time.Now().Add(36 * time.Hour)
		w.send(delivery.Message{From: "sender@home.example", To: delivery.To("ann@a.example"), SendAt: at})
		w.settle(36*time.Hour - time.Second)
		h.wantTaken(t, 0)
		w.settle(time.Second)
		h.wantTaken(t, 1)
	})
}

func TestPolicyGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		home := w.host("mx.home.example", nil, "home.example")
		w.host("mx.a.example", nil, "a.example").Close()
		w.config.Retry = retry.PolicyFunc(func(a retry.Attempt) (time.Duration, bool) { return time.Minute, a.N < 3 })
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(4 * time.Minute) // no host of the site was reached, so that it may be given a little longer
		w.wantStates(id, "ann@a.example bounced")
		if text := string(home.wantTaken(t, 1)[0].Data); !strings.Contains(text, "3 attempts") {
			t.Errorf("the report doesn't say why:\n%s", text)
		}
	})
}
