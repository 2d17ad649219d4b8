package smtpclient_test

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// go-smtp's server is one that nobody here has written.
func TestGoSMTPServer(t *testing.T) {
	for name, c := range map[string]struct {
		lmtp   bool
		ignore []string
	}{
		"all it offers":    {},
		"without CHUNKING": {ignore: []string{"CHUNKING"}},
		"step by step":     {ignore: []string{"CHUNKING", "PIPELINING"}},
		"LMTP":             {lmtp: true},
	} {
		t.Run(name, func(t *testing.T) { testGoSMTPServer(t, c.lmtp, c.ignore) })
	}
}

func testGoSMTPServer(t *testing.T, lmtp bool, ignore []string) {
	config, roots, err := smtptest.NewTLSConfig("mx.example.org")
	if err != nil {
		t.Fatal(err)
	}
	backend := &keeper{}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return backend, nil }))
	srv.Domain, srv.TLSConfig = "mx.example.org", config
	srv.EnableSMTPUTF8, srv.EnableDSN, srv.LMTP = true, true, lmtp
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	s, err := smtpclient.Dial(t.Context(), l.Addr().String(), &smtpclient.Options{
		ServerName: "mx.example.org", TLS: smtpclient.VerifiedTLS, TLSConfig: &tls.Config{RootCAs: roots}, LMTP: lmtp, Ignore: ignore,
	})
	if err != nil {
		t.Fatal(err)
	}
	bodies := []string{".\r\n" + strings.Repeat("..Grüße\r\n", 100_000), hello}
	e := envelope("jürgen@example.org", "no@example.org", "two@example.org")
	e.Mail = smtp.MailOptions{Body: smtp.Body8BitMIME, EnvelopeID: "a+b c", Return: smtp.DSNReturnFull}
	e.To[0].Rcpt = smtp.RcptOptions{OriginalRecipient: "jürgen@example.org", Notify: []smtp.DSNNotify{smtp.DSNNotifyFailure}}
	for _, body := range bodies {
		backend.to = nil
		e.Mail.Size = int64(len(body))
		results, err := s.Send(t.Context(), e, strings.NewReader(body))
		if err != nil || !s.Reusable() {
			t.Fatal(err)
		}
		if results[0].Err != nil || results[1].Reply.Code != 550 || results[2].Err != nil {
			t.Errorf("results: %+v", results)
		}
		if m := backend.mail; backend.from != e.From || m.Size != e.Mail.Size || !m.UTF8 || m.EnvelopeID != "a+b c" || m.Return != smtp.DSNReturnFull {
			t.Errorf("MAIL %q %+v", backend.from, m)
		}
		if len(backend.to) != 2 || backend.rcpt.OriginalRecipient != "jürgen@example.org" || string(backend.data) != body {
			t.Errorf("to %q, ORCPT %q, %d octets", backend.to, backend.rcpt.OriginalRecipient, len(backend.data))
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	srv.Close()
	<-served
}

// keeper is a backend that keeps the last message.
type keeper struct {
	from string
	mail smtp.MailOptions
	rcpt smtp.RcptOptions // of the first recipient
	to   []string
	data []byte
}

func (k *keeper) Mail(from string, o *smtp.MailOptions) error {
	k.from, k.mail = from, *o
	return nil
}

func (k *keeper) Rcpt(to string, o *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "no@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "unknown"}
	}
	if len(k.to) == 0 {
		k.rcpt = *o
	}
	k.to = append(k.to, to)
	return nil
}

func (k *keeper) Data(r io.Reader) (err error) {
	k.data, err = io.ReadAll(r)
	return err
}

func (k *keeper) Reset()        {}
func (k *keeper) Logout() error { return nil }
