package smtpclient_test

import (
	"io"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// tenKiB is the body that costs are counted for.
var tenKiB = "Subject: hello\r\n\r\n" + strings.Repeat(strings.Repeat("x", 62)+"\r\n", 160)[18:]

// ways are the extensions that decide how many flights a message takes: the first of a session, with greeting and EHLO, and
// the next.
var ways = []struct {
	name        string
	extensions  []string
	first, next int
}{
	{"pipelining and chunking", []string{"PIPELINING", "CHUNKING"}, 3, 1},
	{"pipelining", []string{"PIPELINING"}, 4, 2},
	{"chunking", []string{"CHUNKING"}, 5, 3},
	{"neither", []string{}, 6, 4},
}

// A message takes as few flights as the server allows, and no time but theirs.
func TestFlights(t *testing.T) {
	const delay = 25 * time.Millisecond
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &smtptest.Server{Extensions: way.extensions}
				defer srv.Close()
				proxy := &smtptest.Proxy{To: srv.Dial, Delay: delay}
				defer proxy.Close()
				begin := time.Now()
				s, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", &smtpclient.Options{Dial: proxy.Dial})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				want := way.first
				for i := range 3 {
					results, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(tenKiB))
					if err != nil || results[0].Err != nil {
						t.Fatal(err, results)
					}
					// The greeting needs no question, which saves it the way there.
					if took := time.Since(begin); proxy.Flights() != want || took != time.Duration(2*want-1)*delay {
						t.Errorf("after %d messages: %d flights in %v, want %d", i+1, proxy.Flights(), took, want)
					}
					want += way.next
				}
			})
		})
	}
}

// The text of a large message is sent without waiting in between: one flight for the recipients, one for all that follows.
func TestLargeFlights(t *testing.T) {
	const delay = 25 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		srv := &smtptest.Server{}
		defer srv.Close()
		proxy := &smtptest.Proxy{To: srv.Dial, Delay: delay}
		defer proxy.Close()
		s, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", &smtpclient.Options{Dial: proxy.Dial})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		begin := time.Now()
		results, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(strings.Repeat(tenKiB, 100)))
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
		if took := time.Since(begin); took != 4*delay {
			t.Errorf("took %v", took)
		}
	})
}

// A stream of messages waits for the first of a session, and from then on hardly at all.
func TestStreamFlights(t *testing.T) {
	const delay = 25 * time.Millisecond
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &smtptest.Server{Extensions: way.extensions}
				defer srv.Close()
				proxy := &smtptest.Proxy{To: srv.Dial, Delay: delay}
				defer proxy.Close()
				s, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", &smtpclient.Options{Dial: proxy.Dial})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				begin := time.Now()
				for results, err := range s.SendAll(t.Context(), stream(161)) {
					if err != nil || results[0].Err != nil {
						t.Fatal(err, results)
					}
				}
				want := 161 * time.Duration(way.next)
				if way.next == 1 {
					want = 1 + 160/16
				}
				if took := time.Since(begin); took != 2*want*delay {
					t.Errorf("took %v, want %v", took, 2*want*delay)
				}
				if m := srv.Messages(); len(m) != 161 || string(m[160].Data) != tenKiB {
					t.Errorf("%d messages", len(m))
				}
			})
		})
	}
}

// stream is n messages of 10 KiB.
func stream(n int) iter.Seq2[*smtpclient.Envelope, io.Reader] {
	return func(yield func(*smtpclient.Envelope, io.Reader) bool) {
		for range n {
			if !yield(envelope("one@example.org"), strings.NewReader(tenKiB)) {
				return
			}
		}
	}
}
