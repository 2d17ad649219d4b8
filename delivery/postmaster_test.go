package delivery_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

const postmaster = "postmaster@office.example"

// A report that can't be delivered is reported to the postmaster, whole.
func TestPostmasterIsToldOfLostReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Postmaster = postmaster
		w.plainHost("mx.a.example", "a.example")
		office := w.host("mx.office.example", nil, "office.example")
		w.start()
		w.send(letter("bad.sender@a.example", delivery.To("bad@a.example")...))
		w.settle(time.Second)
		office.wantTold(t, "failed bad.sender@a.example 5.1.1")
		m := office.Messages()[0]
		if m.To[0].Address != postmaster || m.To[0].Params != "NOTIFY=NEVER" {
			t.Errorf("the report goes to %+v", m.To)
		}
		if !strings.Contains(string(m.Data), "Final-Recipient: rfc822; bad@a.example\r\n") {
			t.Errorf("the report hasn't the one that is lost:\n%s", m.Data)
		}
		b := observed[delivery.Bounced](w)
		if len(b) != 2 || b[0].Message.From == "" || b[1].Message.From != "" || b[1].Report == "" {
			t.Errorf("the observer is told %+v", b)
		}
	})
}

// A report to the postmaster is the last word, also after the address has changed.
func TestReportToPostmasterIsTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Postmaster = "bad.postmaster@a.example"
		a := w.plainHost("mx.a.example", "a.example")
		office := w.host("mx.office.example", func(c smtptest.Command) string { return "" }, "office.example")
		w.reroute("a.example") // nobody
		w.start()
		w.send(letter("", delivery.To("bad@b.example")...))
		w.settle(10 * time.Minute) // until it is believed that b.example doesn't exist
		w.stop()
		w.reroute("a.example", a)
		w.config.Postmaster = postmaster
		w.start()
		w.settle(24 * time.Hour)
		office.wantTaken(t, 0)
		a.wantTaken(t, 0)
		if b := observed[delivery.Bounced](w); len(b) != 2 || b[0].Report == "" || b[1].Report != "" || b[1].Message.ID != b[0].Report {
			t.Errorf("the observer is told %+v", b)
		}
	})
}

func TestPostmasterMustBeAnAddress(t *testing.T) {
	w := newWorld(t)
	w.config.Postmaster = "postmaster"
	if _, err := delivery.New(w.queue, w.config); err == nil || !strings.Contains(err.Error(), "Config.Postmaster") {
		t.Errorf("New returns %v", err)
	}
}

// To a host that refuses the null sender, another is named, and nobody is to report to that one.
func TestNullSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("smarthost.example", func(c smtptest.Command) string {
			if c.Verb == "MAIL" && c.Address == "" {
				return "550 5.7.1 who are you?"
			}
			return ""
		}, "a.example")
		h.Host.NullSender = "reports@home.example"
		w.reroute("a.example", h)
		w.start()
		report := w.send(letter("", delivery.To("ann@a.example")...))
		w.settle(time.Second)
		mail := w.send(letter(sender, delivery.To("ann@a.example")...))
		w.settle(time.Second)
		w.wantStates(report, "ann@a.example delivered")
		w.wantStates(mail, "ann@a.example delivered")
		for _, m := range h.wantTaken(t, 2) {
			switch m.From + " " + m.To[0].Params {
			case "reports@home.example NOTIFY=NEVER", sender + " ":
			default:
				t.Errorf("the envelope is from %q to %+v", m.From, m.To)
			}
		}
		if from := w.jobs(report)[0].Message.From; from != "" {
			t.Errorf("the queue has the sender %q", from)
		}
		if total, _, _ := h.Connections(); total != 1 {
			t.Errorf("there were %d connections", total)
		}
	})
}

// What can't be delivered in the name that stands for the null sender is reported to nobody.
func TestNullSenderGetsNoReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.plainHost("smarthost.example", "a.example", "home.example")
		h.Host.NullSender = sender
		w.reroute("a.example", h)
		w.start()
		id := w.send(letter("", delivery.To("bad@a.example", "ann@a.example")...))
		w.settle(24 * time.Hour)
		w.wantStates(id, "ann@a.example delivered", "bad@a.example bounced")
		h.wantTaken(t, 1)
	})
}

// The host program's words are in the report, and what panics says nothing.
func TestReportText(t *testing.T) {
	for name, c := range map[string]struct {
		text func(*dsn.Report) (string, string)
		want []string
	}{
		"words": {func(r *dsn.Report) (string, string) {
			defer func() { *r = dsn.Report{} }() // which is nobody's loss
			return "Sorry", "No luck with " + r.Recipients[0].Final + ":\n" + r.Recipients[0].Diagnostic.Text + "\n.\n"
		}, []string{"\r\nSubject: Sorry\r\n", "\r\n\r\nNo luck with ann@a.example:\r\nno\r\nX: y\r\n.\r\n", "\r\nFinal-Recipient: rfc822; ann@a.example\r\n"}},
		"none":  {func(*dsn.Report) (string, string) { return "", "" }, []string{"\r\nSubject: Your message could not", "\r\n\r\nThis is an automatic message"}},
		"panic": {func(r *dsn.Report) (string, string) { panic(errors.New("template")) }, []string{"\r\nSubject: Your message could not", "\r\n\r\nThis is an automatic message"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.config.ReportText = c.text
				w.host("mx.a.example", func(c smtptest.Command) string {
					if c.Verb == "RCPT" {
						return "550-5.1.1 no\r\n550 5.1.1 X: y"
					}
					return ""
				}, "a.example")
				home := w.host("mx.home.example", nil, "home.example")
				w.start()
				w.enqueue("ann@a.example")
				w.settle(time.Second)
				text := string(home.wantTaken(t, 1)[0].Data)
				for _, want := range c.want {
					if !strings.Contains(text, want) {
						t.Errorf("the report hasn't %q:\n%s", want, text)
					}
				}
				if trouble := observed[delivery.Trouble](w); len(trouble) > 0 != (name == "panic") {
					t.Errorf("the trouble is %v", trouble)
				}
			})
		})
	}
}

// An address for the null sender that is none is our own mistake, for which nobody's mail bounces.
func TestBadNullSenderIsTemporary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Router = &mx.Relay{Host: "192.0.2.1", NullSender: "reports@home.example> SIZE=0"}
		w.host("relay.example", nil)
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Hour)
		w.wantStates(id, "ann@a.example pending")
		if r := w.jobs(id)[0].Recipients[0].Reply; r.Phase != "route" || !strings.Contains(r.Text, "null sender") {
			t.Errorf("the reply is %+v", r)
		}
	})
}
