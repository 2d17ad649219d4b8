//go:build linux

package smtpclient_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/postroad/postroad/smtpclient"
)

// TestInterop sends to servers that others have written, in every way that they offer. What is in the mailboxes afterwards
// is what was sent, octet for octet, below what the server has put on top.
func TestInterop(t *testing.T) {
	signer := newDKIMSigner(t)
	letters := []letter{
		{name: "odd lines", to: users[:1], text: oddLines},
		{name: "no line end", to: users[:1], text: strings.TrimSuffix(oddLines, "\r\n")},
		{name: "signed", to: users[:1], text: signer.sign(t, oddLines)},
		{name: "14 recipients", to: mixed(users[:mostRecipients], strangers), text: oddLines},
		{name: "20 recipients", to: mixed(users, strangers), text: oddLines}, // in two transactions
		{name: "strangers", to: strangers[:3], text: oddLines},
		{name: "Unicode", to: []string{users[0], unicodeUser}, text: strings.Replace(oddLines, "Subject: ", "Subject: Grüße, ", 1)},
		{name: "25 MB", to: users[1:2], text: long(25 << 20), large: true},
	}
	for _, start := range []func(*testing.T) *mailServer{startPostfix, startExim, startOpenSMTPD, startGoSMTP, startGoLMTP} {
		t.Run(functionName(start), func(t *testing.T) {
			srv := start(t)
			for _, m := range manners {
				t.Run(m.name, func(t *testing.T) {
					s := srv.dial(t, m)
					for _, l := range letters {
						if l.large && !m.large {
							continue
						}
						srv.deliver(t, s, l)
						if !s.Reusable() {
							s.Close()
							s = srv.dial(t, m)
							continue
						}
						chunked := srv.offer("CHUNKING") && !slices.Contains(m.o.Ignore, "CHUNKING")
						if said := strings.Contains(s.Transcript(), "C: BDAT"); said != chunked {
							t.Errorf("%s: chunked: %v", l.name, said)
						}
						if l.name == "signed" {
							signer.verify(t, srv.taken)
						}
					}
					if err := s.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
			}
			t.Run("stream", srv.stream)
			t.Run("wrong password", srv.wrongPassword)
			for _, address := range append(slices.Clone(users), unicodeUser) {
				if _, more := srv.boxes.take(address); more {
					t.Errorf("%s has one message more", address)
				}
			}
		})
	}
}

// manner is a way to speak to a server.
type manner struct {
	name  string
	o     smtpclient.Options
	login string // the mechanism
	large bool   // 25 MB go this way, too
}

var manners = []manner{
	{name: "plaintext", o: smtpclient.Options{TLS: smtpclient.NoTLS}, large: true},
	{name: "not chunked", o: smtpclient.Options{TLS: smtpclient.NoTLS, Ignore: []string{"CHUNKING"}}, large: true},
	{name: "not pipelined", o: smtpclient.Options{TLS: smtpclient.NoTLS, Ignore: []string{"PIPELINING"}}, large: true},
	{name: "one by one", o: smtpclient.Options{TLS: smtpclient.NoTLS, Ignore: []string{"PIPELINING", "CHUNKING"}}},
	{name: "opportunistic", o: smtpclient.Options{PlaintextFallback: true}},
	{name: "STARTTLS", o: smtpclient.Options{TLS: smtpclient.VerifiedTLS}, large: true},
	{name: "STARTTLS, not chunked", o: smtpclient.Options{TLS: smtpclient.VerifiedTLS, Ignore: []string{"CHUNKING"}}, large: true},
	{name: "STARTTLS, one by one", o: smtpclient.Options{TLS: smtpclient.VerifiedTLS, Ignore: []string{"PIPELINING", "CHUNKING"}}},
	{name: "SCRAM-SHA-256", o: smtpclient.Options{TLS: smtpclient.VerifiedTLS}, login: "SCRAM-SHA-256"},
	{name: "PLAIN", o: smtpclient.Options{TLS: smtpclient.VerifiedTLS}, login: "PLAIN"},
	{name: "LOGIN", o: smtpclient.Options{TLS: smtpclient.VerifiedTLS}, login: "LOGIN"},
}

// dial opens a session, and checks that the server offers what it is known to offer.
func (srv *mailServer) dial(t *testing.T, m manner) *smtpclient.Session {
	t.Helper()
	o := m.o
	o.LMTP = srv.lmtp
	o.LocalName, o.ServerName, o.TLSConfig = "client.example.com", srv.name, &tls.Config{RootCAs: srv.roots}
	if m.login != "" {
		if !slices.Contains(srv.logins, m.login) {
			t.Skip("is not offered")
		}
		o.Auth = &smtpclient.Credentials{Username: username, Password: password, Mechanisms: []string{m.login}}
	}
	s, err := smtpclient.Dial(t.Context(), srv.addr, &o)
	if srv.noTLS && o.TLS == smtpclient.VerifiedTLS {
		if e, ok := errors.AsType[*smtpclient.Error](err); !ok || !errors.Is(e, smtpclient.ErrHandshake) {
			t.Errorf("error %v", err)
		}
		t.Skip("breaks in the handshake")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, keyword := range []string{"PIPELINING", "CHUNKING", "SMTPUTF8", "8BITMIME", "SIZE"} {
		want := srv.offer(keyword) && !slices.Contains(o.Ignore, keyword)
		if _, ok := s.Extension(keyword); ok != want {
			t.Errorf("offers %s: %v", keyword, ok)
		}
	}
	if encrypted := s.TLS() != nil; encrypted != (o.TLS != smtpclient.NoTLS && !srv.noTLS) {
		t.Errorf("encrypted: %v", encrypted)
	}
	if err := s.CertificateError(); err != nil {
		t.Error(err)
	}
	if down := s.Rung() == smtpclient.Plaintext; down != (srv.noTLS && o.TLS != smtpclient.NoTLS) {
		t.Errorf("rung %v", s.Rung())
	}
	return s
}

func (srv *mailServer) offer(keyword string) bool { return slices.Contains(srv.offers, keyword) }

// deliver sends a letter, and checks what is said about each recipient and what is in each mailbox.
func (srv *mailServer) deliver(t *testing.T, s *smtpclient.Session, l letter) {
	t.Helper()
	e := envelope(l.to...)
	e.Mail = smtp.MailOptions{Size: int64(len(l.text)), Body: smtp.Body8BitMIME}
	results, err := s.Send(t.Context(), e, strings.NewReader(l.text))
	if err != nil || !s.Reusable() && !(srv.unsure && !slices.ContainsFunc(l.to, known)) {
		t.Fatalf("%s: session lost: %v", l.name, err)
	}
	for i, r := range results {
		address := l.to[i]
		switch {
		case !known(address):
			if r.Phase != smtpclient.PhaseRcpt || r.Reply.Code != srv.refuse {
				t.Errorf("%s: %s: %s %s", l.name, address, r.Phase, r.Reply)
			}
		case address == unicodeUser && !srv.offer("SMTPUTF8"):
			if !errors.Is(r.Err, smtpclient.ErrNoUTF8) {
				t.Errorf("%s: %s: %v", l.name, address, r.Err)
			}
		case r.Err != nil:
			t.Errorf("%s: %s: %v", l.name, address, r.Err)
		default:
			srv.taken = srv.wait(t, address)
			srv.compare(t, l, srv.taken)
		}
	}
}

// compare checks that text is the letter, below header fields that every server adds.
func (srv *mailServer) compare(t *testing.T, l letter, text []byte) {
	t.Helper()
	want := []byte(l.text)
	if !bytes.HasSuffix(want, []byte("\r\n")) {
		want = append(want, "\r\n"...)
	}
	top, ok := bytes.CutSuffix(text, want)
	if !ok {
		t.Errorf("%s: arrived otherwise; %d octets: %.1000q", l.name, len(text), text)
		return
	}
	for line := range strings.Lines(string(top)) {
		name, _, _ := strings.Cut(line, ":")
		added := []string{"return-path", "received", "delivered-to", "x-original-to", "envelope-to"}
		if line[0] != ' ' && line[0] != '\t' && !slices.Contains(added, strings.ToLower(name)) {
			t.Errorf("%s: on top is %q", l.name, line)
		}
	}
}

// wait takes a message out of a mailbox, as soon as there is one.
func (srv *mailServer) wait(t *testing.T, address string) []byte {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if text, ok := srv.boxes.take(address); ok {
			return text
		}
	}
	t.Fatalf("nothing arrives at %s", address)
	return nil
}

// stream sends many messages without waiting in between, some of which nobody gets.
func (srv *mailServer) stream(t *testing.T) {
	s := srv.dial(t, manner{o: smtpclient.Options{TLS: smtpclient.NoTLS}})
	to := [][]string{users[:1], mixed(users[1:3], strangers), strangers[:2], users[:mostRecipients+1], users[3:4]}
	if srv.unsure {
		to[2] = users[4:5]
	}
	messages := func(yield func(*smtpclient.Envelope, io.Reader) bool) {
		for i := range 40 {
			if !yield(envelope(to[i%len(to)]...), strings.NewReader(numberedLetter(i))) {
				return
			}
		}
	}
	n, expected := 0, make(map[string]int)
	for results, err := range s.SendAll(t.Context(), messages) {
		if err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
		for i, address := range to[n%len(to)] {
			r := results[i]
			if (r.Err == nil) != known(address) || r.Err != nil && r.Reply.Code != srv.refuse {
				t.Errorf("message %d: %s: %s %s", n, address, r.Phase, r.Reply)
			}
			if r.Err == nil {
				expected[address]++
			}
		}
		n++
	}
	if n != 40 {
		t.Errorf("%d results", n)
	}
	for address, want := range expected {
		for range want {
			text := string(srv.wait(t, address))
			i := strings.LastIndex(text, "Subject: number ")
			var number int
			if _, err := fmt.Sscanf(text[i:], "Subject: number %d", &number); err != nil || !strings.HasSuffix(text, numberedLetter(number)) {
				t.Errorf("%s: %.500q", address, text)
			}
			if !slices.Contains(to[number%len(to)], address) {
				t.Errorf("%s got message %d", address, number)
			}
		}
	}
}

// wrongPassword logs in with one.
func (srv *mailServer) wrongPassword(t *testing.T) {
	for _, mechanism := range srv.logins {
		_, err := smtpclient.Dial(t.Context(), srv.addr, &smtpclient.Options{
			LMTP: srv.lmtp, ServerName: srv.name, TLS: smtpclient.VerifiedTLS, TLSConfig: &tls.Config{RootCAs: srv.roots},
			Auth: &smtpclient.Credentials{Username: username, Password: "wrong", Mechanisms: []string{mechanism}},
		})
		if e, ok := errors.AsType[*smtpclient.Error](err); !ok || e.Phase != smtpclient.PhaseAuth || e.Code != 535 {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
}
