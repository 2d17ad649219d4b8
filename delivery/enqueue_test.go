package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

func newSender(t *testing.T, c delivery.Config) (*delivery.Sender, *memqueue.Queue) {
	t.Helper()
	q := memqueue.New()
	s, err := delivery.New(q, c)
	if err != nil {
		t.Fatal(err)
	}
	return s, q
}

func count(t *testing.T, q queue.Queue) (n int) {
	t.Helper()
	for _, err := range q.Jobs(t.Context(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// wantRefused checks that Enqueue stores nothing of m and blames the field.
func wantRefused(t *testing.T, c delivery.Config, m delivery.Message, blamed string) {
	t.Helper()
	s, q := newSender(t, c)
	_, err := s.Enqueue(t.Context(), m)
	field := new(delivery.FieldError)
	if !errors.As(err, &field) || field.Field != blamed {
		t.Errorf("the error is %v, want a FieldError about %s", err, blamed)
	}
	if n := count(t, q); n != 0 {
		t.Errorf("%d jobs are stored", n)
	}
}

func TestRefused(t *testing.T) {
	good := func() delivery.Message {
		return delivery.Message{From: "sender@home.example", To: delivery.To("ann@a.example"), Body: strings.NewReader("Subject: x\r\n\r\nx\r\n")}
	}
	address := func(a string) func(*delivery.Message) {
		return func(m *delivery.Message) { m.To = delivery.To("ann@a.example", a) }
	}
	body := func(b string) func(*delivery.Message) {
		return func(m *delivery.Message) { m.Body = strings.NewReader(b) }
	}
	const to = "To[1].Address"
	for _, c := range []struct {
		name, field string
		break_      func(*delivery.Message)
	}{
		{"CR in an address", to, address("ann\r@a.example")},
		{"LF in an address", to, address("ann\n@a.example")},
		{"a second command in an address", to, address("ann@a.example>\r\nRCPT TO:<eve@b.example")},
		{"a parameter in an address", to, address("ann@a.example> NOTIFY=NEVER")},
		{"NUL in an address", to, address("ann\x00@a.example")},
		{"a space in an address", to, address("ann smith@a.example")},
		{"an angle bracket in an address", to, address("ann>@a.example")},
		{"a display name", to, address("Ann <ann@a.example>")},
		{"no domain", to, address("ann")},
		{"an empty domain", to, address("ann@")},
		{"no local part", to, address("@a.example")},
		{"an empty address", to, address("")},
		{"a local part of 65 octets", to, address(strings.Repeat("a", 65) + "@a.example")},
		{"a label of 64 octets", to, address("ann@" + strings.Repeat("a", 64) + ".example")},
		{"an address of 300 octets", to, address("ann@" + strings.Repeat("a.", 145) + "example")},
		{"a bad reverse-path", "From", func(m *delivery.Message) { m.From = "a b@home.example" }},
		{"a bad reverse-path of a recipient", "To[0].From", func(m *delivery.Message) { m.To[0].From = "@" }},
		{"no recipients", "To", func(m *delivery.Message) { m.To = nil }},
		{"NUL in the body", "Body", body("Subject: x\r\n\r\na\x00b\r\n")},
		{"a line of 999 octets", "Body", body("Subject: x\r\n\r\n" + strings.Repeat("x", 999) + "\r\n")},
		{"a bare CR", "Body", body("Subject: x\r\n\r\na\rb\r\n")},
		{"a body over the limit", "Body", body("Subject: x\r\n\r\n" + strings.Repeat("1234567890\r\n", 1000))},
		{"a header section that isn't UTF-8", "Body", body("Subject: f\xfcnf\r\n\r\n")},
		{"an mbox file", "Body", body("From ann@a.example Sat Jan  3 01:05:34 1996\nBcc: ben@a.example\n\nHi\n")},
		{"a structure that can't be understood", "Body", func(m *delivery.Message) {
			m.Body, m.Reencode = strings.NewReader("Content-Type: multipart/mixed\n\nHi\n"), true
		}},
		{"51 Received lines", "Body", body(strings.Repeat("Received: from a by b\r\n", 51) + "\r\n")},
		{"an expiry in the past", "Expires", func(m *delivery.Message) { m.Expires = time.Now().Add(-time.Hour) }},
		{"an ENVID that isn't UTF-8", "EnvelopeID", func(m *delivery.Message) { m.EnvelopeID = "\xff" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := good()
			c.break_(&m)
			wantRefused(t, delivery.Config{MaxSize: 10_000}, m, c.field)
		})
	}
}

func TestTooLargeIsToldApart(t *testing.T) {
	s, _ := newSender(t, delivery.Config{MaxSize: 100})
	_, err := s.Enqueue(t.Context(), delivery.Message{To: delivery.To("ann@a.example"), Body: strings.NewReader("\r\n" + strings.Repeat("x\r\n", 100))})
	if !errors.Is(err, delivery.ErrTooLarge) {
		t.Errorf("the error is %v, want ErrTooLarge", err)
	}
	_, err = s.Enqueue(t.Context(), delivery.Message{To: delivery.To("ann@a.example"), Body: strings.NewReader("\r\na\x00b\r\n")})
	if err == nil || errors.Is(err, delivery.ErrTooLarge) {
		t.Errorf("the error about a NUL is %v", err)
	}
}

func TestKeys(t *testing.T) {
	s, q := newSender(t, delivery.Config{})
	send := func(key, tenant, to, body string) (delivery.Receipt, error) {
		return s.Enqueue(t.Context(), delivery.Message{
			From: "sender@home.example", To: delivery.To(to), Key: key, Tenant: tenant, Body: strings.NewReader(body),
		})
	}
	first, err := send("order 17", "", "ann@a.example", "Subject: x\r\n\r\n")
	if err != nil || first.Duplicate {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := send("order 17", "", "ann@a.example", "Subject: x\r\n\r\n")
	if err != nil || !again.Duplicate || again.ID != first.ID {
		t.Errorf("the same message again: %+v, %v", again, err)
	}
	if _, err := send("order 17", "", "ann@a.example", "Subject: y\r\n\r\n"); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("another body under the same key: %v", err)
	}
	if _, err := send("order 17", "", "eve@a.example", "Subject: x\r\n\r\n"); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("another recipient under the same key: %v", err)
	}
	if other, err := send("order 17", "shop", "ann@a.example", "Subject: y\r\n\r\n"); err != nil || other.ID == first.ID {
		t.Errorf("the same key of another tenant: %+v, %v", other, err)
	}
	if other, err := send("", "", "ann@a.example", "Subject: x\r\n\r\n"); err != nil || other.Duplicate {
		t.Errorf("no key: %+v, %v", other, err)
	}
	if n := count(t, q); n != 3 {
		t.Errorf("%d jobs are stored, want 3", n)
	}
}

func TestDerivedKeys(t *testing.T) {
	id := func(body string) string {
		k, err := delivery.MessageIDKey(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if a, b := id("Message-ID: <1@x>\r\nSubject: a\r\n\r\nx"), id("Subject: b\r\nmessage-id: <1@x>\r\n\r\ny"); a != b {
		t.Errorf("%q and %q are of one Message-ID", a, b)
	}
	if _, err := delivery.MessageIDKey(strings.NewReader("Subject: x\r\n\r\n")); err == nil {
		t.Errorf("no error without a Message-ID")
	}
	content := func(from, to, body string) string {
		k, err := delivery.ContentKey(from, delivery.To(to), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	same := content("a@x.example", "b@y.example", "text")
	if same != content("a@x.example", "b@y.example", "text") {
		t.Errorf("the same content has different keys")
	}
	for _, other := range []string{content("a@x.example", "b@y.example", "texT"), content("a@x.example", "c@y.example", "text"), content("", "b@y.example", "text")} {
		if other == same {
			t.Errorf("different content has the same key")
		}
	}
}

// There is a job for each domain and reverse-path, and those of a domain are neighbours.
func TestJobs(t *testing.T) {
	s, q := newSender(t, delivery.Config{})
	var to []delivery.Recipient
	for i := range 250 {
		to = append(to, delivery.To(fmt.Sprintf("u%d@Big.example", i))...)
	}
	to = append(to, delivery.To("a@bücher.example", "b@XN--bcher-kva.example")...)
	to = append(to, delivery.Recipient{Address: "v@big.example", From: "bounce+v@home.example"})
	r, err := s.Enqueue(t.Context(), delivery.Message{From: "sender@home.example", To: to, Priority: queue.High, Tenant: "shop", Labels: []string{"news"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for j, err := range q.Jobs(t.Context(), queue.Filter{ID: r.ID, Label: "news", Tenant: "shop"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %d %q", j.Domain, len(j.Recipients), j.Recipients[0].From))
	}
	want := []string{
		`big.example 100 ""`, `big.example 100 ""`, `big.example 50 ""`, `big.example 1 "bounce+v@home.example"`, `xn--bcher-kva.example 2 ""`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("jobs are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []struct {
		field  string
		config delivery.Config
	}{
		{"Lifetime", delivery.Config{Lifetime: -1}},
		{"Concurrency", delivery.Config{Concurrency: -1}},
		{"MaxSize", delivery.Config{MaxSize: -1}},
		{"Hostname", delivery.Config{Hostname: "a b"}},
		{"Hostname", delivery.Config{Hostname: "<a.example>"}},
		{"Hostname", delivery.Config{Hostname: strings.Repeat("a", 256)}},
	} {
		if _, err := delivery.New(memqueue.New(), c.config); err == nil || !strings.Contains(err.Error(), "Config."+c.field) {
			t.Errorf("%s: the error is %v", c.field, err)
		}
	}
	if _, err := delivery.New(nil, delivery.Config{}); err == nil {
		t.Errorf("a nil queue is taken")
	}
}

func TestEndedContext(t *testing.T) {
	s, q := newSender(t, delivery.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Enqueue(ctx, delivery.Message{To: delivery.To("ann@a.example")}); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if n := count(t, q); n != 0 {
		t.Errorf("%d jobs are stored", n)
	}
}
