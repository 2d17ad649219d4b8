package smtpclient_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// Whoever leaves the loop leaves a session that is in step, and no message half sent.
func TestStreamLeft(t *testing.T) {
	srv := start(t, &smtptest.Server{})
	s := dial(t, srv, nil)
	taken := 0
	messages := func(yield func(*smtpclient.Envelope, io.Reader) bool) {
		for e, body := range stream(100) {
			taken++
			if !yield(e, body) {
				return
			}
		}
	}
	heard := 0
	for range s.SendAll(t.Context(), messages) {
		if heard++; heard == 3 {
			break
		}
	}
	if m := srv.Messages(); len(m) != taken || taken > 30 {
		t.Errorf("%d messages of %d", len(m), taken)
	}
	if !s.Reusable() {
		t.Error("the session is lost")
	}
	if results, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(hello)); err != nil || results[0].Err != nil {
		t.Error(err, results)
	}
}

// What ends the session in the middle of a stream ends the stream, and those that were taken hear of it.
func TestStreamEnds(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, c := range map[string]struct {
		body      io.Reader // of the 21st message
		cancels   bool
		want      error
		delivered int
	}{
		"body":       {iotest.ErrReader(broken), false, broken, 20},
		"large body": {io.MultiReader(strings.NewReader(large), iotest.ErrReader(broken)), false, broken, 20},
		"context":    {strings.NewReader(hello), true, context.Canceled, -1},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			srv := start(t, &smtptest.Server{})
			s := dial(t, srv, nil)
			taken := 0
			messages := func(yield func(*smtpclient.Envelope, io.Reader) bool) {
				for e, body := range stream(100) {
					if taken++; taken == 21 {
						body = c.body
						if c.cancels {
							cancel()
						}
					}
					if !yield(e, body) {
						return
					}
				}
			}
			results, delivered := 0, 0
			var last error
			for r, err := range s.SendAll(ctx, messages) {
				results++
				if r[0].Err == nil {
					delivered++
				}
				last = err
			}
			if !errors.Is(last, c.want) || results != taken || taken != 21 || s.Reusable() {
				t.Errorf("%d results for %d messages, %v", results, taken, last)
			}
			if c.delivered >= 0 && delivered != c.delivered {
				t.Errorf("%d delivered", delivered)
			}
		})
	}
}

func TestStreamOnClosedSession(t *testing.T) {
	s := dial(t, start(t, &smtptest.Server{}), nil)
	s.Close()
	n := 0
	for results, err := range s.SendAll(t.Context(), stream(3)) {
		n++
		if !errors.Is(err, smtpclient.ErrClosed) || results[0].Err == nil {
			t.Error(err, results)
		}
	}
	if n != 1 {
		t.Errorf("%d messages", n)
	}
}

// After a panic nobody takes the answers that are still to come for those to another message.
func TestStreamPanics(t *testing.T) {
	s := dial(t, start(t, &smtptest.Server{}), nil)
	func() {
		defer func() { recover() }()
		n := 0
		for range s.SendAll(t.Context(), stream(100)) {
			if n++; n == 3 {
				panic("the caller's")
			}
		}
	}()
	if s.Reusable() {
		t.Error("reusable")
	}
	results, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(hello))
	if err == nil || results[0].Err == nil || results[0].Err.Uncertain {
		t.Error(err, results)
	}
}
