package delivery_test

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

// accept enqueues m, and returns what is stored of it.
func accept(t *testing.T, m delivery.Message) (stored *queue.Message, octets string) {
	t.Helper()
	s, q := newSender(t, delivery.Config{Hostname: "mx.example"})
	m.From, m.To = "sender@home.example", delivery.To("ann@a.example")
	r, err := s.Enqueue(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	for j, err := range q.Jobs(t.Context(), queue.Filter{ID: r.ID}) {
		if err != nil {
			t.Fatal(err)
		}
		stored = &j.Message
	}
	body, err := q.Open(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return stored, string(b)
}

func TestHeaderRepair(t *testing.T) {
	for _, in := range []struct{ from, domain string }{{"From: Ann <ann@Author.example>\n", "author.example"}, {"", "home.example"}} {
		m, got := accept(t, delivery.Message{
			Body: strings.NewReader(in.from + "Return-Path: <x@y>\nSubject: hi\nBcc: b@c\nResent-Bcc: c@d\n\nHi\n"),
			Client: delivery.Client{
				Name: "client.example", Addr: netip.MustParseAddr("192.0.2.1"), Protocol: "ESMTPA",
			},
		})
		date := m.Enqueued.Format("Mon, 02 Jan 2006 15:04:05 -0700") + "\r\n"
		want := fmt.Sprintf("Received: from client.example ([192.0.2.1])\r\n\tby mx.example with ESMTPA id %s;\r\n\t%s", m.ID, date) +
			strings.ReplaceAll(in.from, "\n", "\r\n") + "Subject: hi\r\nDate: " + date +
			fmt.Sprintf("Message-ID: <%s@%s>\r\n\r\nHi\r\n", m.ID, in.domain)
		if got != want {
			t.Errorf("stored is\n%q, not\n%q", got, want)
		}
	}
}

// Only the fields that a message comes with count for a loop.
func TestFiftyReceivedLines(t *testing.T) {
	_, got := accept(t, delivery.Message{Body: strings.NewReader(strings.Repeat("Received: from a by b\r\n", 50) + "\r\n")})
	if n := strings.Count(got, "Received: "); n != 51 {
		t.Errorf("%d are stored", n)
	}
}

// What a message needs of servers is what it needs as it is stored.
func TestNeeds(t *testing.T) {
	for _, tt := range []struct {
		name           string
		message        delivery.Message
		body           string
		utf8, eightBit bool
	}{
		{"ASCII", delivery.Message{}, "Subject: hi\n\nHi\n", false, false},
		{"declared", delivery.Message{UTF8: true}, "Subject: hi\n\nHi\n", true, false},
		{"UTF-8 that can be encoded", delivery.Message{}, "Subject: fünf\n\nHi\n", false, false},
		{"the same, declared", delivery.Message{UTF8: true}, "Subject: fünf\n\nHi\n", true, true},
		{"UTF-8 that can't", delivery.Message{}, "Message-ID: <fünf@a.example>\n\nHi\n", true, true},
		{"8-bit", delivery.Message{}, "Subject: hi\n\nf\xfcnf\n", false, true},
		{"the same, encoded", delivery.Message{Reencode: true}, "Subject: hi\n\nf\xfcnf\n", false, false},
	} {
		tt.message.Body = strings.NewReader(tt.body)
		if m, _ := accept(t, tt.message); m.UTF8 != tt.utf8 || m.EightBit != tt.eightBit {
			t.Errorf("%s: UTF8 %v, EightBit %v", tt.name, m.UTF8, m.EightBit)
		}
	}
}
