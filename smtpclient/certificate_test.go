package smtpclient_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A certificate that proves nothing is good enough to encrypt with, and the session says what is wrong with it. Who demands
// that it proves the name gets an error before anything was said.
func TestCertificates(t *testing.T) {
	for _, c := range []struct {
		name    string
		host    string
		later   time.Duration // how far in the future it is
		strange bool          // nobody has heard of the issuer
		want    any
	}{
		{name: "good", host: "mail.test"},
		{name: "self-signed", host: "mail.test", strange: true, want: new(x509.UnknownAuthorityError)},
		{name: "wrong name", host: "mx.example.org", want: new(x509.HostnameError)},
		{name: "expired", host: "mail.test", later: 2 * 366 * 24 * time.Hour, want: new(x509.CertificateInvalidError)},
		{name: "not valid yet", host: "mail.test", later: -2 * time.Hour, want: new(x509.CertificateInvalidError)},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := start(t, &smtptest.Server{StartTLS: true})
			config := &tls.Config{RootCAs: srv.RootCAs(), Time: func() time.Time { return time.Now().Add(c.later) }}
			if c.strange {
				config.RootCAs = x509.NewCertPool()
			}
			for _, demand := range []smtpclient.TLS{smtpclient.Opportunistic, smtpclient.RequiredTLS} {
				s := dial(t, srv, &smtpclient.Options{ServerName: c.host, TLS: demand, TLSConfig: config})
				results, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(hello))
				if err != nil || results[0].Err != nil || s.TLS() == nil {
					t.Errorf("not sent: %v", err)
				}
				if got := s.CertificateError(); c.want == nil && got != nil || c.want != nil && !errors.As(got, c.want) {
					t.Errorf("CertificateError() = %v", got)
				}
			}
			s, err := smtpclient.Dial(t.Context(), srv.Addr, &smtpclient.Options{ServerName: c.host, TLS: smtpclient.VerifiedTLS, TLSConfig: config})
			if c.want == nil {
				if err != nil || s.Close() != nil {
					t.Error(err)
				}
				return
			}
			if e, ok := errors.AsType[*smtpclient.Error](err); !ok || e.Phase != smtpclient.PhaseSTARTTLS || e.Code != 0 || !errors.As(err, c.want) {
				t.Errorf("error %v", err)
			}
			for _, m := range srv.Messages() {
				if m.TLS == nil {
					t.Error("sent in plaintext")
				}
			}
		})
	}
}
