package smtpclient_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

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
