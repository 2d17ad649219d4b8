package mx

import (
	"crypto/tls"
	"net/netip"
)

// Route is the answer of a Router. It is read-only, since routers may share it.
type Route struct {
	// Site is the name under which limits apply: domains of one site share them.
	Site string
	// Hosts has at least one element, best first.
	Hosts []Host
}

// Host is one server that takes mail for a domain.
type Host struct {
	Name       string       // as the MX record or the host program names it; what a certificate must prove
	Addrs      []netip.Addr // in the order to try them; at least one. They were checked: no others are to be dialled
	Port       uint16       // usually 25
	Preference uint16       // that of the MX record: a host may stand in for those of equal preference, not for better ones
	TLS        TLS
	Implicit   bool         // TLS from the first octet, as on port 465, instead of STARTTLS
	Auth       *Credentials // nil: no authentication
	NullSender string       // said in place of the null sender to a host that refuses it, see Relay.NullSender; "": nothing
	// Secure means that nobody on the way can have chosen the host: its name is from an answer of the DNS that was
	// validated by DNSSEC, or from the host program. Of its addresses it says nothing.
	Secure bool
	// Domains are the names of the domain whose records in the DNS lead to the host: its own in A-labels, and the one that it
	// is an alias of, if it is. It is nil for a host that the host program has named.
	Domains []string
	// SNI is the name to ask for in a handshake, if it isn't Name. It is of no account for a host that is to be Verified,
	// which is asked for the name that it has to prove.
	SNI string
	// Verify, if not nil, is asked about the connection after each handshake, and its error ends the session. A host with
	// Verify is never met in plaintext.
	Verify func(tls.ConnectionState) error
	// Policy names what Verify checks. A session may be used for another domain if that domain's own route has a host of
	// the same name, address, TLS and Policy.
	Policy string
}

// Credentials log in to a relay.
type Credentials struct {
	Username, Password string
}

// String returns the user name alone, so that no password gets into a log by %v.
func (c Credentials) String() string { return c.Username + ":***" }

// GoString does the same for %#v.
func (c Credentials) GoString() string { return "mx.Credentials{" + c.String() + "}" }

// TLS is what a route demands of the connection to a host.
type TLS int

// What can be demanded.
const (
	Opportunistic TLS = iota // encrypt if the host can, whatever its certificate says
	None                     // never encrypt
	Required                 // encrypt, with any certificate, or don't deliver
	Verified                 // encrypt, with a certificate that proves the host's name, or don't deliver
)

// String returns the level's name in lower case.
func (t TLS) String() string {
	switch t {
	case Opportunistic:
		return "opportunistic"
	case None:
		return "none"
	case Required:
		return "required"
	case Verified:
		return "verified"
	}
	return "unknown"
}
