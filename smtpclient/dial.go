package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
)

// Reasons why a session can't be opened that no server has spelt out; an [*Error] wraps them.
var (
	ErrNoTLS         = errors.New("server doesn't offer STARTTLS")
	ErrInjected      = errors.New("plaintext after the answer to STARTTLS")
	ErrNoAuth        = errors.New("server offers no AUTH mechanism that is understood here")
	ErrPlaintextAuth = errors.New("credentials aren't sent in plaintext")
)

// Dial opens a session at address, an IP address and port: it connects, reads the greeting, says EHLO (or HELO, to a server
// that doesn't know EHLO), starts TLS and logs in as o says. Every error is an [*Error]; the connection is closed then, at
// once if ctx ends.
//
// An opportunistic session goes on in plaintext if the server refuses STARTTLS. After a failed handshake nothing can be said
// on the connection any more: the error's Phase is PhaseSTARTTLS, and whether to dial again with an older TLS
// version in TLSConfig.MaxVersion, or with [NoTLS], is the caller's decision.
func Dial(ctx context.Context, address string, o *Options) (*Session, error) {
	options, err := o.withDefaults(address)
	s := &Session{o: options, addr: address}
	if err != nil {
		return nil, s.failure(PhaseConnect, err)
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, blame(ctx, s.failure(PhaseConnect, err))
	}
	s.wire = newWire(conn, options.Limits)
	stop := context.AfterFunc(ctx, s.wire.abort)
	e := s.open()
	if !stop() && e == nil {
		e = s.failure(PhaseConnect, nil) // ctx ended after the last answer
	}
	if e != nil {
		s.fail(ctx, e)
		return nil, e
	}
	return s, nil
}

func (s *Session) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeouts.Connect)
	defer cancel()
	return s.o.Dial(ctx, "tcp", s.addr)
}

// fail ends the session because of e.
func (s *Session) fail(ctx context.Context, e *Error) {
	s.broken = blame(ctx, e)
	s.wire.abort()
}

// blame makes ctx the cause of e, if it has ended: what its end does to a connection looks like anything.
func blame(ctx context.Context, e *Error) *Error {
	if e.Code == 0 && ctx.Err() != nil {
		e.Err, e.Stale = context.Cause(ctx), false
	}
	return e
}

func (s *Session) open() *Error {
	if s.o.Implicit {
		if err := s.handshake(); err != nil {
			return s.failure(PhaseSTARTTLS, err)
		}
	}
	if e := s.greeting(); e != nil {
		return e
	}
	if e := s.hello(); e != nil {
		return e
	}
	if e := s.startTLS(); e != nil {
		return e
	}
	return s.login()
}

func (s *Session) greeting() *Error {
	a, err := s.wire.readReply(s.o.Timeouts.Greeting)
	if err != nil {
		return s.failure(PhaseGreeting, err)
	}
	if a.code/100 != 2 {
		return s.refusal(PhaseGreeting, a.reply())
	}
	return nil
}

// hello says EHLO, or LHLO, and HELO if the answer is one of those that servers without EHLO have been seen to give.
func (s *Session) hello() *Error {
	s.ext = nil
	verb := "EHLO "
	if s.o.LMTP {
		verb = "LHLO "
	}
	a, err := s.ask(verb+s.o.LocalName, s.o.Timeouts.Command)
	if err != nil {
		return s.failure(PhaseEHLO, err)
	}
	if a.code/100 == 2 {
		s.ext = parseExtensions(a.lines).without(s.o.Ignore...)
		return nil
	}
	if !s.o.LMTP && slices.Contains([]int{500, 501, 502, 504, 550, 554}, a.code) {
		a, err = s.ask("HELO "+s.o.LocalName, s.o.Timeouts.Command)
		if err != nil {
			return s.failure(PhaseEHLO, err)
		}
	}
	if a.code/100 != 2 {
		return s.refusal(PhaseEHLO, a.reply())
	}
	return nil
}

// startTLS encrypts the session by RFC 3207, unless it is not to be or need not be.
func (s *Session) startTLS() *Error {
	if s.tls != nil || s.o.TLS == NoTLS {
		return nil
	}
	demanded := s.o.TLS != Opportunistic
	if !s.ext.has("STARTTLS") {
		if demanded {
			return s.failure(PhaseSTARTTLS, ErrNoTLS)
		}
		return nil
	}
	a, err := s.ask("STARTTLS", s.o.Timeouts.Command)
	switch {
	case err != nil:
		return s.failure(PhaseSTARTTLS, err)
	case a.code/100 != 2 && (demanded || a.code == 421 || a.code/100 == 3):
		return s.refusal(PhaseSTARTTLS, a.reply())
	case a.code/100 != 2:
		return nil
	case s.wire.r.Buffered() > 0:
		// Whatever was put there by somebody on the way must not be taken for an answer inside TLS.
		return s.failure(PhaseSTARTTLS, ErrInjected)
	}
	if err := s.handshake(); err != nil {
		return s.failure(PhaseSTARTTLS, err)
	}
	return s.hello() // nothing said before counts any more
}

func (s *Session) handshake() error {
	c := s.o.TLSConfig.Clone()
	if c == nil {
		c = &tls.Config{}
	}
	if c.ServerName == "" {
		c.ServerName = strings.TrimSuffix(s.o.ServerName, ".")
	}
	c.InsecureSkipVerify = s.o.TLS != VerifiedTLS
	state, err := s.wire.startTLS(c, s.o.Timeouts.Command)
	if err != nil {
		return err
	}
	s.tls = state
	if c.InsecureSkipVerify {
		s.certErr = verify(c, *state)
	}
	return nil
}
