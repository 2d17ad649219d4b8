package smtpclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

func start(t *testing.T, s *smtptest.Server) *smtptest.Server {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func dial(t *testing.T, s *smtptest.Server, o *smtpclient.Options) *smtpclient.Session {
	t.Helper()
	session, err := smtpclient.Dial(t.Context(), s.Addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

func envelope(to ...string) *smtpclient.Envelope {
	e := &smtpclient.Envelope{From: "sender@example.com"}
	for _, a := range to {
		e.To = append(e.To, smtpclient.Recipient{Address: a})
	}
	return e
}

const hello = "Subject: hello\r\n\r\nHello.\r\n"

func TestSendEverything(t *testing.T) {
	srv := start(t, &smtptest.Server{StartTLS: true, Extensions: []string{
		"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "REQUIRETLS", "MT-PRIORITY MIXER", "DELIVERBY",
	}})
	s := dial(t, srv, &smtpclient.Options{
		LocalName: "client.example.com", ServerName: "mail.test", TLS: smtpclient.VerifiedTLS,
		TLSConfig: &tls.Config{RootCAs: srv.RootCAs()},
	})
	e := envelope("one@example.org", "jürgen@example.org", `"quo\"ted"@[127.0.0.1]`, "postmaster")
	e.Mail = smtp.MailOptions{Body: smtp.Body8BitMIME, Size: 26, Return: smtp.DSNReturnHeaders, EnvelopeID: "a b+c=", RequireTLS: true}
	e.Priority, e.DeliverBy = -4, &smtp.DeliverByOptions{Time: time.Hour, Mode: smtp.DeliverByNotify, Trace: true}
	e.To[0].Rcpt = smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifySuccess, smtp.DSNNotifyDelayed}, OriginalRecipient: "o+ne@example.org"}
	e.To[1].Rcpt = smtp.RcptOptions{OriginalRecipient: "jürgen@example.org"}
	results, err := s.Send(t.Context(), e, strings.NewReader(".dots\r\n..\r\n.\r\nno end"))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil || r.Phase != smtpclient.PhaseBody || r.Reply.Code != 250 {
			t.Errorf("%s: %+v", e.To[i].Address, r)
		}
	}
	messages := srv.Messages()
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	m := messages[0]
	if m.Helo != "client.example.com" || m.TLS == nil || s.TLS() == nil || s.CertificateError() != nil {
		t.Errorf("helo %q, TLS %v", m.Helo, m.TLS != nil)
	}
	if want := "SIZE=26 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=a+20b+2Bc+3D MT-PRIORITY=-4 BY=3600;NT"; m.Params != want {
		t.Errorf("MAIL %q, want %q", m.Params, want)
	}
	for i, want := range []string{
		"NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+2Bne@example.org",
		`ORCPT=utf-8;j\x{FC}rgen@example.org`, "", "",
	} {
		if m.To[i].Address != e.To[i].Address || m.To[i].Params != want {
			t.Errorf("RCPT %+v, want %q", m.To[i], want)
		}
	}
	if want := ".dots\r\n..\r\n.\r\nno end\r\n"; string(m.Data) != want {
		t.Errorf("data %q, want %q", m.Data, want)
	}
}

// Many recipients and messages, more than one pipeline takes, on one session.
func TestSendMany(t *testing.T) {
	refuse := func(c smtptest.Command) string {
		if c.Verb == "RCPT" && strings.HasPrefix(c.Address, "no") {
			return "550 5.1.1 unknown"
		}
		return ""
	}
	for _, c := range []struct {
		extensions, ignore []string
	}{{nil, nil}, {nil, []string{"pipelining"}}, {[]string{}, nil}} {
		srv := start(t, &smtptest.Server{Reply: refuse, Extensions: c.extensions})
		s := dial(t, srv, &smtpclient.Options{Ignore: c.ignore})
		e := envelope()
		for i := range 350 {
			local := "user"
			if i%7 == 0 {
				local = "no"
			}
			e.To = append(e.To, smtpclient.Recipient{Address: fmt.Sprintf("%s%d@example.org", local, i)})
		}
		for range 3 {
			results, err := s.Send(t.Context(), e, strings.NewReader(hello))
			if err != nil || !s.Reusable() {
				t.Fatal(err)
			}
			for i, r := range results {
				if refused := r.Err != nil; refused != (i%7 == 0) {
					t.Fatalf("recipient %d: %+v", i, r)
				}
			}
		}
		if m := srv.Messages(); len(m) != 3 || len(m[2].To) != 300 {
			t.Errorf("%d messages", len(m))
		}
		if total, _, _ := srv.Connections(); total != 1 {
			t.Errorf("%d connections", total)
		}
	}
}

// However many recipients there are, no more is sent before answers are read than fits into any buffer on the way.
func TestPipelineBound(t *testing.T) {
	srv := start(t, &smtptest.Server{})
	var conn *countingConn
	s := dial(t, srv, &smtpclient.Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		inner, err := new(net.Dialer).DialContext(ctx, network, address)
		conn = &countingConn{Conn: inner}
		return conn, err
	}})
	e := envelope()
	for range 1000 {
		e.To = append(e.To, smtpclient.Recipient{Address: strings.Repeat("x", 200) + "@example.org"})
	}
	if _, err := s.Send(t.Context(), e, strings.NewReader(hello)); err != nil {
		t.Fatal(err)
	}
	if conn.ahead > 16<<10 {
		t.Errorf("%d octets sent ahead", conn.ahead)
	}
}

type countingConn struct {
	net.Conn
	unheard int // octets written since the last read
	ahead   int // the most there were
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.unheard += len(p)
	c.ahead = max(c.ahead, c.unheard)
	return c.Conn.Write(p)
}

func (c *countingConn) Read(p []byte) (int, error) {
	c.unheard = 0
	return c.Conn.Read(p)
}

// What can't be sent is refused here, as narrowly as possible, and the session stays good.
func TestDecidedHere(t *testing.T) {
	syntax := new(*smtpclient.SyntaxError)
	for _, c := range []struct {
		name   string
		change func(*smtpclient.Envelope)
		phase  smtpclient.Phase
		code   int
		reason any
	}{
		{"size", func(e *smtpclient.Envelope) { e.Mail.Size = 1001 }, smtpclient.PhaseMail, 552, smtpclient.ErrTooLarge},
		{"utf8 header", func(e *smtpclient.Envelope) { e.Mail.UTF8 = true }, smtpclient.PhaseMail, 553, smtpclient.ErrNoUTF8},
		{"utf8 sender", func(e *smtpclient.Envelope) { e.From = "ü@example.com" }, smtpclient.PhaseMail, 553, smtpclient.ErrNoUTF8},
		{"binary", func(e *smtpclient.Envelope) { e.Mail.Body = smtp.BodyBinaryMIME }, smtpclient.PhaseMail, 554, smtpclient.ErrNoBinary},
		{"requiretls", func(e *smtpclient.Envelope) { e.Mail.RequireTLS = true }, smtpclient.PhaseMail, 550, smtpclient.ErrRequireTLS},
		{"sender", func(e *smtpclient.Envelope) { e.From = "a b@example.com" }, smtpclient.PhaseMail, 553, syntax},
		{"ret", func(e *smtpclient.Envelope) { e.Mail.Return = "FULL\r\nQUIT" }, smtpclient.PhaseMail, 501, syntax},
		{"priority", func(e *smtpclient.Envelope) { e.Priority = 10 }, smtpclient.PhaseMail, 501, syntax},
		{"deliver by", func(e *smtpclient.Envelope) { e.DeliverBy = &smtp.DeliverByOptions{} }, smtpclient.PhaseMail, 501, syntax},
		{"envid", func(e *smtpclient.Envelope) { e.Mail.EnvelopeID = strings.Repeat("x", 101) }, smtpclient.PhaseMail, 501, syntax},
		{"recipient", func(e *smtpclient.Envelope) { e.To[0].Address = "a@example.com> NOTIFY=NEVER" }, smtpclient.PhaseRcpt, 553, syntax},
		{"utf8 recipient", func(e *smtpclient.Envelope) { e.To[0].Address = "ü@example.org" }, smtpclient.PhaseRcpt, 553, smtpclient.ErrNoUTF8},
		{"notify", func(e *smtpclient.Envelope) { e.To[0].Rcpt.Notify = []smtp.DSNNotify{"NEVER", "SUCCESS"} }, smtpclient.PhaseRcpt, 501, syntax},
		{"orcpt", func(e *smtpclient.Envelope) {
			e.To[0].Rcpt = smtp.RcptOptions{OriginalRecipient: "x", OriginalRecipientType: "a b"}
		}, smtpclient.PhaseRcpt, 501, syntax},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := start(t, &smtptest.Server{Extensions: []string{"SIZE 1000", "DSN", "PIPELINING", "MT-PRIORITY", "DELIVERBY"}})
			s := dial(t, srv, nil)
			e := envelope("one@example.org", "two@example.org")
			c.change(e)
			results, err := s.Send(t.Context(), e, strings.NewReader(hello))
			if err != nil || !s.Reusable() {
				t.Fatal("the session is lost:", err)
			}
			r := results[0]
			if r.Err == nil || r.Phase != c.phase || r.Reply.Code != c.code || !strings.Contains(r.Reply.Text, "decided by the client") {
				t.Errorf("got %+v", r)
			}
			if target, ok := c.reason.(error); ok && !errors.Is(r.Err, target) || !ok && !errors.As(r.Err, c.reason) {
				t.Errorf("reason %v", r.Err.Err)
			}
			want := 0
			if c.phase == smtpclient.PhaseRcpt {
				want = 1
				if results[1].Err != nil {
					t.Errorf("the neighbour: %+v", results[1])
				}
			}
			if m := srv.Messages(); len(m) != want || want == 1 && len(m[0].To) != 1 {
				t.Errorf("messages: %+v", m)
			}
		})
	}
}

// A result says whether the server was told what to report.
func TestDSNIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		extensions []string
		refuses    string // the command that has DSN parameters
		want       bool
	}{
		"offered":      {[]string{"DSN", "PIPELINING"}, "", true},
		"not offered":  {[]string{"PIPELINING"}, "", false},
		"RCPT refused": {[]string{"DSN"}, "RCPT", false},
		"MAIL refused": {[]string{"DSN"}, "MAIL", false},
	} {
		t.Run(name, func(t *testing.T) {
			srv := start(t, &smtptest.Server{Extensions: c.extensions, Reply: func(cmd smtptest.Command) string {
				if cmd.Verb == c.refuses && strings.Contains(cmd.Arg, "=") {
					return "555 5.5.4 what?"
				}
				return ""
			}})
			e := envelope("one@example.org")
			e.Mail.Return, e.To[0].Rcpt.Notify = smtp.DSNReturnFull, []smtp.DSNNotify{smtp.DSNNotifySuccess}
			results, err := dial(t, srv, nil).Send(t.Context(), e, strings.NewReader(hello))
			if err != nil || results[0].Err != nil || results[0].DSN != c.want {
				t.Errorf("%+v, %v", results[0], err)
			}
		})
	}
}

// Half a message is never finished.
func TestBodyFails(t *testing.T) {
	srv := start(t, &smtptest.Server{Reply: func(c smtptest.Command) string {
		if c.Address == "no@example.org" {
			return "550 5.1.1 unknown"
		}
		return ""
	}})
	broken := errors.New("disk on fire")
	for _, c := range []struct {
		size   int
		ignore string
		asked  bool // whether the recipients were, before the body failed
	}{
		{0, "CHUNKING", true}, {10, "CHUNKING", true}, {100_000, "CHUNKING", true},
		{0, "", false}, {10, "", false}, {100_000, "", true},
	} {
		s := dial(t, srv, &smtpclient.Options{Ignore: []string{c.ignore}})
		body := io.MultiReader(strings.NewReader(strings.Repeat("x\r\n", c.size)), iotest.ErrReader(broken))
		results, err := s.Send(t.Context(), envelope("one@example.org", "no@example.org"), body)
		if !errors.Is(err, broken) || s.Reusable() {
			t.Errorf("error %v", err)
		}
		if e := results[0].Err; !errors.Is(e, broken) || e.Code != 0 || e.Uncertain || e.Phase != smtpclient.PhaseBody {
			t.Errorf("accepted recipient: %+v", e)
		}
		if e := results[1].Err; c.asked && e.Code != 550 || !c.asked && !errors.Is(e, broken) {
			t.Errorf("refused recipient: %+v", e)
		}
	}
	srv.Close()
	if m := srv.Messages(); len(m) != 0 {
		t.Errorf("the server has taken %d messages", len(m))
	}
}

// A context ends every wait at once, and leaves doubt after the end of the data.
func TestContext(t *testing.T) {
	for _, c := range []struct {
		verb, ignore string
		uncertain    bool
	}{
		{"CONNECT", "", false}, {"EHLO", "", false}, {"MAIL", "", true}, {"RCPT", "", true}, {"BDAT", "", true}, {".", "", true},
		{"MAIL", "CHUNKING", false}, {"RCPT", "CHUNKING", false}, {"DATA", "CHUNKING", false}, {".", "CHUNKING", true},
	} {
		t.Run(c.verb+" without "+c.ignore, func(t *testing.T) {
			verb := c.verb
			ctx, cancel := context.WithCancelCause(t.Context())
			cause := errors.New("time is up")
			srv := start(t, &smtptest.Server{Reply: func(c smtptest.Command) string {
				if c.Verb == verb {
					cancel(cause)
					return smtptest.Stall
				}
				return ""
			}})
			s, err := smtpclient.Dial(ctx, srv.Addr, &smtpclient.Options{Ignore: []string{c.ignore}})
			if s != nil {
				var results []smtpclient.Result
				results, err = s.Send(ctx, envelope("one@example.org"), strings.NewReader(hello))
				if e := results[0].Err; e == nil || e.Uncertain != c.uncertain || e.Stale {
					t.Errorf("%+v", e)
				}
				if s.Reusable() {
					t.Error("reusable")
				}
			}
			if e, ok := errors.AsType[*smtpclient.Error](err); !ok || !errors.Is(e, cause) || e.Code != 0 {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestContextDuringBody(t *testing.T) {
	srv := start(t, &smtptest.Server{})
	s := dial(t, srv, nil)
	ctx, cancel := context.WithCancel(t.Context())
	body := io.MultiReader(strings.NewReader(hello), readerFunc(func(p []byte) (int, error) {
		cancel()
		return copy(p, strings.Repeat("x\r\n", 1000)), nil
	}))
	results, err := s.Send(ctx, envelope("one@example.org"), body)
	if e := results[0].Err; !errors.Is(err, context.Canceled) || e == nil || e.Uncertain {
		t.Errorf("%v, %+v", err, e)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A session that is over says so, to every recipient.
func TestSessionOver(t *testing.T) {
	srv := start(t, &smtptest.Server{Reply: func(c smtptest.Command) string {
		if c.Verb == "." {
			return smtptest.Close
		}
		return ""
	}})
	s := dial(t, srv, nil)
	for i := range 2 {
		results, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(hello))
		if err == nil || results[0].Err == nil {
			t.Errorf("send %d: %v", i, results)
		}
		if e := results[0].Err; i == 1 && e.Uncertain {
			t.Error("nothing was sent the second time")
		}
	}
	s.Close()
	if _, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(hello)); !errors.Is(err, smtpclient.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// Close takes no longer than Timeouts.Quit, whatever the server does, with TLS or without.
func TestCloseBound(t *testing.T) {
	const greet = "S: 220 hi\nC: *\nS: 250-hi\nS: 250 "
	config, _, err := smtptest.NewTLSConfig("mx.example.org")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		greet + "SIZE\nC: QUIT\nstall",
		greet + "SIZE\nsleep 1h",
		// The end of TLS is one more thing to write, to somebody who doesn't read any more.
		greet + "STARTTLS\nC: STARTTLS\nS: 220 go\ntls\nC: *\nS: 250 hi\nC: QUIT\nsleep 3s\nS: 221 bye\nsleep 1h",
	} {
		synctest.Test(t, func(t *testing.T) {
			script, err := smtptest.ParseScript("close", text)
			if err != nil {
				t.Fatal(err)
			}
			client, server := net.Pipe()
			played := make(chan error, 1)
			go func() { played <- script.Play(server, config) }()
			s, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", &smtpclient.Options{
				Dial: func(context.Context, string, string) (net.Conn, error) { return client, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now() // the bubble's
			s.Close()
			s.Close()
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if err := <-played; err != nil {
				t.Error(err)
			}
		})
	}
}
