package delivery_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

func TestDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.host("mx.a.example", nil, "a.example")
		b := w.host("mx.b.example", nil, "b.example")
		w.start()
		date := time.Now().Format(time.RFC1123Z)
		id := w.send(delivery.Message{
			From: "sender@home.example",
			To:   delivery.To("ann@a.example", "ben@b.example", "amy@a.example", "ann@a.example"),
			Body: strings.NewReader("Subject: hi\nBcc: secret@c.example\n\n.dot\nend"),
		})
		w.settle(time.Second)
		w.wantStates(id, "amy@a.example delivered", "ann@a.example delivered", "ben@b.example delivered")
		m := a.wantTaken(t, 1)[0]
		if len(m.To) != 2 || m.From != "sender@home.example" || m.Helo != "postroad.example" {
			t.Errorf("the envelope at a.example is %+v", m)
		}
		data := string(m.Data)
		if !strings.HasPrefix(data, "Received: by postroad.example id "+string(id)+";\r\n\t"+date+"\r\nSubject: hi\r\n") || !strings.HasSuffix(data, "\r\n\r\n.dot\r\nend\r\n") ||
			strings.Contains(data, "secret") || !strings.Contains(data, "\r\nDate: ") ||
			!strings.Contains(data, "\r\nMessage-ID: <"+string(id)+"@home.example>\r\n") {
			t.Errorf("a.example has received\n%s", data)
		}
		if other := b.wantTaken(t, 1)[0]; string(other.Data) != data || len(other.To) != 1 {
			t.Errorf("b.example has received\n%s", other.Data)
		}
	})
}

func TestGreylisted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		seen := time.Now()
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" && time.Since(seen) < 50*time.Second {
				return "450 4.2.0 greylisted"
			}
			return ""
		}, "a.example")
		w.config.Retry = retry.Schedule{time.Minute}
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(59 * time.Second)
		w.wantStates(id, "ann@a.example pending")
		w.settle(2 * time.Second)
		w.wantStates(id, "ann@a.example delivered")
		w.wantAttempts("ann@a.example deferred mx.a.example 450", "ann@a.example delivered mx.a.example 250")
		h.wantTaken(t, 1)
	})
}

func TestDeadPrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx1.a.example", nil, "a.example").Close()
		mx2 := w.host("mx2.a.example", nil, "a.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example delivered")
		mx2.wantTaken(t, 1)
	})
}

// A connection lost after the final dot: not delivered, not tried at another host, twice the wait, the same host first.
func TestUncertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		drop := true
		mx1 := w.host("mx1.a.example", func(c smtptest.Command) string {
			if c.Verb == "." && drop {
				drop = false
				return smtptest.Close
			}
			return ""
		}, "a.example")
		mx2 := w.host("mx2.a.example", nil, "a.example")
		w.config.Retry = retry.Schedule{time.Minute}
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(119 * time.Second)
		w.wantStates(id, "ann@a.example pending")
		if j := w.jobs(id)[0]; !j.Recipients[0].Uncertain || !j.Attempts[0].Uncertain {
			t.Errorf("the job doesn't say that its outcome is uncertain: %+v", j)
		}
		w.reroute("a.example", mx2, mx1)
		w.settle(2 * time.Second)
		w.wantStates(id, "ann@a.example delivered")
		w.wantAttempts("ann@a.example uncertain mx1.a.example 0", "ann@a.example delivered mx1.a.example 250")
		mx1.wantTaken(t, 1)
		mx2.wantTaken(t, 0)
	})
}

func TestMaxWaitBoundsInventedWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			switch {
			case c.Verb == "." && c.Conn == 1:
				return smtptest.Close
			case c.Verb == "RCPT" && c.Conn == 2:
				return "450 4.2.0 try again in 45 minutes"
			}
			return ""
		}, "a.example")
		w.config.Retry = retry.Schedule{time.Minute}
		w.config.MaxWait = time.Minute
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(2*time.Minute + time.Second)
		w.wantStates(id, "ann@a.example delivered")
	})
}

func TestHintIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" && c.Conn == 1 {
				return "450 4.2.0 please try again in 45 minutes"
			}
			return ""
		}, "a.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(44 * time.Minute)
		w.wantStates(id, "ann@a.example pending")
		w.settle(2 * time.Minute)
		w.wantStates(id, "ann@a.example delivered")
	})
}

func TestOneBadRecipient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" && c.Address == "nobody@a.example" {
				return "550 5.1.1 no such user"
			}
			return ""
		}, "a.example")
		home := w.host("mx.home.example", nil, "home.example")
		w.start()
		id := w.enqueue("ann@a.example", "nobody@a.example", "ben@a.example")
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example delivered", "ben@a.example delivered", "nobody@a.example bounced")
		if m := h.wantTaken(t, 1)[0]; len(m.To) != 2 {
			t.Errorf("delivered to %v", m.To)
		}
		report := home.wantTaken(t, 1)[0]
		text := string(report.Data)
		if report.From != "" || report.To[0].Address != "sender@home.example" {
			t.Errorf("the report goes from %q to %q", report.From, report.To)
		}
		if !strings.Contains(text, "nobody@a.example") || strings.Contains(text, "ann@a.example") || strings.Contains(text, "ben@a.example") {
			t.Errorf("the report must name the one that failed and nobody else:\n%s", text)
		}
		if !strings.Contains(text, "no such user") || !strings.Contains(text, "5.1.1") || !strings.Contains(text, "Subject: hello") {
			t.Errorf("the report doesn't say why, or about what:\n%s", text)
		}
		b := observed[delivery.Bounced](w)
		if len(b) != 1 || len(b[0].Recipients) != 1 || b[0].Report == "" {
			t.Errorf("observed %+v", b)
		}
	})
}

func TestWhoGetsNoReport(t *testing.T) {
	for name, m := range map[string]delivery.Message{
		"null sender":  {From: "", To: delivery.To("nobody@a.example")},
		"NOTIFY=NEVER": {From: "sender@home.example", To: []delivery.Recipient{{Address: "nobody@a.example", Notify: queue.NotifyNever}}},
		"NOTIFY=DELAY": {From: "sender@home.example", To: []delivery.Recipient{{Address: "nobody@a.example", Notify: queue.NotifyDelay}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.host("mx.a.example", func(c smtptest.Command) string {
					if c.Verb == "RCPT" {
						return "550 5.1.1 no such user"
					}
					return ""
				}, "a.example")
				home := w.host("mx.home.example", nil, "home.example")
				w.start()
				id := w.send(m)
				w.settle(time.Second)
				w.wantStates(id, "nobody@a.example bounced")
				home.wantTaken(t, 0)
				if b := observed[delivery.Bounced](w); len(b) != 1 || b[0].Report != "" {
					t.Errorf("observed %+v, want an end without a report", b)
				}
			})
		})
	}
}

// A report that fails itself ends there: there is never a report about a report.
func TestDoubleBounceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		refuse := func(c smtptest.Command) string {
			if c.Verb == "RCPT" {
				return "550 5.1.1 no such user"
			}
			return ""
		}
		w.host("mx.a.example", refuse, "a.example")
		w.host("mx.home.example", refuse, "home.example")
		w.start()
		w.enqueue("nobody@a.example")
		w.settle(time.Second)
		b := observed[delivery.Bounced](w)
		if len(b) != 2 || b[1].Key.ID != b[0].Report || b[1].Report != "" {
			t.Errorf("observed %+v", b)
		}
	})
}

// What one host defers, one other is asked at once; what it refuses, it refuses for all.
func TestNextHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx1.a.example", func(c smtptest.Command) string {
			switch c.Address {
			case "later@a.example":
				return "451 4.3.0 not now"
			case "never@a.example":
				return "550 5.1.1 no such user"
			}
			return ""
		}, "a.example")
		mx2 := w.host("mx2.a.example", nil, "a.example")
		w.start()
		id := w.enqueue("never@a.example", "later@a.example", "now@a.example")
		w.settle(time.Second)
		w.wantStates(id, "later@a.example delivered", "never@a.example bounced", "now@a.example delivered")
		if m := mx2.wantTaken(t, 1)[0]; len(m.To) != 1 || m.To[0].Address != "later@a.example" {
			t.Errorf("the second host was given %v", m.To)
		}
		if j := w.jobs(id)[0]; j.Tries != 1 {
			t.Errorf("counts as %d attempts", j.Tries)
		}
	})
}

func TestTooManyRecipientsGoInTheNextTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" && len(c.Message.To) >= 2 {
				return "452 4.5.3 too many recipients"
			}
			return ""
		}, "a.example")
		w.start()
		id := w.enqueue("a@a.example", "b@a.example", "c@a.example", "d@a.example", "e@a.example")
		w.settle(time.Second)
		for _, m := range h.wantTaken(t, 3) {
			if m.Conn != 1 {
				t.Errorf("a connection of its own for the rest")
			}
		}
		if j := w.jobs(id)[0]; j.Tries != 1 || j.Finished.IsZero() {
			t.Errorf("tries %d, finished %v", j.Tries, j.Finished)
		}
	})
}

// A greeting of 5xx, or a host that is down, is no verdict on the mail.
func TestHostTroubleBouncesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "CONNECT" && c.Conn < 3 {
				return "554 5.3.2 go away"
			}
			return ""
		}, "a.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Hour)
		w.wantStates(id, "ann@a.example delivered")
	})
}

func TestUnknownDomainIsBelievedTheSecondTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Retry = retry.Schedule{time.Minute}
		home := w.host("mx.home.example", nil, "home.example")
		w.start()
		id := w.enqueue("ann@gone.example")
		w.settle(time.Second)
		w.wantStates(id, "ann@gone.example pending")
		w.settle(time.Minute)
		w.wantStates(id, "ann@gone.example bounced")
		home.wantTaken(t, 1)
	})
}
