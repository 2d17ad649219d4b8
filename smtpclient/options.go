package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// TLS says what a session demands of encryption.
type TLS int

const (
	Opportunistic TLS = iota // encrypt if the server offers STARTTLS, whatever its certificate says
	NoTLS                    // never encrypt
	RequiredTLS              // encrypt, with any certificate, or fail
	VerifiedTLS              // encrypt, with a certificate that proves ServerName, or fail
)

// Credentials log in to a server. The mechanism is the first of PLAIN and LOGIN that the server offers.
//
// They are not given to a server in plaintext, unless it is on a loopback address or AllowPlaintext is set. Only
// [VerifiedTLS] keeps them from somebody who answers in the server's place.
type Credentials struct {
	Username, Password string
	AllowPlaintext     bool
}

// Options are the settings of [Dial]. The zero value, and nil, are those of a mail server without a name.
type Options struct {
	// LocalName is what EHLO says, before and after STARTTLS: a domain name or an address literal.
	// Defaults to "localhost".
	LocalName string
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
	// Auth, if not nil, logs in before the first message; a session that can't log in isn't opened.
	Auth *Credentials
	// Ignore are keywords of extensions that are not to be used although the server offers them, such as "PIPELINING" for
	// one that breaks on it, or what [Session.Refused] has returned for the host before.
	Ignore []string
	// LMTP speaks the protocol of RFC 2033, to a server that delivers to mailboxes and answers for each recipient.
	LMTP bool
	// Dial connects, such as through a proxy or from a certain address. Its ctx ends after Timeouts.Connect. Defaults
	// to that of a zero [net.Dialer].
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Timeouts Timeouts
	Limits   Limits
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

// withDefaults returns a copy of o for address, every field set.
func (o *Options) withDefaults(address string) (*Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.LocalName == "" {
		c.LocalName = "localhost"
	}
	if c.ServerName == "" {
		c.ServerName = address
		if host, _, err := net.SplitHostPort(address); err == nil {
			c.ServerName = host
		}
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	t, l := &c.Timeouts, &c.Limits
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Connect, 30 * time.Second}, {&t.Greeting, 5 * time.Minute}, {&t.Command, 5 * time.Minute},
		{&t.Data, 2 * time.Minute}, {&t.Body, 3 * time.Minute}, {&t.Dot, 10 * time.Minute},
		{&t.Reset, 20 * time.Second}, {&t.Quit, 5 * time.Second},
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
	if !validLocalName(c.LocalName) {
		return &c, &SyntaxError{Field: "LocalName", Value: c.LocalName, Reason: "is no domain name or address literal"}
	}
	if c.TLS < Opportunistic || c.TLS > VerifiedTLS {
		return &c, errors.New("Options.TLS has no such value")
	}
	if c.TLS == NoTLS && c.Implicit {
		return &c, errors.New("Options.Implicit contradicts NoTLS")
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
