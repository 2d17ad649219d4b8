package smtpclient_test

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A client keeps its session, and does at once what a session that was lost for reasons of its own leaves to be done.
func TestClient(t *testing.T) {
	unseekable := func(n int) io.Reader {
		return io.MultiReader(strings.NewReader(strings.Repeat("twenty octets a line\r\n", n/22)))
	}
	for name, tt := range map[string]struct {
		reply       func(c smtptest.Command, mails int) string // mails: how many there were, this one included
		body        func() io.Reader
		taken       []int // of each message, how many recipients
		connections int
		err         error // of the last message
	}{
		"one session": {
			body:  func() io.Reader { return strings.NewReader("a\r\n") },
			taken: []int{2, 2, 2}, connections: 1,
		},
		"lost while it was idle": {
			reply: func(c smtptest.Command, mails int) string {
				if c.Verb == "MAIL" && mails == 2 {
					return smtptest.Close
				}
				return ""
			},
			body:  func() io.Reader { return strings.NewReader(strings.Repeat("twenty octets a line\r\n", 5000)) },
			taken: []int{2, 2}, connections: 2,
		},
		"farewell": {
			reply: func(c smtptest.Command, mails int) string {
				if c.Verb == "MAIL" && mails == 2 {
					return "421 4.4.2 too long"
				}
				return ""
			},
			body:  func() io.Reader { return strings.NewReader("a\r\n") },
			taken: []int{2, 2, 2}, connections: 2,
		},
		"no BDAT": {
			reply: func(c smtptest.Command, mails int) string {
				if c.Verb == "BDAT" {
					return "502 5.5.1 what?"
				}
				return ""
			},
			body:  func() io.Reader { return strings.NewReader("a\r\n") },
			taken: []int{2, 2, 2}, connections: 2,
		},
		"no BDAT, and one recipient was refused": {
			reply: func(c smtptest.Command, mails int) string {
				switch {
				case c.Verb == "BDAT":
					return "502 5.5.1 what?"
				case c.Verb == "RCPT" && c.Address == "two@example.org":
					return "550 5.1.1 nobody"
				}
				return ""
			},
			body:  func() io.Reader { return strings.NewReader("a\r\n") },
			taken: []int{1}, connections: 2,
		},
		"no BDAT, and the body is gone": {
			reply: func(c smtptest.Command, mails int) string {
				if c.Verb == "BDAT" {
					return "502 5.5.1 what?"
				}
				return ""
			},
			body:  func() io.Reader { return unseekable(100_000) },
			taken: []int{0}, connections: 1, err: smtpclient.ErrChunking,
		},
		"turned away": {
			reply: func(c smtptest.Command, mails int) string {
				if c.Verb == "EHLO" || c.Verb == "HELO" {
					return "421 4.3.2 not now"
				}
				return ""
			},
			body:  func() io.Reader { return strings.NewReader("a\r\n") },
			taken: []int{0}, connections: 1, err: &smtpclient.Error{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var mails atomic.Int64
			server := smtptest.NewServer(func(c smtptest.Command) string {
				if c.Verb == "MAIL" {
					mails.Add(1)
				}
				if tt.reply == nil {
					return ""
				}
				return tt.reply(c, int(mails.Load()))
			})
			defer server.Close()
			client := smtpclient.NewClient([]string{server.Addr}, nil)
			defer client.Close()
			for n, want := range tt.taken {
				results, err := client.Send(t.Context(), envelope("one@example.org", "two@example.org"), tt.body())
				last := tt.err
				if n < len(tt.taken)-1 {
					last = nil
				}
				if (err != nil) != (last != nil) || errors.Is(last, smtpclient.ErrChunking) && !errors.Is(err, last) {
					t.Errorf("message %d: error %v, want %v", n+1, err, last)
				}
				taken := 0
				for _, r := range results {
					if r.Err == nil {
						taken++
					} else if r.Err.Uncertain || r.Phase == "" {
						t.Errorf("message %d: %+v", n+1, r)
					}
				}
				if taken != want {
					t.Errorf("message %d was taken for %d recipients, want %d", n+1, taken, want)
				}
			}
			if total, _, _ := server.Connections(); total != tt.connections {
				t.Errorf("%d connections, want %d", total, tt.connections)
			}
			sum := 0
			for _, m := range server.Messages() {
				sum += len(m.To)
			}
			for _, n := range tt.taken {
				sum -= n
			}
			if sum != 0 {
				t.Errorf("the server has %d recipients more than was said", sum)
			}
		})
	}
	nothingRuns(t)
}
