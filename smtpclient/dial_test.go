package smtpclient_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

func TestAuth(t *testing.T) {
	users := map[string]string{"user": "pass"}
	good := smtpclient.Credentials{Username: "user", Password: "pass"}
	for _, c := range []struct {
		name    string
		extra   []string // instead of the server's own AUTH
		auth    smtpclient.Credentials
		code    int
		wantErr error
	}{
		{name: "plain", auth: good},
		{name: "login", extra: []string{"AUTH LOGIN CRAM-MD5"}, auth: good},
		{name: "old style", extra: []string{"AUTH=LOGIN"}, auth: good},
		{name: "wrong", auth: smtpclient.Credentials{Username: "user", Password: "no"}, code: 535},
		{name: "none known", extra: []string{"AUTH CRAM-MD5"}, auth: good, wantErr: smtpclient.ErrNoAuth},
		{name: "none", extra: []string{"SIZE"}, auth: good, wantErr: smtpclient.ErrNoAuth},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := start(t, &smtptest.Server{StartTLS: true, Users: users, Reply: func(cmd smtptest.Command) string {
				if cmd.Verb == "EHLO" && cmd.Message.TLS != nil && c.extra != nil {
					return "250-hi\r\n250 " + c.extra[0]
				}
				return ""
			}})
			s, err := smtpclient.Dial(t.Context(), srv.Addr, &smtpclient.Options{Auth: &c.auth})
			if c.code == 0 && c.wantErr == nil {
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if _, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(hello)); err != nil {
					t.Fatal(err)
				}
				if m := srv.Messages(); len(m) != 1 || m[0].User != "user" {
					t.Errorf("messages: %+v", m)
				}
				return
			}
			e, ok := errors.AsType[*smtpclient.Error](err)
			if !ok || e.Phase != smtpclient.PhaseAuth || e.Code != c.code || c.wantErr != nil && !errors.Is(e, c.wantErr) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A password goes over plaintext to a loopback address only, or if told so.
func TestPlaintextAuth(t *testing.T) {
	for _, c := range []struct {
		allow  bool
		addr   string // what is dialled; "" is the server's own
		remote bool   // the connection is to elsewhere
		want   error
	}{
		{},
		{remote: true, want: smtpclient.ErrPlaintextAuth},
		{addr: "192.0.2.1:25", want: smtpclient.ErrPlaintextAuth}, // a proxy on loopback
		{addr: "192.0.2.1:25", remote: true, allow: true},
	} {
		srv := start(t, &smtptest.Server{Users: map[string]string{"user": "pass"}})
		s, err := smtpclient.Dial(t.Context(), cmp.Or(c.addr, srv.Addr), &smtpclient.Options{
			Auth: &smtpclient.Credentials{Username: "user", Password: "pass", AllowPlaintext: c.allow},
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, srv.Addr)
				if c.remote {
					conn = remoteConn{conn}
				}
				return conn, err
			},
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil {
			s.Close()
		}
	}
}

// remoteConn says that it comes from far away.
type remoteConn struct{ net.Conn }

func (remoteConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }

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
