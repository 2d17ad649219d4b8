// Package dane protects the way to a mail host by DANE (RFC 7672): the host's zone says in TLSA records, signed by DNSSEC, which
// certificate the host has. Then nobody on the way can pretend to be the host, nor that it has no TLS.
//
// A [Router] goes around another, directly or not around an [mx.Resolver] whose DNS validates. What it makes of a host:
//
//	the domain's MX records or the host's zone aren't signed   as the other router has it
//	the host has no TLSA records                               as the other router has it
//	only records that a client can't use (RFC 7672, 2.2)       TLS is required, any certificate will do
//	usable records                                             TLS is required, and a certificate that one of them names
//	records that can't be looked up, or are forged             the host isn't used
//
// What the other router demands stays demanded: a host that it wants [mx.Verified], as by MTA-STS, has to prove its name to
// the public certificate authorities and itself to DANE.
//
// # Certificates
//
// Records of usage DANE-EE(3) name the host's certificate or key; names and dates in that certificate don't matter. Those of
// usage DANE-TA(2) name who has issued it: it must be valid now, and prove a name of the host or of the domain (RFC 7672,
// section 3.2.2). Usages 0 and 1, which need public authorities, are none for mail. Either names a certificate or a public key,
// as a whole or by its SHA-256 or SHA-512 digest; where there are digests of both kinds for one usage and selector, the
// stronger count (RFC 7671, section 9).
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

// Router is an [mx.Router] that demands of hosts what their TLSA records do. The zero value is ready to use. Its fields must not
// change once it is in use.
type Router struct {
	// Router finds the hosts. Defaults to an [mx.Resolver] that asks DNS.
	Router mx.Router
	// DNS looks TLSA records up. It should be the one that Router asks, and keep answers. What it says is believed as far as
	// [mx.Answer.Authentic] goes. Defaults to a [dnsclient.Client], which asks the servers of the system's configuration
	// and believes those on loopback.
	DNS mx.DNS
	// Timeout bounds the lookups of one call of Route, after those of Router; a host that isn't done with until then isn't
	// used. Defaults to 1 minute.
	Timeout time.Duration

	client dnsclient.Client // is asked if DNS is nil
}

// Route returns the hosts of the other router that may be used. If there are none, the error is temporary and wraps
// [ErrLookup].
func (r *Router) Route(ctx context.Context, domain string) (*mx.Route, error) {
	route, err := r.router().Route(ctx, domain)
	if err != nil || route == nil || !slices.ContainsFunc(route.Hosts, eligible) {
		return route, err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.Timeout, routeTimeout))
	defer cancel()
	hosts := slices.Clone(route.Hosts)
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxLookups)
	for i := range hosts {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = r.protect(ctx, &hosts[i])
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
		return nil, &mx.Error{Domain: domain, Code: 451, Enhanced: "4.7.5", Err: fmt.Errorf("%w: %w", ErrLookup, errs[0])}
	}
	return &strict, nil
}

// eligible reports whether a host's name is one to look up, and nobody on the way can have chosen it.
func eligible(host mx.Host) bool {
	_, err := netip.ParseAddr(host.Name)
	return host.Secure && err != nil
}

// protect tightens what is demanded of a host. Its error means that the host is not to be used.
func (r *Router) protect(ctx context.Context, host *mx.Host) error {
	if !eligible(*host) {
		return nil
	}
	base, found, err := r.records(ctx, host)
	if err != nil || len(found) == 0 {
		return err
	}
	if host.TLS != mx.Verified {
		host.TLS = mx.Required
	}
	if base != host.Name {
		host.SNI = base // RFC 7672, section 8.1
	}
	p := newPolicy(found, names(base, host))
	if len(p.records) > 0 {
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

func (r *Router) router() mx.Router {
	if r.Router == nil {
		return &mx.Resolver{DNS: r.dns()}
	}
	return r.Router
}

func (r *Router) dns() mx.DNS {
	if r.DNS == nil {
		return &r.client
	}
	return r.DNS
}
