package smtpclient_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// Each wait has its own limit.
func TestTimeouts(t *testing.T) {
	for verb, want := range map[string]struct {
		phase smtpclient.Phase
		wait  time.Duration
	}{
		"CONNECT":  {smtpclient.PhaseGreeting, 5 * time.Minute},
		"EHLO":     {smtpclient.PhaseEHLO, 5 * time.Minute},
		"STARTTLS": {smtpclient.PhaseSTARTTLS, 5 * time.Minute},
		"AUTH":     {smtpclient.PhaseAuth, 5 * time.Minute},
		"MAIL":     {smtpclient.PhaseMail, 5 * time.Minute},
		"RCPT":     {smtpclient.PhaseRcpt, 5 * time.Minute},
		"DATA":     {smtpclient.PhaseData, 2 * time.Minute},
		"BDAT":     {smtpclient.PhaseBody, 10 * time.Minute},
		".":        {smtpclient.PhaseBody, 10 * time.Minute},
		"QUIT":     {smtpclient.PhaseQuit, 5 * time.Second},
	} {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &smtptest.Server{StartTLS: true, Users: map[string]string{"u": "p"}, Reply: func(c smtptest.Command) string {
					if c.Verb == verb {
						return smtptest.Stall
					}
					return ""
				}}
				defer srv.Close()
				var ignore []string
				if verb != "BDAT" {
					ignore = []string{"CHUNKING"}
				}
				begin := time.Now()
				phase, err := sendOne(t, srv, &smtpclient.Options{Dial: srv.Dial, Ignore: ignore, Auth: &smtpclient.Credentials{Username: "u", Password: "p"}})
				if e, ok := errors.AsType[*smtpclient.Error](err); ok {
					phase = e.Phase
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error(err)
					}
				}
				if took := time.Since(begin); phase != want.phase || took != want.wait {
					t.Errorf("%s after %v, want %s after %v", phase, took, want.phase, want.wait)
				}
			})
		})
	}
}

func sendOne(t *testing.T, srv *smtptest.Server, o *smtpclient.Options) (smtpclient.Phase, error) {
	s, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", o)
	if err != nil {
		return "", err
	}
	defer s.Close()
	_, err = s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(hello))
	return smtpclient.PhaseQuit, err
}

// Large pipelines and bodies through TLS, in a bubble, with an hour between two messages.
func TestInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begin time.Time
		srv := &smtptest.Server{StartTLS: true, Reply: func(c smtptest.Command) string {
			if c.Verb == "RCPT" && time.Since(begin) < time.Hour {
				return "450 4.7.1 greylisted, come back in an hour"
			}
			return ""
		}}
		defer srv.Close()
		begin = time.Now()
		e := envelope()
		for range 1000 {
			e.To = append(e.To, smtpclient.Recipient{Address: strings.Repeat("x", 60) + "@example.org"})
		}
		body := strings.Repeat(hello, 100_000)
		s, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", &smtpclient.Options{Dial: srv.Dial})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, code := range []int{450, 250} {
			results, err := s.Send(t.Context(), e, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				if r.Reply.Code != code {
					t.Fatalf("recipient %d: %+v", i, r)
				}
			}
			time.Sleep(time.Hour)
		}
		if m := srv.Messages(); len(m) != 1 || string(m[0].Data) != body || len(m[0].To) != 1000 || m[0].TLS == nil {
			t.Errorf("%d messages", len(m))
		}
	})
}
