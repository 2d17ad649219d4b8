package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

// signer signs everything; fail says where it fails, and how.
type signer struct {
	header, body bytes.Buffer
	closed       int
	fail         func(method string) error
}

func (s *signer) Sign(header []byte) (delivery.Signature, error) {
	s.header.Write(header)
	return s, s.fail("Sign")
}

func (s *signer) Write(p []byte) (int, error) {
	s.body.Write(p)
	return len(p), s.fail("Write")
}

func (s *signer) Fields() ([]byte, error) { return []byte("X-Signature: s\r\n"), s.fail("Fields") }

func (s *signer) Close() error {
	s.closed++
	return s.fail("Close")
}

func TestSigner(t *testing.T) {
	sign := &signer{fail: func(string) error { return nil }}
	s, q := newSender(t, delivery.Config{Signer: sign})
	r, err := s.Enqueue(t.Context(), delivery.Message{To: delivery.To("ann@a.example"), Body: strings.NewReader("Subject: x\nBcc: b@c\n\nHi\nAnn")})
	if err != nil {
		t.Fatal(err)
	}
	body, err := q.Open(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	stored, err := io.ReadAll(body)
	if want := "X-Signature: s\r\n" + sign.header.String() + "\r\n" + sign.body.String(); string(stored) != want || err != nil {
		t.Errorf("stored is %q, signed was %q, %v", stored, want, err)
	}
	if sign.closed != 0 {
		t.Error("the signature was closed")
	}
}

func TestSignerFails(t *testing.T) {
	broken := errors.New("the key is gone")
	for _, method := range []string{"Sign", "Write", "Fields"} {
		for how, fail := range map[string]func() error{"error": func() error { return broken }, "panic": func() error { panic("oh") }} {
			sign := &signer{fail: func(m string) error {
				if m == method {
					return fail()
				}
				return nil
			}}
			s, q := newSender(t, delivery.Config{Signer: sign})
			_, err := s.Enqueue(t.Context(), delivery.Message{To: delivery.To("ann@a.example"), Body: strings.NewReader("\nHi\n")})
			if field := new(delivery.FieldError); err == nil || how == "error" && !errors.Is(err, broken) || errors.As(err, &field) {
				t.Errorf("%s, %s: the error is %v", method, how, err)
			}
			if n := count(t, q); n != 0 {
				t.Errorf("%s, %s: %d jobs are stored", method, how, n)
			}
		}
	}
}

// A queue need not read a message to its end.
func TestAbandonedSignatureIsClosed(t *testing.T) {
	sign := &signer{fail: func(method string) error {
		if method == "Close" {
			panic("oh")
		}
		return nil
	}}
	s, err := delivery.New(impatient{}, delivery.Config{Signer: sign})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Enqueue(t.Context(), delivery.Message{To: delivery.To("ann@a.example"), Body: strings.NewReader("\nHi\n")}); !errors.Is(err, queue.ErrFull) {
		t.Errorf("the error is %v", err)
	}
	if sign.closed != 1 {
		t.Errorf("it was closed %d times", sign.closed)
	}
}

// impatient is a queue that gives up every message in the midst of it.
type impatient struct{ queue.Queue }

func (impatient) Enqueue(ctx context.Context, e *queue.Entry) (bool, error) {
	e.Body.Read(make([]byte, 3))
	return false, queue.ErrFull
}
