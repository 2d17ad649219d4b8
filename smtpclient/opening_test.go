package smtpclient_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// opening are the steps up to the first message, and the codes that let a session go on.
var opening = []struct {
	verb  string
	phase smtpclient.Phase
	code  string
}{
	{"CONNECT", smtpclient.PhaseGreeting, "220"},
	{"EHLO", smtpclient.PhaseEHLO, "250"},
	{"STARTTLS", smtpclient.PhaseSTARTTLS, "220"},
	{"AUTH", smtpclient.PhaseAuth, "235"},
}

// open dials a server that answers verb with reply, after a while. It has a bubble of its own.
func open(t *testing.T, verb, reply string, wait time.Duration, o smtpclient.Options) (err error) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		srv := &smtptest.Server{StartTLS: true, Extensions: []string{}, Users: map[string]string{"u": "p"}, Reply: func(c smtptest.Command) string {
			if c.Verb != verb || !first {
				return ""
			}
			first = false
			time.Sleep(wait)
			return reply
		}}
		defer srv.Close()
		o.Dial = srv.Dial
		o.Auth = &smtpclient.Credentials{Username: "u", Password: "p", AllowPlaintext: true}
		var s *smtpclient.Session
		if s, err = smtpclient.Dial(context.Background(), "192.0.2.1:25", &o); err == nil {
			s.Close()
		}
	})
	return err
}

// wantOpen checks that a session can be had at a limit, and not beyond it.
func wantOpen(t *testing.T, err error, ok bool, phase smtpclient.Phase, cause error) {
	t.Helper()
	if e, failed := errors.AsType[*smtpclient.Error](err); failed == ok || failed && (e.Phase != phase || !errors.Is(e, cause)) {
		t.Errorf("error %v, want none: %v", err, ok)
	}
}

// Every step of opening a session has its limits, to the octet and the line.
func TestOpeningLimits(t *testing.T) {
	limits := smtpclient.Limits{Lines: 5, ReplyBytes: 500, JunkLines: 3}
	for _, step := range opening {
		last := step.code + " AUTH PLAIN\r\n"
		if step.verb == "EHLO" {
			last = "250-STARTTLS\r\n" + last
		}
		lines := strings.Count(last, "\n")
		for _, c := range []struct {
			name, reply string
			ok          bool
		}{
			{"lines", strings.Repeat(step.code+"-x\r\n", 5-lines) + last, true},
			{"a line too many", strings.Repeat(step.code+"-x\r\n", 6-lines) + last, false},
			{"octets", step.code + "-" + strings.Repeat("x", 494-len(last)) + "\r\n" + last, true},
			{"an octet too many", step.code + "-" + strings.Repeat("x", 495-len(last)) + "\r\n" + last, false},
			{"junk", step.code + "-x\r\n" + strings.Repeat("junk\r\n", 3) + last, true},
			{"junk too much", step.code + "-x\r\n" + strings.Repeat("junk\r\n", 4) + last, false},
			{"an endless line", strings.Repeat("x", 100_000), false},
		} {
			t.Run(step.verb+" "+c.name, func(t *testing.T) {
				wantOpen(t, open(t, step.verb, c.reply, 0, smtpclient.Options{Limits: limits}), c.ok, step.phase, smtpclient.ErrProtocol)
			})
		}
	}
}

// Every step has its time.
func TestOpeningTimeouts(t *testing.T) {
	timeouts := smtpclient.Timeouts{Greeting: time.Minute, Command: 2 * time.Minute}
	for _, step := range opening {
		limit := timeouts.Command
		if step.verb == "CONNECT" {
			limit = timeouts.Greeting
		}
		for _, early := range []time.Duration{time.Millisecond, -time.Millisecond} {
			t.Run(step.verb+" "+early.String(), func(t *testing.T) {
				wantOpen(t, open(t, step.verb, "", limit-early, smtpclient.Options{Timeouts: timeouts}), early > 0, step.phase, os.ErrDeadlineExceeded)
			})
		}
	}
}

// What is kept of a dialogue doesn't grow with it.
func TestTranscriptBounds(t *testing.T) {
	srv := start(t, &smtptest.Server{Reply: func(c smtptest.Command) string {
		switch c.Verb {
		case "EHLO":
			return "250-hi\r\n250 " + strings.Repeat("ü\x1b\t\xff", 200)
		case "RCPT":
			return "550 5.1.1 " + strings.Repeat("no ", 200)
		}
		return ""
	}})
	s := dial(t, srv, nil)
	for range 20 {
		if _, err := s.Send(t.Context(), envelope("one@example.org", "two@example.org"), strings.NewReader(hello)); err != nil {
			t.Fatal(err)
		}
		text := s.Transcript()
		if len(text) > 4<<10+len("...\n") {
			t.Errorf("%d octets", len(text))
		}
		for line := range strings.Lines(text) {
			if who, rest, _ := strings.Cut(line, " "); len(line) > 260 || strings.ContainsAny(rest, "\x1b\t") || !utf8.ValidString(rest) || who != "C:" && who != "S:" && line != "...\n" {
				t.Errorf("%q", line)
			}
		}
	}
	text := s.Transcript()
	if !strings.HasPrefix(text, "...\n") || !strings.Contains(text, "RCPT TO:<two@example.org>\n") || strings.Contains(text, "Hello") {
		t.Errorf("transcript:\n%s", text)
	}
}
