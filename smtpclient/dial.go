package smtpclient

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
)

// Reasons why a session can't be opened that no server has spelt out; an [*Error] wraps them.
var (
	ErrNoTLS     = errors.New("server doesn't offer STARTTLS")
	ErrInjected  = errors.New("plaintext after the answer to STARTTLS")
	ErrHandshake = errors.New("TLS handshake failed")
)

// Dial opens a session at address, an IP address and port: it connects, reads the greeting, says EHLO (or HELO, to a server
// that doesn't know EHLO), starts TLS and logs in as o says. Every error is an [*Error]; the connection is closed then, at
// once if ctx ends.
//
// After a failed TLS handshake nothing can be said on a connection any more. Dial makes another one then, with an older
// TLS, and, if Options.PlaintextFallback allows it, one without; [Session.Rung] says where that has ended.
func Dial(ctx context.Context, address string, o *Options) (*Session, error) {
	return DialAny(ctx, []string{address}, o)
}

// DialAny is [Dial] for a host with several addresses, best first. They are tried in this order until one connects, each with
// a head start of Options.HeadStart before the next (RFC 8305), or less if it fails.
//
// A host that then turns us away, by its greeting or its answer to EHLO, is tried once more by its other addresses, those
// of the other family first: it may only want a PTR record for the address that we come from.
func DialAny(ctx context.Context, addresses []string, o *Options) (*Session, error) {
	options, err := o.withDefaults()
	if len(addresses) == 0 {
		return nil, newSession(options, "").failure(PhaseConnect, errors.New("no address"))
	}
	if err != nil {
		return nil, newSession(options, addresses[0]).failure(PhaseConnect, err)
	}
	s, e := dialFirst(ctx, addresses, options)
	if e != nil && e.turnedAway() && ctx.Err() == nil {
		if others := elsewhere(addresses, e.Addr); len(others) > 0 {
			again, err := dialFirst(ctx, others, options)
			if err == nil || err.Code != 0 {
				s, e = again, err
			}
		}
	}
	if e != nil {
		return nil, e
	}
	return s, nil
}

// turnedAway reports whether a server was there, and wanted none of us.
func (e *Error) turnedAway() bool { return e.Phase == PhaseGreeting || e.Phase == PhaseEHLO }

// elsewhere are the addresses without the one that was tried, those of the other family first.
func elsewhere(addresses []string, tried string) (others []string) {
	var same []string
	for _, a := range addresses {
		switch {
		case a == tried:
		case isIPv4(a) == isIPv4(tried):
			same = append(same, a)
		default:
			others = append(others, a)
		}
	}
	return append(others, same...)
}

func isIPv4(address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && a.Addr().Unmap().Is4()
}

func isIPv6(address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && a.Addr().Unmap().Is6()
}

// dialFirst opens a session at the first address that connects, and goes down the ladder there.
func dialFirst(ctx context.Context, addresses []string, o *Options) (*Session, *Error) {
	conn, addr, err := o.connect(ctx, addresses)
	s := newSession(o, addr)
	if err != nil {
		return nil, blame(ctx, s.failure(PhaseConnect, err))
	}
	e := s.begin(ctx, conn)
	if e == nil {
		return s, nil
	}
	if lower := o.below(); lower != nil && errors.Is(e, ErrHandshake) {
		return dialFirst(ctx, []string{addr}, lower)
	}
	return nil, e
}

// newSession is a session that is not connected yet.
func newSession(o *Options, addr string) *Session {
	c := *o
	if c.ServerName == "" {
		c.ServerName = addr
		if host, _, err := net.SplitHostPort(addr); err == nil {
			c.ServerName = host
		}
	}
	if c.LocalName6 != "" && isIPv6(addr) {
		c.LocalName = c.LocalName6
	}
	return &Session{o: &c, addr: addr}
}

// begin opens the session on conn, until ctx ends.
func (s *Session) begin(ctx context.Context, conn net.Conn) *Error {
	s.wire = newWire(conn, s.o.Limits)
	stop := context.AfterFunc(ctx, s.wire.abort)
	e := s.open(ctx)
	if !stop() && e == nil {
		e = s.failure(PhaseConnect, nil) // ctx ended after the last answer
	}
	if e != nil {
		s.fail(ctx, e)
	}
	return e
}

// fail ends the session because of e.
func (s *Session) fail(ctx context.Context, e *Error) {
	s.broken = blame(ctx, e)
	s.broken.Transcript = s.Transcript()
	s.wire.abort()
}

// blame makes ctx the cause of e, if it has ended: what its end does to a connection looks like anything.
func blame(ctx context.Context, e *Error) *Error {
	if e.Code == 0 && ctx.Err() != nil {
		e.Err, e.Stale = context.Cause(ctx), false
	}
	return e
}

func (s *Session) open(ctx context.Context) *Error {
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
	return s.login(ctx)
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
