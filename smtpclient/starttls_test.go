package smtpclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// The ladder of row 9, and where it ends. A server breaks the handshakes of its first connections.
func TestLadder(t *testing.T) {
	refuse := errors.New("not one of ours")
	for _, c := range []struct {
		name   string
		broken int
		o      smtpclient.Options
		rung   smtpclient.Rung // of the session or the error
		conns  int
		tls    uint16 // version of the session; 0 is plaintext
		fails  error
	}{
		{name: "no trouble", conns: 1, tls: tls.VersionTLS13},
		{name: "older", broken: 1, rung: smtpclient.OldTLS, conns: 2, tls: tls.VersionTLS12},
		{name: "none", broken: 2, rung: smtpclient.OldTLS, conns: 2, fails: smtpclient.ErrHandshake},
		{name: "plaintext", broken: 2, o: smtpclient.Options{PlaintextFallback: true}, rung: smtpclient.Plaintext, conns: 3},
		{name: "required", broken: 2, o: smtpclient.Options{PlaintextFallback: true, TLS: smtpclient.RequiredTLS}, rung: smtpclient.OldTLS, conns: 2, fails: smtpclient.ErrHandshake},
		{name: "required, older", broken: 1, o: smtpclient.Options{TLS: smtpclient.RequiredTLS}, rung: smtpclient.OldTLS, conns: 2, tls: tls.VersionTLS12},
		{name: "never older", broken: 1, o: smtpclient.Options{TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13}}, conns: 1, fails: smtpclient.ErrHandshake},
		{name: "never older, plaintext", broken: 1, o: smtpclient.Options{PlaintextFallback: true, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13}}, rung: smtpclient.Plaintext, conns: 2},
		{name: "never newer", broken: 1, o: smtpclient.Options{TLSConfig: &tls.Config{MaxVersion: tls.VersionTLS12}}, conns: 1, fails: smtpclient.ErrHandshake},
		{name: "older from the start", o: smtpclient.Options{Rung: smtpclient.OldTLS}, rung: smtpclient.OldTLS, conns: 1, tls: tls.VersionTLS12},
		{name: "plaintext from the start", o: smtpclient.Options{Rung: smtpclient.Plaintext, PlaintextFallback: true}, rung: smtpclient.Plaintext, conns: 1},
		{name: "plaintext from the start, not allowed", o: smtpclient.Options{Rung: smtpclient.Plaintext}, rung: smtpclient.OldTLS, conns: 1, tls: tls.VersionTLS12},
		{name: "refused certificate", o: smtpclient.Options{PlaintextFallback: true, TLSConfig: &tls.Config{VerifyConnection: func(tls.ConnectionState) error { return refuse }}}, conns: 1, fails: refuse},
		{name: "refused raw certificate", o: smtpclient.Options{PlaintextFallback: true, TLSConfig: &tls.Config{VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return refuse }}}, conns: 1, fails: refuse},
		{name: "certificates looked at", broken: 2, o: smtpclient.Options{PlaintextFallback: true, TLSConfig: &tls.Config{VerifyConnection: func(tls.ConnectionState) error { return nil }}}, rung: smtpclient.OldTLS, conns: 2, fails: smtpclient.ErrHandshake},
		{name: "credentials", broken: 2, o: smtpclient.Options{PlaintextFallback: true, Auth: &smtpclient.Credentials{Username: "user", AllowPlaintext: true}}, rung: smtpclient.OldTLS, conns: 2, fails: smtpclient.ErrHandshake},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := start(t, &smtptest.Server{StartTLS: true, Reply: func(cmd smtptest.Command) string {
				if cmd.Verb == "STARTTLS" && cmd.Conn <= c.broken {
					return "220 go" + smtptest.Close
				}
				return ""
			}})
			s, err := smtpclient.Dial(t.Context(), srv.Addr, &c.o)
			if total, _, _ := srv.Connections(); total != c.conns {
				t.Errorf("%d connections, want %d", total, c.conns)
			}
			if err != nil {
				e, ok := errors.AsType[*smtpclient.Error](err)
				if !ok || c.fails == nil || !errors.Is(err, c.fails) || e.Rung != c.rung || e.Phase != smtpclient.PhaseSTARTTLS {
					t.Errorf("error %v, rung %v", err, e.Rung)
				}
				return
			}
			defer s.Close()
			version := uint16(0)
			if s.TLS() != nil {
				version = s.TLS().Version
			}
			if c.fails != nil || s.Rung() != c.rung || version != c.tls {
				t.Errorf("rung %v, %s", s.Rung(), tls.VersionName(version))
			}
		})
	}
}

// What Go doesn't do by itself any more is better than plaintext, where plaintext is what is left.
func TestVeryOldTLS(t *testing.T) {
	config, _, err := smtptest.NewTLSConfig("mail.test")
	if err != nil {
		t.Fatal(err)
	}
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	srv := start(t, &smtptest.Server{StartTLS: true, TLSConfig: config})
	s, err := smtpclient.Dial(t.Context(), srv.Addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.TLS().Version != tls.VersionTLS10 || s.Rung() != smtpclient.OldTLS {
		t.Errorf("%s, rung %v", tls.VersionName(s.TLS().Version), s.Rung())
	}
	if _, err := smtpclient.Dial(t.Context(), srv.Addr, &smtpclient.Options{TLS: smtpclient.RequiredTLS}); !errors.Is(err, smtpclient.ErrHandshake) {
		t.Errorf("required: %v", err)
	}
}

// The ladder stays at the address at which it began.
func TestLadderAddress(t *testing.T) {
	srv := start(t, &smtptest.Server{StartTLS: true, Reply: func(cmd smtptest.Command) string {
		if cmd.Verb == "STARTTLS" {
			return "220 go" + smtptest.Close
		}
		return ""
	}})
	var dialled []string
	_, err := smtpclient.DialAny(t.Context(), []string{six, four}, &smtpclient.Options{PlaintextFallback: true, TLS: smtpclient.RequiredTLS, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return new(net.Dialer).DialContext(ctx, network, srv.Addr)
	}})
	if !errors.Is(err, smtpclient.ErrHandshake) || strings.Join(dialled, " ") != six+" "+six {
		t.Errorf("dialled %v: %v", dialled, err)
	}
}

// A result says how it came about.
func TestResult(t *testing.T) {
	srv := start(t, &smtptest.Server{StartTLS: true, Reply: func(c smtptest.Command) string {
		switch {
		case c.Address == "no@example.org":
			return "550 5.1.1 unknown"
		case c.Verb == ".":
			return "250 2.0.0 Ok: queued as 4XyZ1k2mNpz9rS"
		}
		return ""
	}})
	for _, c := range []struct {
		o    smtpclient.Options
		want string
	}{
		{smtpclient.Options{TLS: smtpclient.NoTLS}, "plaintext"},
		{smtpclient.Options{}, ", unverified: x509"},
		{smtpclient.Options{TLSConfig: &tls.Config{RootCAs: srv.RootCAs()}}, ", verified"},
	} {
		c.o.ServerName = "mail.test"
		s := dial(t, srv, &c.o)
		results, err := s.Send(t.Context(), envelope("yes@example.org", "no@example.org"), strings.NewReader(hello))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"4XyZ1k2mNpz9rS", ""} {
			r := results[i]
			if r.Host != "mail.test" || r.Addr != srv.Addr || r.Took <= 0 || r.QueueID != want || !strings.Contains(r.TLS.String(), c.want) {
				t.Errorf("%+v, %s", r, r.TLS)
			}
		}
	}
}
