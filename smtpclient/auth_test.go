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
	"time"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// login dials srv with credentials, and returns the mechanism that was used.
func login(t *testing.T, srv *smtptest.Server, auth *smtpclient.Credentials) (mechanism string, err error) {
	t.Helper()
	srv.StartTLS = true
	start(t, srv)
	s, err := smtpclient.Dial(t.Context(), srv.Addr, &smtpclient.Options{Auth: auth})
	var trace string
	if e, ok := errors.AsType[*smtpclient.Error](err); ok {
		trace = e.Transcript
	} else {
		trace = s.Transcript()
		defer s.Close()
		if _, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(hello)); err != nil {
			t.Fatal(err)
		}
		if m := srv.Messages(); len(m) != 1 || m[0].User != auth.Username {
			t.Errorf("messages: %+v", m)
		}
	}
	if strings.Count(trace, "\nS: 334 ") != strings.Count(trace, "\nS: 334 ***\n") {
		t.Errorf("a challenge shows: %s", trace)
	}
	_, rest, _ := strings.Cut(trace, "C: AUTH ")
	mechanism, _, _ = strings.Cut(strings.TrimSpace(rest[:strings.IndexByte(rest+"\n", '\n')]), " ")
	return mechanism, err
}

// The strongest mechanism that both sides have is used.
func TestMechanisms(t *testing.T) {
	const all = "LOGIN PLAIN XOAUTH2 OAUTHBEARER SCRAM-SHA-256 SCRAM-SHA-256-PLUS"
	password := smtpclient.Credentials{Username: "user", Password: "pass"}
	token := smtpclient.Credentials{Username: "user", Token: func(context.Context) (string, error) { return "pass", nil }}
	both := token
	both.Password = "pass"
	for _, c := range []struct {
		name    string
		offer   string
		auth    smtpclient.Credentials
		allowed []string
		version uint16 // of TLS, at most
		want    string
	}{
		{name: "all", offer: all, auth: password, want: "SCRAM-SHA-256-PLUS"},
		{name: "all, TLS 1.2", offer: all, auth: password, version: tls.VersionTLS12, want: "SCRAM-SHA-256-PLUS"},
		{name: "no binding", offer: "LOGIN PLAIN SCRAM-SHA-256", auth: password, want: "SCRAM-SHA-256"},
		{name: "binding not allowed", offer: all, auth: password, allowed: []string{"SCRAM-SHA-256", "PLAIN"}, want: "SCRAM-SHA-256"},
		{name: "plain", offer: "LOGIN PLAIN", auth: password, want: "PLAIN"},
		{name: "plain, not tokens", offer: "LOGIN PLAIN OAUTHBEARER", auth: password, want: "PLAIN"},
		{name: "login", offer: "CRAM-MD5 LOGIN", auth: password, want: "LOGIN"},
		{name: "in the caller's order", offer: all, auth: password, allowed: []string{"LOGIN", "PLAIN"}, want: "LOGIN"},
		{name: "token", offer: all, auth: token, want: "OAUTHBEARER"},
		{name: "token, not plain", offer: "PLAIN LOGIN XOAUTH2", auth: token, want: "XOAUTH2"},
		{name: "token and password", offer: "PLAIN LOGIN XOAUTH2", auth: both, want: "XOAUTH2"},
		{name: "password and token", offer: all, auth: both, want: "SCRAM-SHA-256-PLUS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := &smtptest.Server{Users: map[string]string{"user": "pass"}, Mechanisms: strings.Fields(c.offer)}
			if c.version != 0 {
				config, _, err := smtptest.NewTLSConfig("mail.test")
				if err != nil {
					t.Fatal(err)
				}
				config.MaxVersion = c.version
				srv.TLSConfig = config
			}
			c.auth.Mechanisms = c.allowed
			got, err := login(t, srv, &c.auth)
			if err != nil || got != c.want {
				t.Errorf("%s, want %s: %v", got, c.want, err)
			}
		})
	}
}

// What a server says against a login is an error of this phase, and no weaker mechanism is tried.
func TestLoginRefused(t *testing.T) {
	for _, m := range []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"} {
		for _, reply := range []string{"", "454 4.7.0 later", "534 5.7.9 too weak", "421 4.7.0 bye"} {
			srv := &smtptest.Server{Users: map[string]string{"user": "pass"}, Mechanisms: []string{m, "LOGIN"}, Reply: func(c smtptest.Command) string {
				if c.Verb == "AUTH" {
					return reply
				}
				return ""
			}}
			auth := &smtpclient.Credentials{Username: "user", Password: "wrong"}
			if strings.Contains(m, "OAUTH") {
				auth.Token, auth.Password = func(context.Context) (string, error) { return "wrong", nil }, ""
			}
			used, err := login(t, srv, auth)
			e, ok := errors.AsType[*smtpclient.Error](err)
			if !ok || e.Phase != smtpclient.PhaseAuth || !strings.HasPrefix(cmp.Or(reply, "535 5.7.8 no"), e.Reply.String()) || used != m {
				t.Errorf("%s %q: %s, %v", m, reply, used, err)
			}
		}
	}
}

// A server that takes any password doesn't get away with it under SCRAM.
func TestServerProof(t *testing.T) {
	for _, m := range []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"} {
		srv := &smtptest.Server{Users: map[string]string{"user": "other"}, Mechanisms: []string{m}, Reply: func(c smtptest.Command) string {
			if c.Verb == "AUTH" {
				return "235 2.7.0 you are whoever you say"
			}
			return ""
		}}
		_, err := login(t, srv, &smtpclient.Credentials{Username: "user", Password: "pass"})
		if !errors.Is(err, smtpclient.ErrUnproven) {
			t.Errorf("%s: %v", m, err)
		}
	}
}

// Somebody in between who takes PLUS out of the offer is noticed by the server.
func TestBindingStripped(t *testing.T) {
	srv := &smtptest.Server{Users: map[string]string{"user": "pass"}, Mechanisms: []string{"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}}
	srv.Reply = func(c smtptest.Command) string {
		if c.Verb == "EHLO" && c.Message.TLS != nil {
			return "250-hi\r\n250 AUTH SCRAM-SHA-256"
		}
		return ""
	}
	_, err := login(t, srv, &smtpclient.Credentials{Username: "user", Password: "pass"})
	if e, ok := errors.AsType[*smtpclient.Error](err); !ok || e.Code != 535 {
		t.Errorf("error %v", err)
	}
}

func TestNoMechanism(t *testing.T) {
	users := map[string]string{"user": "pass"}
	token := func(context.Context) (string, error) { return "pass", nil }
	for _, c := range []struct {
		ehlo string // instead of the server's own
		auth smtpclient.Credentials
		want error
	}{
		{"AUTH CRAM-MD5", smtpclient.Credentials{Username: "user", Password: "pass"}, smtpclient.ErrNoAuth},
		{"AUTH XOAUTH2", smtpclient.Credentials{Username: "user", Password: "pass"}, smtpclient.ErrNoAuth},
		{"AUTH PLAIN", smtpclient.Credentials{Username: "user", Token: token}, smtpclient.ErrNoAuth},
		{"AUTH PLAIN", smtpclient.Credentials{Username: "user", Password: "pass", Mechanisms: []string{"SCRAM-SHA-256"}}, smtpclient.ErrNoAuth},
		{"SIZE", smtpclient.Credentials{Username: "user", Password: "pass"}, smtpclient.ErrNoAuth},
		{"AUTH=LOGIN", smtpclient.Credentials{Username: "user", Password: "pass"}, nil},
	} {
		srv := &smtptest.Server{Users: users, Reply: func(cmd smtptest.Command) string {
			if cmd.Verb == "EHLO" && cmd.Message.TLS != nil {
				return "250-hi\r\n250 " + c.ehlo
			}
			return ""
		}}
		if _, err := login(t, srv, &c.auth); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.ehlo, err)
		}
	}
}

// Tokens are asked for when they are needed, and not forever.
func TestTokenSource(t *testing.T) {
	broken := errors.New("no token today")
	for _, c := range []struct {
		token string
		err   error
		want  string
	}{
		{"", broken, "no token today"},
		{"", nil, "empty"},
		{"a\x01b", nil, "control character"},
	} {
		srv := &smtptest.Server{Users: map[string]string{"user": "pass"}, Mechanisms: []string{"XOAUTH2"}}
		_, err := login(t, srv, &smtpclient.Credentials{Username: "user", Token: func(context.Context) (string, error) { return c.token, c.err }})
		if e, ok := errors.AsType[*smtpclient.Error](err); !ok || e.Phase != smtpclient.PhaseAuth || !strings.Contains(e.Error(), c.want) || c.err != nil && !errors.Is(e, c.err) {
			t.Errorf("%q, %v: %v", c.token, c.err, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		srv := &smtptest.Server{StartTLS: true, Users: map[string]string{"user": "pass"}, Mechanisms: []string{"XOAUTH2"}}
		defer srv.Close()
		begin := time.Now()
		_, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", &smtpclient.Options{
			Dial: srv.Dial, Timeouts: smtpclient.Timeouts{Command: time.Minute},
			Auth: &smtpclient.Credentials{Username: "user", Token: func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}},
		})
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// Long tokens don't fit into the command (RFC 4954, section 4), and go after it.
func TestLongToken(t *testing.T) {
	// What is around the token has 24 octets, and "AUTH XOAUTH2 " with CRLF 15. 372 octets are 496 as base64; one more makes 500.
	for _, c := range []struct {
		size       int
		challenged bool
	}{{300, false}, {348, false}, {349, true}, {4000, true}} {
		token := strings.Repeat("x", c.size)
		srv := &smtptest.Server{Users: map[string]string{"user": token}, Mechanisms: []string{"XOAUTH2"}}
		var asked bool
		srv.Reply = func(cmd smtptest.Command) string {
			if cmd.Verb == "AUTH" {
				asked = !strings.Contains(cmd.Arg, " ")
				if n := len("AUTH " + cmd.Arg + "\r\n"); n > 512 {
					t.Errorf("a command of %d octets", n)
				}
			}
			return ""
		}
		_, err := login(t, srv, &smtpclient.Credentials{Username: "user", Token: func(context.Context) (string, error) { return token, nil }})
		if err != nil || asked != c.challenged {
			t.Errorf("%d octets: asked %v: %v", c.size, asked, err)
		}
	}
}

// A server may repeat what it doesn't understand. Nobody else gets to see it.
func TestSecretsMasked(t *testing.T) {
	for _, m := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256", "XOAUTH2"} {
		for _, password := range []string{"open sesame", strings.Repeat("open sesame ", 25), strings.Repeat("open sesame ", 150)} {
			for _, repeat := range []string{`500 5.5.1 Command unrecognized: "%s"`, "535-%s\r\n535 no", "%s", "%s" + smtptest.Close, "535 %p isn't the password of user"} {
				said := map[string]string{"PLAIN": "\x00user\x00" + password, "LOGIN": password, "XOAUTH2": "user=user\x01auth=Bearer " + password + "\x01\x01"}[m]
				srv := &smtptest.Server{Users: map[string]string{"user": "other"}, Mechanisms: []string{m}}
				srv.Reply = func(cmd smtptest.Command) string {
					if cmd.Verb != "AUTH" {
						return ""
					}
					return strings.NewReplacer("%s", encode(said), "%p", password).Replace(repeat) + smtptest.Close
				}
				auth := &smtpclient.Credentials{Username: "user", Password: password}
				if m == "XOAUTH2" {
					auth.Password, auth.Token = "", func(context.Context) (string, error) { return password, nil }
				}
				_, err := login(t, srv, auth)
				e, ok := errors.AsType[*smtpclient.Error](err)
				if !ok {
					t.Fatal(err)
				}
				for _, text := range []string{e.Error(), e.Text, e.Transcript} {
					if strings.Contains(text, "open sesame") || said != "" && strings.Contains(text, encode(said)[8:16]) {
						t.Errorf("%s shows the secret in %q", m, text)
					}
				}
			}
		}
	}
}

// Credentials go over plaintext to a loopback address only, or if told so.
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
		for _, m := range []string{"PLAIN", "SCRAM-SHA-256"} {
			srv := start(t, &smtptest.Server{Users: map[string]string{"user": "pass"}, Mechanisms: []string{m}})
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
				t.Errorf("%s, %+v: %v", m, c, err)
			}
			if err == nil {
				s.Close()
			}
		}
	}
}

// remoteConn says that it comes from far away.
type remoteConn struct{ net.Conn }

func (remoteConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }
