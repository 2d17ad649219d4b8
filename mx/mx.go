// Package mx says where mail for a domain goes: which hosts, at which addresses, best first, and what each demands of a
// connection.
package mx

import (
	"context"
	"errors"
	"net/netip"
)

// Router finds the way to a domain. Route may be called by several goroutines at once. Its errors are of type [*Error];
// any other error is taken for temporary trouble.
type Router interface {
	Route(ctx context.Context, domain string) (*Route, error)
}

// RouterFunc makes a Router of a function.
type RouterFunc func(ctx context.Context, domain string) (*Route, error)

// Route calls f.
func (f RouterFunc) Route(ctx context.Context, domain string) (*Route, error) { return f(ctx, domain) }

// Route is the answer of a Router. It is read-only, since routers may share it.
type Route struct {
	// Site is the name under which limits apply: domains of one site share them.
	Site string
	// Hosts has at least one element, best first.
	Hosts []Host
}

// Host is one server that takes mail for a domain.
type Host struct {
	Name     string       // as the MX record or the host program names it; what a certificate must prove
	Addrs    []netip.Addr // in the order to try them; at least one
	Port     uint16       // usually 25
	TLS      TLS
	Implicit bool         // TLS from the first octet, as on port 465, instead of STARTTLS
	Auth     *Credentials // nil: no authentication
}

// Credentials log in to a relay.
type Credentials struct {
	Username, Password string
}

// TLS is what a route demands of the connection to a host.
type TLS int

const (
	Opportunistic TLS = iota // encrypt if the host can, whatever its certificate says
	None                     // never encrypt
	Required                 // encrypt, with any certificate, or don't deliver
	Verified                 // encrypt, with a certificate that proves the host's name, or don't deliver
)

// Reasons why there is no route; an [*Error] wraps one of them where it applies.
var (
	ErrNoDomain = errors.New("domain does not exist")
	ErrNullMX   = errors.New("domain accepts no mail")
	ErrLoop     = errors.New("mail loops back to this host")
)

// Error says why there is no route to a domain.
type Error struct {
	Domain    string
	Permanent bool   // trying again doesn't help
	Code      int    // an SMTP reply code for it, such as 556
	Enhanced  string // an RFC 3463 code for it, such as "5.1.10"
	Err       error  // the cause
}

// Error names the domain and the cause.
func (e *Error) Error() string { return "mx: " + e.Domain + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
