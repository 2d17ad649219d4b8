package delivery_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

func TestUTF8RecipientFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.serve(&smtptest.Server{Name: "mx.a.example", Extensions: []string{"PIPELINING", "8BITMIME"}}, "a.example")
		w.start()
		id := w.enqueue("ann@a.example", "jürgen@a.example")
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example delivered", "jürgen@a.example bounced")
		h.wantTaken(t, 1)
	})
}

func TestReportWishesArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.send(delivery.Message{
			From: "sender@home.example", Return: queue.ReturnHeaders, EnvelopeID: "a+b=c d",
			To: []delivery.Recipient{
				{Address: "ann@a.example", Notify: queue.NotifySuccess | queue.NotifyFailure | queue.NotifyDelay, Original: "rfc822;Ann+1@Old.example"},
				{Address: "ben@a.example", Notify: queue.NotifyNever},
				{Address: "eve@a.example"},
			},
		})
		w.settle(time.Second)
		m := h.wantTaken(t, 1)[0]
		if !strings.HasSuffix(m.Params, " RET=HDRS ENVID=a+2Bb+3Dc+20d") {
			t.Errorf("MAIL has %q", m.Params)
		}
		for i, want := range []string{"NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;Ann+2B1@Old.example", "NOTIFY=NEVER", ""} {
			if got := m.To[i].Params; got != want {
				t.Errorf("RCPT %d has %q, want %q", i, got, want)
			}
		}
	})
}

func TestReportKeepsTheTLSDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true, Reply: func(c smtptest.Command) string {
			if c.Verb == "RCPT" {
				return "550 5.1.1 no such user"
			}
			return ""
		}}, "a.example")
		home := w.host("mx.home.example", nil, "home.example")
		w.start()
		id := w.send(delivery.Message{From: "sender@home.example", To: delivery.To("ann@a.example"), TLS: queue.TLSRequired})
		w.settle(time.Hour)
		w.wantStates(id, "ann@a.example bounced")
		home.wantTaken(t, 0)
	})
}
