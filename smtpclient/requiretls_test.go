package smtpclient_test

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// REQUIRETLS goes to servers that offer it and have proved who they are, by a name in a certificate or to the caller.
func TestRequireTLS(t *testing.T) {
	content := func(tls.ConnectionState) error { return nil }
	for _, c := range []struct {
		name    string
		server  *smtptest.Server
		trusted bool
		verify  func(tls.ConnectionState) error
		sent    bool
	}{
		{name: "by its name", server: &smtptest.Server{StartTLS: true, Extensions: []string{"REQUIRETLS"}}, trusted: true, sent: true},
		{name: "to the caller", server: &smtptest.Server{StartTLS: true, Extensions: []string{"REQUIRETLS"}}, verify: content, sent: true},
		{name: "not at all", server: &smtptest.Server{StartTLS: true, Extensions: []string{"REQUIRETLS"}}},
		{name: "not offered", server: &smtptest.Server{StartTLS: true}, trusted: true, verify: content},
		{name: "in plaintext", server: &smtptest.Server{Extensions: []string{"REQUIRETLS"}}, trusted: true, verify: content},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := start(t, c.server)
			config := &tls.Config{VerifyConnection: c.verify}
			if c.trusted {
				config.RootCAs = srv.RootCAs()
			}
			s := dial(t, srv, &smtpclient.Options{TLSConfig: config})
			e := envelope("one@example.org")
			e.Mail.RequireTLS = true
			results, err := s.Send(t.Context(), e, strings.NewReader(hello))
			if err != nil {
				t.Fatal(err)
			}
			if c.sent {
				if m := srv.Messages(); results[0].Err != nil || len(m) != 1 || m[0].Params != "REQUIRETLS" {
					t.Errorf("%+v, %+v", results[0], m)
				}
			} else if !errors.Is(results[0].Err, smtpclient.ErrRequireTLS) || len(srv.Messages()) > 0 {
				t.Errorf("%+v", results[0])
			}
		})
	}
}

// Each family has a name of its own, if the caller says so.
func TestLocalName6(t *testing.T) {
	for address, want := range map[string]string{four: "four.example", six: "six.example", "[::ffff:192.0.2.1]:25": "four.example"} {
		synctest.Test(t, func(t *testing.T) {
			srv := &smtptest.Server{StartTLS: true}
			defer srv.Close()
			s, err := smtpclient.Dial(t.Context(), address, &smtpclient.Options{Dial: srv.Dial, LocalName: "four.example", LocalName6: "six.example"})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(hello)); err != nil {
				t.Fatal(err)
			}
			if m := srv.Messages(); len(m) != 1 || m[0].Helo != want {
				t.Errorf("%s: %+v, want %s", address, m, want)
			}
		})
	}
}
