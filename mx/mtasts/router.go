package mtasts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/postroad/postroad/mx"
)

// Router is an [mx.Router] around another one, whose routes it holds against the policies of their domains. The zero value is
// ready to use. Its fields must not change once it is in use.
type Router struct {
	// Inner finds the hosts, by the MX records of a domain. Defaults to &mx.Resolver{}.
	Inner mx.Router
	// DNS looks up the TXT records that announce policies. Defaults to &mx.SystemDNS{}.
	DNS mx.DNS
	// Store keeps the policies. Without one that outlives the process, a restart is a chance for somebody on the way to hide
	// them. Defaults to 16 MB of memory, which forgets any of them when it is full.
	Store Store
	// Transport fetches the policies; it must check certificates and honour a request's context. Defaults to one for HTTP/1.1
	// with the system's roots and no proxy.
	Transport http.RoundTripper
	// Timeout bounds the search for a policy: the lookup, and one fetch. Defaults to 1 minute, as RFC 8461 suggests.
	Timeout time.Duration
	// Observe, if not nil, is told what is found out, for logs and for reports (RFC 8460). It may be called by several
	// goroutines at once, and should return soon.
	Observe func(Event)

	memory  memory
	flights flights
}

// ErrUnmatched is the reason why there is no route to a domain: its policy is enforced, and allows none of the hosts that the
// DNS names.
var ErrUnmatched = errors.New("its MTA-STS policy allows none of its MX hosts")

// Route returns the inner router's route, without the hosts that an enforced policy doesn't allow; of the others it demands
// [mx.Verified] TLS. The error wraps [ErrUnmatched] if no host is left; that is temporary, since the domain can mend it. So is
// a Store that fails.
func (r *Router) Route(ctx context.Context, domain string) (*mx.Route, error) {
	route, err := r.inner().Route(ctx, domain)
	if err != nil {
		return nil, err
	}
	name, ok := policyDomain(domain)
	if !ok {
		return route, nil
	}
	policy, err := r.policy(ctx, name, route)
	if err != nil {
		return nil, &mx.Error{Domain: name, Code: 451, Enhanced: "4.3.0", Err: err}
	}
	return r.apply(name, policy, route)
}

// WithoutPolicies returns the inner router, without policies of its own.
func (r *Router) WithoutPolicies() mx.Router { return mx.WithoutPolicies(r.inner()) }

// Close ends what goes on in the background and waits for it. A Router that isn't closed is done with it after Timeout. After
// Close, a Route refreshes no policies.
func (r *Router) Close() { r.flights.close() }

// policyDomain returns the domain whose policy counts, in the form that the DNS has: exactly that of the address, never a parent
// (RFC 8461, section 3.4). What isn't a domain name, such as an address literal, has no policy.
func policyDomain(domain string) (string, bool) {
	const most = 1024 // longer than any with U-labels that fits into the DNS
	if len(domain) > most {
		return "", false
	}
	name := strings.ToLower(strings.TrimSuffix(domain, "."))
	if !validName(name) { // then it may have U-labels
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return "", false
		}
		name = strings.ToLower(strings.TrimSuffix(ascii, "."))
	}
	return name, validName(name) && len(announcement+name) <= maxName
}

// announcement is the prefix of the name that has the TXT record. It is longer than the policy host's.
const announcement = "_mta-sts."

// policy returns the policy in force for a domain, nil if there is none. It waits for a fetch only if there is none yet, or if
// the one there is leaves no host of route; then, as whenever a fetch is due, the domain's DNS is asked first whether it has
// another one (RFC 8461, section 5.1).
func (r *Router) policy(ctx context.Context, domain string, route *mx.Route) (*Policy, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout(), errTimeout)
	defer cancel()
	current, err := r.load(ctx, domain)
	if err != nil {
		return nil, fmt.Errorf("MTA-STS policies can't be read: %w", err)
	}
	id, due := r.due(ctx, domain, current)
	switch {
	case !due || ctx.Err() != nil:
	case current != nil && !current.blocks(route):
		r.refresh(ctx, domain, id)
	default:
		if found := r.fetch(ctx, domain, id); found != nil {
			current = found
		}
	}
	if ctx.Err() != nil && context.Cause(ctx) != errTimeout {
		return nil, ctx.Err() // what the caller had no time for isn't a lack of a policy
	}
	if current == nil {
		return nil, nil
	}
	return current.Policy, nil
}

// due reports whether to fetch the policy of a domain, and the id that it is announced with. A domain that announces none isn't
// asked for one: what it had before expires. If the DNS doesn't tell, there is only something to refresh: the failure may be
// meant to make us forget it.
func (r *Router) due(ctx context.Context, domain string, current *kept) (id string, due bool) {
	answer, err := r.dns().Lookup(ctx, announcement+domain, mx.TypeTXT)
	switch {
	case err == nil && (answer.Rcode == mx.Success || answer.Rcode == mx.NXDomain):
		id = policyID(answer.Records)
	case current != nil:
		id = current.id
	}
	now := time.Now()
	switch {
	case id == "":
		return "", false
	case current == nil:
		return id, true
	}
	return id, !current.recent(now) && (current.id != id || current.old(now))
}

// blocks reports whether a policy leaves no host of a route.
func (p *Policy) blocks(route *mx.Route) bool {
	if p.Mode != Enforce {
		return false
	}
	for i := range route.Hosts {
		if p.Match(route.Hosts[i].Name) {
			return false
		}
	}
	return true
}

// apply holds a route against a policy, which may be nil. Routes are shared: a new one is made if anything changes.
func (r *Router) apply(domain string, policy *Policy, route *mx.Route) (*mx.Route, error) {
	if policy == nil || policy.Mode == None {
		return route, nil
	}
	var allowed []mx.Host
	var unmatched []string
	for _, host := range route.Hosts {
		if policy.Match(host.Name) {
			host.TLS = mx.Verified
			allowed = append(allowed, host)
		} else {
			unmatched = append(unmatched, host.Name)
		}
	}
	r.tell(Applied{domain, policy, unmatched})
	if policy.Mode == Testing {
		return route, nil
	}
	if len(allowed) == 0 {
		// 4.7.5: what would authenticate the host isn't there (RFC 3463, section 3.8).
		err := fmt.Errorf("%w: %.200s", ErrUnmatched, strings.Join(unmatched, ", "))
		return nil, &mx.Error{Domain: domain, Code: 451, Enhanced: "4.7.5", Err: err}
	}
	strict := *route
	strict.Hosts = allowed
	return &strict, nil
}

func (r *Router) inner() mx.Router {
	if r.Inner == nil {
		return &mx.Resolver{}
	}
	return r.Inner
}

func (r *Router) dns() mx.DNS {
	if r.DNS == nil {
		return &mx.SystemDNS{}
	}
	return r.DNS
}

func (r *Router) timeout() time.Duration { return cmp.Or(r.Timeout, time.Minute) }
