package delivery_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A server without SMTPUTF8 can't be told of one recipient; the others of the same job are none of that.
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

// What RFC 3461 gives a sender to say goes to the next host as it was said.
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

// What a next host could only refuse is refused at once, and named.
func TestEnvelopeIsChecked(t *testing.T) {
	for _, c := range []struct {
		name, field string
		break_      func(*delivery.Message)
	}{
		{"no such TLS demand", "TLS", func(m *delivery.Message) { m.TLS = "REQUIRED" }},
		{"no such RET", "Return", func(m *delivery.Message) { m.Return = "full" }},
		{"ENVID of 101 characters", "EnvelopeID", func(m *delivery.Message) { m.EnvelopeID = strings.Repeat("a", 101) }},
		{"ENVID of 101 characters as xtext", "EnvelopeID", func(m *delivery.Message) { m.EnvelopeID = strings.Repeat("a", 98) + "=" }},
		{"NOTIFY=NEVER,SUCCESS", "To[0].Notify", func(m *delivery.Message) { m.To[0].Notify = queue.NotifyNever | queue.NotifySuccess }},
		{"no such NOTIFY", "To[0].Notify", func(m *delivery.Message) { m.To[0].Notify = 1 << 6 }},
		{"ORCPT without a type", "To[0].Original", func(m *delivery.Message) { m.To[0].Original = "ann@a.example" }},
		{"ORCPT with a bad type", "To[0].Original", func(m *delivery.Message) { m.To[0].Original = "rfc 822;ann@a.example" }},
		{"ORCPT without an address", "To[0].Original", func(m *delivery.Message) { m.To[0].Original = "rfc822;" }},
		{"ORCPT of 501 characters", "To[0].Original", func(m *delivery.Message) { m.To[0].Original = "rfc822;" + strings.Repeat("a", 494) }},
		{"a quoted space in an address", "To[0].Address", func(m *delivery.Message) { m.To[0].Address = `"ann smith"@a.example` }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := delivery.Message{From: "sender@home.example", To: delivery.To("ann@a.example")}
			c.break_(&m)
			wantRefused(t, delivery.Config{}, m, c.field)
		})
	}
}

// A recipient whose own reverse-path is the message's is the same as one without.
func TestOneCopyEach(t *testing.T) {
	s, q := newSender(t, delivery.Config{})
	_, err := s.Enqueue(t.Context(), delivery.Message{From: "sender@home.example", To: []delivery.Recipient{
		{Address: "ann@a.example"}, {Address: "ann@A.example", From: "sender@home.example"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for j := range q.Jobs(t.Context(), queue.Filter{}) {
		if n := len(j.Recipients); j.Key.N > 0 || n != 1 {
			t.Errorf("job %s has %d recipients, want one in all", j.Key, n)
		}
	}
}

// A report has a part of the message in it, so it travels no less protected.
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

// A host that offers CHUNKING and doesn't know BDAT gets the message in the old way, in the same attempt.
func TestBDATNotUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "BDAT" {
				return "502 5.5.2 what?"
			}
			return ""
		}, "a.example")
		w.start()
		id := w.enqueue("ann@a.example", "bob@a.example")
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example delivered", "bob@a.example delivered")
		w.wantAttempts("ann@a.example delivered mx.a.example 250", "bob@a.example delivered mx.a.example 250")
		h.wantTaken(t, 1)
		if total, _, _ := h.Connections(); total != 2 {
			t.Errorf("%d connections", total)
		}
	})
}

// A large message is read from the queue again for recipients beyond the server's limit: no attempt of its own, and the same
// session.
func TestRecipientLimitOfALargeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.serve(&smtptest.Server{Name: "mx.a.example", Extensions: []string{"PIPELINING", "CHUNKING", "LIMITS RCPTMAX=2"}}, "a.example")
		w.start()
		id := w.send(delivery.Message{
			From: "sender@home.example", To: delivery.To("ann@a.example", "bob@a.example", "eve@a.example"),
			Body: strings.NewReader("Subject: large\r\n\r\n" + strings.Repeat("All work and no play.\r\n", 10_000)),
		})
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example delivered", "bob@a.example delivered", "eve@a.example delivered")
		h.wantTaken(t, 2)
		if m := h.Messages(); len(m) == 2 && (len(m[0].To) != 2 || len(m[1].To) != 1 || string(m[0].Data) != string(m[1].Data)) {
			t.Errorf("messages to %v and %v, of %d and %d octets", m[0].To, m[1].To, len(m[0].Data), len(m[1].Data))
		}
		if total, _, _ := h.Connections(); total != 1 {
			t.Errorf("%d connections", total)
		}
	})
}

// A server that takes mail knows of an envelope what Enqueue will say of it.
func TestMessageCheck(t *testing.T) {
	for _, test := range []struct {
		m     delivery.Message
		field string
	}{
		{delivery.Message{From: "ann@a.example", To: delivery.To("ben@b.example")}, ""},
		{delivery.Message{To: delivery.To("ben@b.example")}, ""},
		{delivery.Message{From: "ann@"}, "From"},
		{delivery.Message{From: "ann@a.example"}, "To"},
		{delivery.Message{To: delivery.To("ben@b.example", "b en")}, "To[1].Address"},
		{delivery.Message{To: delivery.To("ben@b.example"), EnvelopeID: "\r\n"}, "EnvelopeID"},
	} {
		err := test.m.Check()
		field := new(delivery.FieldError)
		if errors.As(err, &field) != (test.field != "") || field.Field != test.field {
			t.Errorf("%+v: %v, want field %q", test.m, err, test.field)
		}
	}
}
