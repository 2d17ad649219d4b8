//go:build linux

package smtpclient_test

import (
	"bytes"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// startGoSMTP starts the server of github.com/emersion/go-smtp.
func startGoSMTP(t *testing.T) *mailServer { return goSMTP(t, false) }

// startGoLMTP starts the same for LMTP.
func startGoLMTP(t *testing.T) *mailServer { return goSMTP(t, true) }

func goSMTP(t *testing.T, lmtp bool) *mailServer {
	config, roots, err := smtptest.NewTLSConfig("gosmtp.example")
	must(t, err)
	boxes := &memory{messages: make(map[string][][]byte)}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &goSession{memory: boxes}, nil }))
	srv.Domain, srv.TLSConfig, srv.EnableSMTPUTF8, srv.MaxMessageBytes = "gosmtp.example", config, true, 40_000_000
	srv.MaxRecipients = mostRecipients
	srv.LMTP = lmtp
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		<-served
	})
	return &mailServer{
		addr:   l.Addr().String(),
		name:   "gosmtp.example",
		roots:  roots,
		offers: []string{"PIPELINING", "CHUNKING", "SMTPUTF8", "8BITMIME", "SIZE"},
		logins: []string{"PLAIN"},
		refuse: 550,
		lmtp:   lmtp,
		unsure: true,
		boxes:  boxes,
	}
}

// memory is mailboxes in memory.
type memory struct {
	mu       sync.Mutex // guards what follows
	messages map[string][][]byte
}

func (m *memory) take(address string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.messages[address]
	if len(list) == 0 {
		return nil, false
	}
	m.messages[address] = list[1:]
	return list[0], true
}

// goSession is a connection to the server.
type goSession struct {
	*memory
	to []string
}

func (s *goSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *goSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, u, p string) error {
		if u != username || p != password {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *goSession) Mail(string, *smtp.MailOptions) error { return nil }

func (s *goSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if to != unicodeUser && !slices.Contains(users, to) {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "unknown"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *goSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, to := range s.to {
		s.messages[to] = append(s.messages[to], bytes.Clone(text))
	}
	return nil
}

func (s *goSession) Reset()        { s.to = nil }
func (s *goSession) Logout() error { return nil }
