package mx

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// DNS looks names up. Lookup may be called by several goroutines at once.
type DNS interface {
	// Lookup asks for the records of one type that name has, and follows CNAMEs. name is absolute, in ASCII, without a
	// dot at its end. An answer with another Rcode than Success is an answer: the error is for having none, because
	// servers were silent or unreachable, or ctx ended. Lookup returns when ctx ends, and in bounded time if it doesn't.
	Lookup(ctx context.Context, name string, t Type) (Answer, error)
}

// Answer is what the DNS says about a name and a type. It is read-only, since it may be given to several callers.
type Answer struct {
	// Records has the records of the type asked for. None of them, with Rcode Success, means that the name exists and
	// has no such record.
	Records []Record
	// TTL is how long the answer, a negative one included, may be kept; 0 if that isn't known.
	TTL time.Duration
	// Canonical is the name that the records belong to, if that is another one than was asked for: the end of a chain of
	// CNAMEs. It is in lower case, without a dot at its end.
	Canonical string
	// Authentic means that the answer, with each CNAME that led to it, was validated by DNSSEC: so says a server that the
	// DNS was told to trust, over a path that it trusts. That a name or a record doesn't exist may be authentic, too.
	Authentic bool
	Rcode     Rcode
}

// Record is one record. Which fields are set depends on its type.
type Record struct {
	Addr       netip.Addr // A, AAAA
	Preference uint16     // MX: lower is better
	Host       string     // MX, CNAME: in lower case, without a dot at its end, but "." for the root
	Text       string     // TXT: its strings, joined
	TLSA       TLSA
}

// TLSA is the data of a TLSA record (RFC 6698, section 2.1), as it stands in the DNS: what the numbers mean, and whether the
// digest's length fits them, is for the reader to judge.
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte // a certificate or a public key, or a digest of it
}

// Type is a type of records, with its number in the DNS.
type Type uint16

// The types that routers ask for.
const (
	TypeA     Type = 1
	TypeCNAME Type = 5 // not followed, when it is asked for
	TypeMX    Type = 15
	TypeTXT   Type = 16
	TypeAAAA  Type = 28
	TypeTLSA  Type = 52
)

// String returns the type's name.
func (t Type) String() string {
	switch t {
	case TypeA:
		return "A"
	case TypeCNAME:
		return "CNAME"
	case TypeMX:
		return "MX"
	case TypeTXT:
		return "TXT"
	case TypeAAAA:
		return "AAAA"
	case TypeTLSA:
		return "TLSA"
	}
	return fmt.Sprintf("TYPE%d", uint16(t)) // RFC 3597, section 5
}

// Rcode is a response code, with its number in the DNS.
type Rcode uint16

// The response codes that make a difference. Any other is a failure of the server.
const (
	Success  Rcode = 0
	ServFail Rcode = 2
	NXDomain Rcode = 3 // neither the name nor anything below it exists
)

// String returns the code's name.
func (r Rcode) String() string {
	switch r {
	case Success:
		return "NOERROR"
	case ServFail:
		return "SERVFAIL"
	case NXDomain:
		return "NXDOMAIN"
	}
	return fmt.Sprintf("RCODE%d", uint16(r))
}
