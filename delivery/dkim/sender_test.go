package dkim_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/dkim"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// newSender makes a Sender to a server that knows all but nobody@example.org, and runs it until the test ends.
func newSender(t *testing.T, signer delivery.Signer) (*delivery.Sender, *smtptest.Server) {
	t.Helper()
	server := smtptest.NewServer(func(c smtptest.Command) string {
		if c.Verb == "RCPT" && c.Address == "nobody@example.org" {
			return "550 5.1.1 no such user"
		}
		return ""
	})
	t.Cleanup(server.Close)
	relay, err := mx.ParseRelay("smtp://" + server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := delivery.New(memqueue.New(), delivery.Config{Hostname: "mail.example.com", Router: relay, Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, server
}

// wait returns the n-th message that the server gets.
func wait(t *testing.T, server *smtptest.Server, n int) smtptest.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	messages, err := server.Wait(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	return messages[n-1]
}

// TestSender follows a message, and a report, from Enqueue to the server.
func TestSender(t *testing.T) {
	keys := both(t)
	s, server := newSender(t, newSigner(t, keys...))
	records := records(t, keys)
	check := func(what string, message []byte) {
		t.Helper()
		if all, good := verify(t, string(message), records); all != 2 || good != 2 || !bytes.HasPrefix(message, []byte("DKIM-Signature:")) {
			t.Errorf("%s: %d signatures of %d are good: %s", what, good, all, message)
		}
	}
	enqueue := func(to, header string, reencode bool) {
		t.Helper()
		if _, err := s.Enqueue(t.Context(), delivery.Message{
			From: "ann@example.com", To: delivery.To(to), Reencode: reencode,
			Body: strings.NewReader("From: ann@example.com\nBcc: " + to + "\n" + header + "\nHello.\n" + strings.Repeat("0123456789\n", 10_000) + "\n\nBye"),
		}); err != nil {
			t.Fatal(err)
		}
	}
	enqueue("bob@example.org", "Subject: Lunch\n", false)
	got := wait(t, server, 1)
	check("message", got.Data)
	if head, _, _ := bytes.Cut(got.Data, []byte("\r\n\r\n")); !bytes.Contains(head, []byte("\r\nDate: ")) || bytes.Contains(head, []byte("\r\nBcc")) {
		t.Errorf("the header is %s", head)
	}

	enqueue("bob@example.org", "Subject: Grüße "+strings.Repeat("aus aller Welt ", 100)+"\n", true)
	if got = wait(t, server, 2); !bytes.Contains(got.Data, []byte("=?")) || !bytes.Contains(got.Data, []byte("quoted-printable")) {
		t.Errorf("isn't repaired: %.3000s", got.Data)
	}
	check("repaired message", got.Data)

	enqueue("nobody@example.org", "", false)
	report := wait(t, server, 3)
	if report.From != "" || report.To[0].Address != "ann@example.com" || !bytes.Contains(report.Data, []byte("\r\nFrom: Mail Delivery System <MAILER-DAEMON@mail.example.com>\r\n")) {
		t.Errorf("to %v: %s", report.To, report.Data)
	}
	check("report", report.Data)
}

// TestSenderRefuses has Enqueue fail where a message can't be signed.
func TestSenderRefuses(t *testing.T) {
	key := &remote{Signer: readKey(t, ed25519Key)}
	s, server := newSender(t, newSigner(t, dkim.Key{Domain: "example.com", Selector: "far", Signer: key}))
	enqueue := func(body io.Reader) error {
		_, err := s.Enqueue(t.Context(), delivery.Message{From: "ann@example.com", To: delivery.To("bob@example.org"), Body: body})
		return err
	}
	for body, want := range map[string]error{
		"Subject: Lunch\n\nHello.\n": dkim.ErrFrom,
		"From: ann@example.com\n\n" + strings.Repeat("\n", 200_000) + "Hello.\n": dkim.ErrBlank,
	} {
		err := enqueue(strings.NewReader(body))
		if e, ok := errors.AsType[*delivery.FieldError](err); !ok || e.Field != "Body" || !errors.Is(err, want) {
			t.Errorf("%v: %v", want, err)
		}
	}
	key.err = errPaper
	if err := enqueue(strings.NewReader(header + "\r\n" + body)); !errors.Is(err, errPaper) || errors.As(err, new(*delivery.FieldError)) ||
		!strings.HasSuffix(err.Error(), ": signing: dkim: far._domainkey.example.com: out of paper") {
		t.Errorf("a key that fails: %v", err)
	}
	key.err = nil
	if err := enqueue(strings.NewReader(strings.Replace(header, "example.com", "example.net", 1) + "\r\n" + body)); err != nil {
		t.Error(err)
	}
	if got := wait(t, server, 1); bytes.Contains(got.Data, []byte("DKIM-Signature")) {
		t.Errorf("a stranger's message is signed: %s", got.Data)
	}
	if n := len(server.Messages()); n != 1 {
		t.Errorf("%d messages were sent", n)
	}
}
