package dane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dnsclient"
)

// Bounds on what a domain's owner can make us do.
const (
	routeTimeout = time.Minute
	maxLookups   = 8  // hosts looked at at once
	maxRecords   = 32 // TLSA records of a host
	maxCerts     = 20 // certificates of a chain that are looked at
)

var (
	// ErrLookup means that nobody knows whether a host is protected by DANE, or how: the lookup of its records has failed, or
	// the answer was forged. An [*mx.Error] wraps it when no host is left.
	ErrLookup = errors.New("dane: TLSA records can't be known")
	// ErrCertificate means that the host isn't the one its TLSA records name. The check of a connection returns it.
	ErrCertificate = errors.New("dane: the certificate isn't what the host's TLSA records say")
)

// Event is what [Router.Observe] is told: what protects a host, or why it is left out.
type Event struct {
	Domain  string // that of Route
	Host    string
	Base    string    // the name that the records are for: Host, or what it is an alias of; "" if Err isn't nil
	Records []mx.TLSA // usable or not; shared: not to be changed
	Err     error     // not nil: the host is left out. It wraps ErrLookup
}

// Router is an [mx.Router] that demands of hosts what their TLSA records do. The zero value is ready to use. Its fields must not
// change once it is in use.
type Router struct {
	// Inner finds the hosts. Defaults to an [mx.Resolver] that asks DNS.
	Inner mx.Router
	// DNS looks TLSA records up. It should be the one that Inner asks, and keep answers. What it says is believed as far as
	// [mx.Answer.Authentic] goes. Defaults to a [dnsclient.Client], which asks the servers of the system's configuration
	// and believes those on loopback.
	DNS mx.DNS
	// Timeout bounds the lookups of one call of Route, after those of Inner; a host that isn't done with until then is left
	// out. Defaults to 1 minute.
	Timeout time.Duration
	// Observe, if not nil, is told of each host that has TLSA records or may have some, for logs and for reports (RFC 8460).
	// It may be called by several goroutines at once, and should return soon.
	Observe func(Event)

	client dnsclient.Client // is asked if DNS is nil
}

// Route returns the hosts of the inner router that may be used. If there are none, the error is temporary and wraps
// [ErrLookup].
func (r *Router) Route(ctx context.Context, domain string) (*mx.Route, error) {
	return r.route(ctx, domain, r.inner(), eligible)
}

// WithoutPolicies returns a router that asks nothing of the hosts to which the DNS has led. It protects those that the host
// program has named, such as a relay: they aren't the recipient's.
func (r *Router) WithoutPolicies() mx.Router {
	inner := mx.WithoutPolicies(r.inner())
	named := func(h mx.Host) bool { return h.Domains == nil && eligible(h) }
	return mx.RouterFunc(func(ctx context.Context, domain string) (*mx.Route, error) {
		return r.route(ctx, domain, inner, named)
	})
}

// route protects those of the inner router's hosts that are to be.
func (r *Router) route(ctx context.Context, domain string, inner mx.Router, which func(mx.Host) bool) (*mx.Route, error) {
	route, err := inner.Route(ctx, domain)
	if err != nil || route == nil || !slices.ContainsFunc(route.Hosts, which) {
		return route, err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.Timeout, routeTimeout))
	defer cancel()
	hosts := slices.Clone(route.Hosts)
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxLookups)
	for i := range hosts {
		if !which(hosts[i]) {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = r.protect(ctx, domain, &hosts[i])
		})
	}
	wg.Wait()
	strict := *route
	strict.Hosts = nil
	for i, host := range hosts {
		if errs[i] == nil {
			strict.Hosts = append(strict.Hosts, host)
		}
	}
	if len(strict.Hosts) == 0 {
		return nil, &mx.Error{Domain: domain, Code: 451, Enhanced: "4.7.5", Err: errs[0]}
	}
	return &strict, nil
}

// eligible reports whether a host's name is one to look up, and nobody on the way can have chosen it.
func eligible(host mx.Host) bool {
	_, err := netip.ParseAddr(host.Name)
	return host.Secure && err != nil
}

// protect tightens what is demanded of a host. Its error means that the host is not to be used.
func (r *Router) protect(ctx context.Context, domain string, host *mx.Host) error {
	base, records, err := r.records(ctx, host)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrLookup, err)
	}
	if r.Observe != nil && (err != nil || len(records) > 0) {
		r.Observe(Event{Domain: domain, Host: host.Name, Base: base, Records: records, Err: err})
	}
	if err != nil || len(records) == 0 {
		return err
	}
	if host.TLS != mx.Verified {
		host.TLS = mx.Required
	}
	if base != host.Name {
		host.SNI = base // RFC 7672, section 8.1
	}
	if p := newPolicy(records, names(base, host)); len(p.records) > 0 {
		host.Verify = chain(host.Verify, p.verify)
		host.Policy = strings.TrimSpace(host.Policy + " " + p.digest())
	}
	return nil
}

// names are those that a certificate may prove: that of the TLSA records, and the domain's if its MX records lead to the host.
func names(base string, host *mx.Host) []string {
	if host.Domains == nil {
		return []string{base, host.Name}
	}
	return append([]string{base}, host.Domains...)
}

func (r *Router) inner() mx.Router {
	if r.Inner == nil {
		return &mx.Resolver{DNS: r.dns()}
	}
	return r.Inner
}

func (r *Router) dns() mx.DNS {
	if r.DNS == nil {
		return &r.client
	}
	return r.DNS
}
