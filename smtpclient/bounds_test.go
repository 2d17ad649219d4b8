package smtpclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// What a server says within the bounds of a reply is taken, and what is one more isn't; those that are set, and the defaults.
func TestReplyBounds(t *testing.T) {
	for _, limits := range []smtpclient.Limits{
		{},
		{LineBytes: 40, Lines: 3, ReplyBytes: 500, JunkLines: 1},
		{LineBytes: 5000, Lines: 1000, ReplyBytes: 200_000, JunkLines: 20},
	} {
		d := limits
		if d == (smtpclient.Limits{}) {
			d = smtpclient.Limits{LineBytes: 1024, Lines: 128, ReplyBytes: 64 << 10, JunkLines: 5}
		}
		for _, c := range []struct {
			name  string
			reply func(n int) string
			most  int
		}{
			{"lines", func(n int) string { return strings.Repeat("220-x\r\n", n-1) + "220 x\r\n" }, d.Lines},
			{"octets", func(n int) string { return "220 " + strings.Repeat("x", n-6) + "\r\n" }, d.ReplyBytes},
			{"junk", func(n int) string { return strings.Repeat("x\r\n", n) + "220 x\r\n" }, d.JunkLines},
			{"blank lines", func(n int) string { return strings.Repeat("\n", n) + "220 x\r\n" }, d.JunkLines},
			{"junk inside", func(n int) string { return "220-x\r\n" + strings.Repeat("x\r\n", n) + "220 x\r\n" }, d.JunkLines},
		} {
			for n, ok := range map[int]bool{c.most: true, c.most + 1: false} {
				err := greeted(t, c.reply(n), limits)
				if ok && err != nil || !ok && !errors.Is(err, smtpclient.ErrProtocol) {
					t.Errorf("%+v: %d %s: %v", limits, n, c.name, err)
				}
			}
		}
	}
}

// greeted dials a server with that greeting.
func greeted(t *testing.T, greeting string, limits smtpclient.Limits) error {
	t.Helper()
	script, err := smtptest.ParseScript("greeting", fmt.Sprintf("raw %q\nC: EHLO localhost\nS: 250 hi\nC: QUIT\nclose\n", greeting))
	if err != nil {
		t.Fatal(err)
	}
	srv := start(t, &smtptest.Server{Script: script})
	defer srv.Close()
	s, err := smtpclient.Dial(t.Context(), srv.Addr, &smtpclient.Options{Limits: limits})
	if err == nil {
		s.Close()
	}
	return err
}

// Of a longer line the first octets are kept, its code among them.
func TestLineBound(t *testing.T) {
	for most, kept := range map[int]int{0: 1024, 40: 40, 1500: 1500} {
		want := kept - len("550 ")
		for _, n := range []int{want, want + 1} {
			srv := start(t, &smtptest.Server{Reply: func(c smtptest.Command) string {
				if c.Verb == "RCPT" {
					return "550 " + strings.Repeat("x", n)
				}
				return ""
			}})
			s := dial(t, srv, &smtpclient.Options{Limits: smtpclient.Limits{LineBytes: most}})
			results, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(hello))
			if r := results[0].Reply; err != nil || r.Code != 550 || r.Text != strings.Repeat("x", want) || !s.Reusable() {
				t.Errorf("%d octets: %v, %d, %d kept, want %d", n, err, r.Code, len(r.Text), want)
			}
		}
	}
}

// timeouts are all different, and none is a default.
var timeouts = smtpclient.Timeouts{
	Connect: 11 * time.Second, Greeting: 12 * time.Second, Command: 13 * time.Second, Data: 14 * time.Second,
	Body: 15 * time.Second, Dot: 16 * time.Second, Reset: 17 * time.Second, Quit: 18 * time.Second,
}

// A reply that comes a moment before its time is up is taken, and one that comes a moment later isn't.
func TestReplyTimes(t *testing.T) {
	for _, set := range []smtpclient.Timeouts{{}, timeouts} {
		d := set
		if d == (smtpclient.Timeouts{}) {
			d = smtpclient.Timeouts{
				Greeting: 5 * time.Minute, Command: 5 * time.Minute, Data: 2 * time.Minute, Dot: 10 * time.Minute, Reset: 20 * time.Second,
			}
		}
		for verb, want := range map[string]struct {
			phase smtpclient.Phase
			limit time.Duration
		}{
			"CONNECT":  {smtpclient.PhaseGreeting, d.Greeting},
			"EHLO":     {smtpclient.PhaseEHLO, d.Command},
			"STARTTLS": {smtpclient.PhaseSTARTTLS, d.Command},
			"AUTH":     {smtpclient.PhaseAuth, d.Command},
			"MAIL":     {smtpclient.PhaseMail, d.Command},
			"RCPT":     {smtpclient.PhaseRcpt, d.Command},
			"DATA":     {smtpclient.PhaseData, d.Data},
			".":        {smtpclient.PhaseBody, d.Dot},
			"RSET":     {smtpclient.PhaseReset, d.Reset},
		} {
			for _, wait := range []time.Duration{want.limit - 1, want.limit} {
				t.Run(fmt.Sprint(verb, wait), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						srv := slowServer(verb, wait)
						defer srv.Close()
						o := &smtpclient.Options{Dial: srv.Dial, Ignore: []string{"PIPELINING", "CHUNKING"}, Timeouts: set, Auth: &smtpclient.Credentials{Username: "u", Password: "p"}}
						begin := time.Now()
						err := sendTwo(t, o)
						took := time.Since(begin)
						if wait < want.limit && (err != nil || took != wait) {
							t.Errorf("after %v: %v", took, err)
						}
						e, ok := errors.AsType[*smtpclient.Error](err)
						if wait == want.limit && (!ok || e.Phase != want.phase || took != want.limit || !errors.Is(e, os.ErrDeadlineExceeded)) {
							t.Errorf("after %v: %v", took, err)
						}
					})
				})
			}
		}
	}
}

// slowServer waits once before it answers verb. It refuses the first message, so that there is something to reset.
func slowServer(verb string, wait time.Duration) *smtptest.Server {
	refused, waited := false, false
	return &smtptest.Server{StartTLS: true, Users: map[string]string{"u": "p"}, Reply: func(c smtptest.Command) string {
		if c.Verb == verb && !waited {
			waited = true
			time.Sleep(wait)
		}
		if c.Verb == "RCPT" && !refused {
			refused = true
			return "450 4.2.0 not the first one"
		}
		return ""
	}}
}

// sendTwo sends two messages on one session.
func sendTwo(t *testing.T, o *smtpclient.Options) error {
	s, err := smtpclient.Dial(t.Context(), "127.0.0.1:25", o)
	if err != nil {
		return err
	}
	defer s.Close()
	for range 2 {
		if _, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(hello)); err != nil {
			return err
		}
	}
	return nil
}

// Connecting has its time, and Close.
func TestConnectAndCloseTimes(t *testing.T) {
	for limit, o := range map[time.Duration]*smtpclient.Options{
		30 * time.Second: {}, timeouts.Connect: {Timeouts: timeouts},
	} {
		for _, wait := range []time.Duration{limit - 1, limit + 1} {
			synctest.Test(t, func(t *testing.T) {
				srv := &smtptest.Server{Reply: func(c smtptest.Command) string {
					if c.Verb == "QUIT" {
						return smtptest.Stall
					}
					return ""
				}}
				defer srv.Close()
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					select {
					case <-ctx.Done():
						return nil, ctx.Err()
					case <-time.After(wait):
						return srv.Dial(ctx, network, address)
					}
				}
				begin := time.Now()
				s, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", o)
				took := time.Since(begin)
				if wait > limit {
					if e, ok := errors.AsType[*smtpclient.Error](err); !ok || e.Phase != smtpclient.PhaseConnect || took != limit {
						t.Errorf("after %v: %v", took, err)
					}
					return
				}
				if err != nil || took != wait {
					t.Fatalf("after %v: %v", took, err)
				}
				begin = time.Now()
				s.Close()
				if took, want := time.Since(begin), max(o.Timeouts.Quit, 5*time.Second); took != want {
					t.Errorf("Close took %v, want %v", took, want)
				}
			})
		}
	}
}
