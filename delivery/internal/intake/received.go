package intake

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"time"
)

// Client is the host that a message comes from, as far as it is known.
type Client struct {
	Name     string               // what it calls itself, in EHLO, HELO or LHLO
	Addr     netip.Addr           // where it is
	Protocol string               // how the message came, in the words of IANA's "Mail Transmission Types"
	TLS      *tls.ConnectionState // nil: none
}

// appendReceived appends the trace field of this hop (RFC 5321, section 4.4). A name in which a client has hidden more than a name
// is "unknown", so that nobody breaks out of the field.
func appendReceived(b []byte, o *Options) []byte {
	b = append(b, "Received: "...)
	c := &o.Client
	if *c != (Client{}) {
		b = append(append(b, "from "...), hostName(c.Name)...)
		if c.Addr.IsValid() {
			b = append(append(append(b, " ("...), literal(c.Addr)...), ')')
		}
		b = append(b, "\r\n\t"...)
	}
	b = append(append(b, "by "...), hostName(o.Hostname)...)
	if isWord(c.Protocol) {
		b = append(append(b, " with "...), c.Protocol...)
	}
	b = append(append(b, " id "...), o.ID...)
	if c.TLS != nil {
		if suite := tls.CipherSuiteName(c.TLS.CipherSuite); isWord(suite) {
			b = append(append(b, " tls "...), suite...) // RFC 8314, section 4.3
		}
	}
	return append(o.Now.AppendFormat(append(b, ";\r\n\t"...), time.RFC1123Z), "\r\n"...)
}

// hostName is the name that a host gave, if it can stand in the field.
func hostName(s string) string {
	foreign := func(r rune) bool { return !isLetterDigit(r) && !strings.ContainsRune("-_.:[]", r) }
	if s == "" || len(s) > 255 || strings.ContainsFunc(s, foreign) {
		return "unknown"
	}
	return s
}

// literal is an address literal (RFC 5321, section 4.1.3).
func literal(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}

// isWord reports whether s is a protocol's name, or a cipher suite's.
func isWord(s string) bool {
	foreign := func(r rune) bool { return !isLetterDigit(r) && r != '-' && r != '_' }
	return s != "" && len(s) <= 60 && !strings.ContainsFunc(s, foreign)
}

func isLetterDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
