package smtptest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"sync"
)

// Server is a mail server on a loopback address that keeps what it is sent. The zero value works: it takes every message.
// Fields are set before Start.
type Server struct {
	// Addr is where to listen. Start replaces it with the address it has got. Defaults to "127.0.0.1:0", a free port.
	Addr string
	// Name is the host name that the server says and that its certificate proves. Defaults to "mail.test".
	Name string
	// Extensions are the lines of the answer to EHLO, without STARTTLS and AUTH, which come by themselves. BDAT is
	// implemented if they contain CHUNKING. Defaults to PIPELINING, SIZE 26214400, 8BITMIME, SMTPUTF8, DSN, CHUNKING
	// and ENHANCEDSTATUSCODES. Use an empty slice for none.
	Extensions []string
	// LMTP answers the end of a message once for each recipient (RFC 2033).
	LMTP bool
	// StartTLS offers STARTTLS.
	StartTLS bool
	// Implicit speaks TLS from the first octet.
	Implicit bool
	// TLSConfig replaces the generated certificate.
	TLSConfig *tls.Config
	// Users are names and passwords. If there are any, AUTH is offered, and MAIL is refused without it.
	Users map[string]string
	// Mechanisms are those that AUTH offers, of PLAIN, LOGIN, SCRAM-SHA-256, SCRAM-SHA-256-PLUS, OAUTHBEARER and XOAUTH2. For
	// the last two a user's password is a token. Defaults to PLAIN and LOGIN.
	Mechanisms []string
	// Reply, if not nil, is asked about each command before the server's own answer; "" leaves it to the server. See
	// [Command] for what is asked about and [Close] and [Stall] for answers that are none. It is called by one goroutine
	// per connection.
	Reply func(Command) string
	// Script, if not nil, is played on every connection instead of all that.
	Script *Script

	listener net.Listener
	tls      *tls.Config
	roots    *x509.CertPool
	handlers sync.WaitGroup

	mu       sync.Mutex // guards what follows
	conns    map[net.Conn]bool
	closed   bool
	total    int
	parallel int
	messages []Message
	errs     []error
	changed  chan struct{} // closed and replaced when messages grows
}

// NewServer starts a server with a Reply function, which may be nil. Like httptest.NewServer it panics if it can't listen;
// the caller closes it.
func NewServer(reply func(Command) string) *Server {
	s := &Server{Reply: reply}
	if err := s.Start(); err != nil {
		panic(err)
	}
	return s
}

// Start listens and serves.
func (s *Server) Start() error {
	if err := s.prepare(); err != nil {
		return err
	}
	if s.Addr == "" {
		s.Addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("smtptest: %w", err)
	}
	s.Addr = l.Addr().String()
	s.listener = l
	s.handlers.Go(s.accept)
	return nil
}

// Dial connects to the server in memory, wherever the address may be, and needs no Start. Unlike a TCP connection such a one can
// be used in a testing/synctest bubble. It has the form of smtpclient.Options.Dial.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	client, server := pipe()
	if !s.handle(server) {
		return nil, fmt.Errorf("smtptest: %w", net.ErrClosed)
	}
	return client, nil
}

// prepare sets the defaults, once.
func (s *Server) prepare() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns != nil {
		return nil
	}
	if s.Name == "" {
		s.Name = "mail.test"
	}
	if s.Extensions == nil {
		s.Extensions = []string{"PIPELINING", "SIZE 26214400", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES"}
	}
	if s.Mechanisms == nil {
		s.Mechanisms = []string{"PLAIN", "LOGIN"}
	}
	s.tls = s.TLSConfig
	if s.tls == nil && (s.StartTLS || s.Implicit || s.Script != nil) {
		var err error
		if s.tls, s.roots, err = NewTLSConfig(s.Name); err != nil {
			return fmt.Errorf("smtptest: %w", err)
		}
	}
	s.conns = make(map[net.Conn]bool)
	s.changed = make(chan struct{})
	return nil
}

// Close stops listening, closes all connections and waits until nothing of the server runs any more.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	if s.listener != nil {
		s.listener.Close()
	}
	s.handlers.Wait()
}

// RootCAs trusts the generated certificate, which proves Name, "localhost", 127.0.0.1 and ::1. It is nil if none was
// generated.
func (s *Server) RootCAs() *x509.CertPool {
	if err := s.prepare(); err != nil {
		return nil
	}
	return s.roots
}

// Messages returns the messages that were taken so far.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Wait waits until n messages were taken, and returns all that were; or, with ctx's error, those that were when it ended.
func (s *Server) Wait(ctx context.Context, n int) ([]Message, error) {
	for {
		s.mu.Lock()
		taken, changed := len(s.messages), s.changed
		s.mu.Unlock()
		if taken >= n {
			return s.Messages(), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s.Messages(), ctx.Err()
		}
	}
}

// Connections returns how many connections there were, how many of them at the same time, and how many there are now.
func (s *Server) Connections() (total, parallel, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total, s.parallel, len(s.conns)
}

// Errors returns what went otherwise than Script has it.
func (s *Server) Errors() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.errs)
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil || !s.handle(c) {
			return
		}
	}
}

// handle serves c in a goroutine, or closes it if the server is closed.
func (s *Server) handle(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.conns[c] = true
	s.total++
	s.parallel = max(s.parallel, len(s.conns))
	n := s.total
	s.handlers.Go(func() {
		s.serve(c, n)
		c.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	})
	return true
}

func (s *Server) serve(c net.Conn, n int) {
	if s.Script == nil {
		newConversation(s, c, n).run()
		return
	}
	if err := s.Script.Play(c, s.tls); err != nil {
		s.mu.Lock()
		s.errs = append(s.errs, err)
		s.mu.Unlock()
	}
}

func (s *Server) keep(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	close(s.changed)
	s.changed = make(chan struct{})
}
