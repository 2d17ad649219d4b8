package smtpclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

func TestTLS(t *testing.T) {
	for _, c := range []struct {
		name     string
		server   *smtptest.Server
		trust    bool
		o        smtpclient.Options
		wantTLS  bool
		verified bool
		fails    bool
	}{
		{name: "opportunistic", server: &smtptest.Server{StartTLS: true}, wantTLS: true},
		{name: "opportunistic, not offered"},
		{name: "opportunistic, trusted", server: &smtptest.Server{StartTLS: true}, trust: true, o: smtpclient.Options{ServerName: "mail.test."}, wantTLS: true, verified: true},
		{name: "none", server: &smtptest.Server{StartTLS: true}, o: smtpclient.Options{TLS: smtpclient.NoTLS}},
		{name: "required", server: &smtptest.Server{StartTLS: true}, o: smtpclient.Options{TLS: smtpclient.RequiredTLS}, wantTLS: true},
		{name: "required, not offered", o: smtpclient.Options{TLS: smtpclient.RequiredTLS}, fails: true},
		{name: "verified by address", server: &smtptest.Server{StartTLS: true}, trust: true, o: smtpclient.Options{TLS: smtpclient.VerifiedTLS}, wantTLS: true, verified: true},
		{name: "verified, another name", server: &smtptest.Server{StartTLS: true}, trust: true, o: smtpclient.Options{TLS: smtpclient.VerifiedTLS, ServerName: "other.test"}, fails: true},
		{name: "verified, untrusted", server: &smtptest.Server{StartTLS: true}, o: smtpclient.Options{TLS: smtpclient.VerifiedTLS}, fails: true},
		{name: "verified, whatever the config says", server: &smtptest.Server{StartTLS: true}, o: smtpclient.Options{TLS: smtpclient.VerifiedTLS, TLSConfig: &tls.Config{InsecureSkipVerify: true}}, fails: true},
		{name: "implicit", server: &smtptest.Server{Implicit: true}, o: smtpclient.Options{Implicit: true}, wantTLS: true},
		{name: "implicit, verified", server: &smtptest.Server{Implicit: true}, trust: true, o: smtpclient.Options{Implicit: true, TLS: smtpclient.VerifiedTLS}, wantTLS: true, verified: true},
		{name: "implicit, not spoken", o: smtpclient.Options{Implicit: true}, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.server == nil {
				c.server = &smtptest.Server{}
			}
			srv := start(t, c.server)
			if c.trust {
				c.o.TLSConfig = &tls.Config{RootCAs: srv.RootCAs()}
			}
			s, err := smtpclient.Dial(t.Context(), srv.Addr, &c.o)
			if c.fails {
				if e, ok := errors.AsType[*smtpclient.Error](err); !ok || e.Phase != smtpclient.PhaseSTARTTLS {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := s.TLS() != nil; got != c.wantTLS {
				t.Errorf("TLS %v", got)
			}
			if got := s.CertificateError() == nil; c.wantTLS && got != c.verified {
				t.Errorf("CertificateError() = %v", s.CertificateError())
			}
		})
	}
}

func TestDialErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, o := range []*smtpclient.Options{
		nil, // nobody listens
		{LocalName: "two words"},
		{LocalName: "a\r\nQUIT"},
		{TLS: 7},
		{TLS: smtpclient.NoTLS, Implicit: true},
	} {
		_, err := smtpclient.Dial(t.Context(), l.Addr().String(), o)
		if e, ok := errors.AsType[*smtpclient.Error](err); !ok || e.Phase != smtpclient.PhaseConnect || e.Host != "127.0.0.1" || e.Addr != l.Addr().String() {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// A dial function has Timeouts.Connect, no longer.
func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", &smtpclient.Options{
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		})
		if e, ok := errors.AsType[*smtpclient.Error](err); !ok || e.Phase != smtpclient.PhaseConnect || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}
