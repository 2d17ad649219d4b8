// Package mx says where mail for a domain goes: which hosts, at which addresses, best first, and what each demands of a
// connection.
//
// A [Router] answers that question. [Resolver] asks the DNS, as RFC 5321, section 5.1, says; [Relay] names one server for
// everything; [PerDomain] chooses a router by domain; [RouterFunc] is anything else. Routers compose: one that wraps another
// may drop hosts and tighten [Host.TLS], and nobody else need know.
//
// # Promises
//
//   - A route has at least one host, and each host at least one address. A failed lookup costs only what it was to find: as
//     long as one address is known, there is a route.
//   - An error says whether trying again helps. Permanent are only: a domain that doesn't exist, one that says it takes no mail
//     (RFC 7505), one whose mail comes back to us, and what isn't a domain at all.
//   - Names, addresses and lists that others chose are bounded and checked. A [Resolver] never leads inside: addresses that
//     aren't public are left out unless it is told otherwise, and those it gives are the ones to be dialled, so that there is
//     no second answer of the DNS to be led astray by. A [Relay], which the host program names, may be anywhere.
//   - Mail doesn't go in circles: a Resolver goes only to hosts that are better than this one, which it knows by name and
//     addresses.
//
// The DNS is reached through the interface [DNS]. Package dnsclient speaks to name servers itself, keeps answers, and knows
// about DNSSEC. [SystemDNS] is what Go's net package offers, for systems without an /etc/resolv.conf.
package mx

import "context"

// Router finds the way to a domain. Route may be called by several goroutines at once. Its errors are of type [*Error];
// any other error is taken for temporary trouble.
type Router interface {
	// Route takes a domain as it stands after the @ of an address: a name, with A-labels or U-labels, or an address
	// literal such as [192.0.2.1] or [IPv6:2001:db8::1]. It returns when ctx ends.
	Route(ctx context.Context, domain string) (*Route, error)
}

// PolicyRouter is implemented by routers that hold routes to what the recipients' domains demand, as those of packages mtasts and
// dane do, and by routers that may have such a one inside.
type PolicyRouter interface {
	Router
	// WithoutPolicies returns a router that does the same but for that. What the host program itself demands, such as of a
	// [Relay], stays.
	WithoutPolicies() Router
}

// WithoutPolicies is r for a message whose sender has it delivered whatever the recipients' domains demand of TLS, by the
// header field "TLS-Required: No" (RFC 8689, section 3). It is r itself unless that is a [PolicyRouter].
func WithoutPolicies(r Router) Router {
	if p, ok := r.(PolicyRouter); ok {
		return p.WithoutPolicies()
	}
	return r
}

// RouterFunc makes a Router of a function.
type RouterFunc func(ctx context.Context, domain string) (*Route, error)

// Route calls f.
func (f RouterFunc) Route(ctx context.Context, domain string) (*Route, error) { return f(ctx, domain) }
