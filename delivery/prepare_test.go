package delivery_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

// What the host program stores itself is signed as it is stored. The Suppressor is asked by Prepare, and before it is sent.
func TestPrepared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.suppress("ann@a.example")
		sign := &signer{fail: func(string) error { return nil }}
		w.config.Signer = sign
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.stop()
		e, err := w.sender.Prepare(t.Context(), delivery.Message{To: delivery.To("ann@a.example", "ben@a.example"), Body: strings.NewReader("Subject: hi\nBcc: c@d\n\nHi\n")})
		if err != nil {
			t.Fatal(err)
		}
		if sign.header.Len() > 0 || len(s.asked) != 1 {
			t.Error("the Signer was asked too early, or the Suppressor wasn't")
		}
		if _, err := w.queue.Enqueue(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.settle(time.Second)
		w.wantStates(e.Message.ID, "ann@a.example bounced", "ben@a.example delivered")
		m := h.wantTaken(t, 1)[0]
		if len(m.To) != 1 || string(m.Data) != "X-Signature: s\r\n"+sign.header.String()+"\r\n"+sign.body.String() || strings.Contains(string(m.Data), "Bcc") {
			t.Errorf("to %v: %q", m.To, m.Data)
		}
		if len(s.asked) != 2 || sign.closed != 0 {
			t.Errorf("asked about %v; %d signatures were closed", s.asked, sign.closed)
		}
	})
}

// A transaction may be rolled back after the body was read.
func TestPreparedAndGivenUp(t *testing.T) {
	sign := &signer{fail: func(string) error { return nil }}
	s, _ := newSender(t, delivery.Config{Signer: sign})
	e, err := s.Prepare(t.Context(), delivery.Message{To: delivery.To("ann@a.example"), Body: strings.NewReader("\n" + strings.Repeat("Hi\n", 100_000))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(e.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := e.Body.(io.Closer).Close(); err != nil || sign.closed != 1 {
		t.Errorf("%d signatures are closed, %v", sign.closed, err)
	}
}

// Whoever stores a message that can't be sent is told so as by Enqueue.
func TestPreparedIsRefused(t *testing.T) {
	s, q := newSender(t, delivery.Config{MaxSize: 1000})
	for body, want := range map[string]error{
		"\nbare \r here\n":                         nil,
		"\n" + strings.Repeat("long\n", 1000):      delivery.ErrTooLarge,
		strings.Repeat("Received: x\n", 51) + "\n": delivery.ErrLoop,
	} {
		e, err := s.Prepare(t.Context(), delivery.Message{To: delivery.To("ann@a.example"), Body: strings.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = q.Enqueue(t.Context(), e)
		if f, refused := errors.AsType[*delivery.FieldError](err); !refused || f.Field != "Body" || want != nil && !errors.Is(err, want) {
			t.Errorf("%.20q: %v", body, err)
		}
	}
}

// A message is known again by what was given, whatever was made of it on its way in.
func TestKeyOfWhatWasGiven(t *testing.T) {
	sign := &signer{fail: func(string) error { return nil }}
	s, q := newSender(t, delivery.Config{Signer: sign})
	m := delivery.Message{Key: "order 17", To: delivery.To("ann@a.example")}
	for n := range 3 {
		m.Body = strings.NewReader("Subject: fünf\n\n" + strings.Repeat("fünf ", 500) + "\n")
		m.Reencode = true
		r, err := s.Enqueue(t.Context(), m)
		if err != nil || r.Duplicate != (n > 0) {
			t.Fatalf("%d: %+v, %v", n, r, err)
		}
	}
	m.Body = strings.NewReader("Subject: fünf\n\n" + strings.Repeat("fünf ", 501) + "\n")
	if _, err := s.Enqueue(t.Context(), m); err == nil || count(t, q) != 1 {
		t.Errorf("another message: %v", err)
	}
	for j := range q.Jobs(t.Context(), queue.Filter{}) {
		if j.Message.EightBit || j.Message.UTF8 {
			t.Errorf("stored is %+v", j.Message)
		}
	}
}
