package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// TLS says what a session demands of encryption.
type TLS int

const (
	Opportunistic TLS = iota // encrypt if the server offers STARTTLS, whatever its certificate says; see PlaintextFallback
	NoTLS                    // never encrypt
	RequiredTLS              // encrypt, with any certificate, or fail
	VerifiedTLS              // encrypt, with a certificate that proves ServerName, or fail
)

// Options are the settings of [Dial]. The zero value, and nil, are those of a mail server without a name.
type Options struct {
	// LocalName is what EHLO says, before and after STARTTLS: a domain name or an address literal.
	// Defaults to "localhost".
	LocalName string
	// LocalName6 is what EHLO says where the connection is to an IPv6 address. Defaults to LocalName.
	LocalName6 string
	// ServerName is the host's name, which a certificate must prove and errors mention. Defaults to the host of the
	// address that is dialled.
	ServerName string
	TLS        TLS
	// Implicit means TLS from the first octet (RFC 8314), as on port 465, instead of STARTTLS. TLS then only decides
	// what the certificate must prove.
	Implicit bool
	// TLSConfig is cloned. InsecureSkipVerify is set as TLS demands; ServerName is filled in if it is empty; a
	// VerifyConnection is called whatever TLS says, and its error ends the session. Defaults to Go's defaults.
	TLSConfig *tls.Config
	// PlaintextFallback allows an [Opportunistic] session to go on without TLS after a server has offered it and then
	// refused it, or failed two handshakes. It doesn't if there are credentials, or if TLSConfig has a function that looks
	// at certificates. Most of what is wrong by accident is over at a second attempt; whoever wants to listen isn't.
	PlaintextFallback bool
	// Rung is where to begin, such as what [Session.Rung] has said of the host before. It allows nothing. Defaults
	// to BestTLS.
	Rung Rung
	// Auth, if not nil, logs in before the first message; a session that can't log in isn't opened.
	Auth *Credentials
	// Ignore are keywords of extensions that are not to be used although the server offers them, such as "PIPELINING" for
	// one that breaks on it, or what [Session.Refused] has returned for the host before.
	Ignore []string
	// LMTP speaks the protocol of RFC 2033, to a server that delivers to mailboxes and answers for each recipient.
	LMTP bool
	// Dial connects, such as through a proxy. Its ctx ends after Timeouts.Connect, or when another address was faster; Dial
	// must return then. Defaults to that of a [net.Dialer] with LocalAddr4 or LocalAddr6.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// LocalAddr4 and LocalAddr6 are the addresses from which to connect to those of the same family. They default to
	// the system's choice.
	LocalAddr4, LocalAddr6 netip.Addr
	// HeadStart is what [DialAny] gives an address before it tries the next at the same time. Defaults to 250 milliseconds.
	HeadStart time.Duration
	Timeouts  Timeouts
	Limits    Limits
}

// Timeouts bound every wait of a session. Those for replies are for the whole reply, however slowly its octets come. A
// context bounds all of them together.
type Timeouts struct {
	Connect  time.Duration // one connection. Defaults to 30 seconds
	Greeting time.Duration // the server's first words. Defaults to 5 minutes
	Command  time.Duration // the answer to EHLO, STARTTLS, AUTH, MAIL, RCPT, BDAT without LAST; a handshake. Defaults to 5 minutes
	Data     time.Duration // the answer to DATA. Defaults to 2 minutes
	Body     time.Duration // each write of up to 16 KiB of the message. Defaults to 3 minutes
	Dot      time.Duration // the answer to the end of the data. Defaults to 10 minutes
	Reset    time.Duration // the answer to RSET, or to anything that doesn't matter. Defaults to 20 seconds
	Quit     time.Duration // all of Close. Defaults to 5 seconds
}

// Limits bound what a session takes from a server.
type Limits struct {
	LineBytes  int // octets kept of a reply line; the rest is read and forgotten. Defaults to 1024
	Lines      int // lines of a reply. Defaults to 128
	ReplyBytes int // octets of a reply, read or forgotten. Defaults to 64 KiB
	JunkLines  int // lines before or in a reply that are none of it. Defaults to 5
}

// withDefaults returns a copy of o, every field but ServerName set.
func (o *Options) withDefaults() (*Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.LocalName == "" {
		c.LocalName = "localhost"
	}
	if c.Dial == nil {
		c.Dial = c.dialFrom
	}
	t, l := &c.Timeouts, &c.Limits
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Connect, 30 * time.Second}, {&t.Greeting, 5 * time.Minute}, {&t.Command, 5 * time.Minute},
		{&t.Data, 2 * time.Minute}, {&t.Body, 3 * time.Minute}, {&t.Dot, 10 * time.Minute},
		{&t.Reset, 20 * time.Second}, {&t.Quit, 5 * time.Second}, {&c.HeadStart, 250 * time.Millisecond},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *int
		value int
	}{{&l.LineBytes, 1024}, {&l.Lines, 128}, {&l.ReplyBytes, 64 << 10}, {&l.JunkLines, 5}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for field, name := range map[string]string{"LocalName": c.LocalName, "LocalName6": c.LocalName6} {
		if !validLocalName(name) {
			return &c, &SyntaxError{Field: field, Value: name, Reason: "is no domain name or address literal"}
		}
	}
	if c.TLS < Opportunistic || c.TLS > VerifiedTLS {
		return &c, errors.New("Options.TLS has no such value")
	}
	if c.TLS == NoTLS && c.Implicit {
		return &c, errors.New("Options.Implicit contradicts NoTLS")
	}
	if c.Rung < BestTLS || c.Rung > Plaintext {
		return &c, errors.New("Options.Rung has no such value")
	}
	if c.Rung == Plaintext && !c.plaintextWillDo() {
		c.Rung = OldTLS
	}
	if c.LocalAddr4.IsValid() && !c.LocalAddr4.Is4() || c.LocalAddr6.IsValid() && (!c.LocalAddr6.Is6() || c.LocalAddr6.Is4In6()) {
		return &c, errors.New("Options.LocalAddr4 or LocalAddr6 is of the other family")
	}
	if c.Auth != nil {
		for _, m := range c.Auth.Mechanisms {
			if !slices.Contains(allMechanisms(), m) {
				return &c, fmt.Errorf("Options.Auth.Mechanisms: %q is not known", m)
			}
		}
	}
	return &c, nil
}

func validLocalName(s string) bool {
	if len(s) > 255 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '<' || c == '>' {
			return false
		}
	}
	return true
}
