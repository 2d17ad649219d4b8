package mx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
)

var (
	errNoData  = errors.New("no addresses")
	errPrivate = errors.New("only addresses that are not public, which are not allowed here")
)

// hosts finds the addresses of the hosts of list, in its order. Hosts without one are left out; if all are, the error says
// why.
func (r *Resolver) hosts(ctx context.Context, list []exchanger) ([]Host, error) {
	addrs := make([][]netip.Addr, len(list))
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxLookups/2) // a host is two lookups
	for i, e := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			addrs[i], errs[i] = r.addresses(ctx, e.host)
		})
	}
	wg.Wait()
	var hosts []Host
	for i, e := range list {
		if len(addrs[i]) > 0 {
			hosts = append(hosts, Host{
				Name: e.host, Addrs: addrs[i], Port: cmp.Or(r.Port, 25), Preference: e.preference, Secure: e.secure, Domains: e.domains,
			})
		}
	}
	if len(hosts) == 0 {
		return nil, worst(errs)
	}
	return hosts, nil
}

// worst returns the error that explains a failure best: a lookup that failed, before hosts that we refuse, before ones
// that have no address.
func worst(errs []error) error {
	rank := func(err error) int {
		switch {
		case errors.Is(err, errNoData):
			return 0
		case errors.Is(err, errPrivate):
			return 1
		}
		return 2
	}
	return slices.MaxFunc(errs, func(a, b error) int { return cmp.Compare(rank(a), rank(b)) })
}

// errNoRoute makes an Error of what hosts returned.
func errNoRoute(domain string, err error) *Error {
	if errors.Is(err, errNoData) || errors.Is(err, errPrivate) {
		return errNoAddress(domain, err)
	}
	return errDNS(domain, err)
}

// addresses returns those of a host that r allows, at least one.
func (r *Resolver) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := lookupAddrs(ctx, r.dns(), host)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	if !r.AllowPrivate {
		addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return !public(a) })
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s: %w", host, errPrivate)
	}
	return addrs[:min(len(addrs), maxAddrs)], nil
}

// lookupAddrs asks for both families at once, and returns at least one address. What one family's failure hides, the other
// makes up for.
func lookupAddrs(ctx context.Context, dns DNS, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	var v4, v6 []netip.Addr
	var err4, err6 error
	var wg sync.WaitGroup
	wg.Go(func() { v6, err6 = lookupFamily(ctx, dns, host, TypeAAAA) })
	wg.Go(func() { v4, err4 = lookupFamily(ctx, dns, host, TypeA) })
	wg.Wait()
	addrs := interleave(v6, v4)
	if len(addrs) == 0 {
		return nil, cmp.Or(err4, err6, errNoData)
	}
	return addrs, nil
}

func lookupFamily(ctx context.Context, dns DNS, host string, t Type) ([]netip.Addr, error) {
	answer, err := dns.Lookup(ctx, host, t)
	if err != nil {
		return nil, fmt.Errorf("looking up %v: %w", t, err)
	}
	if answer.Rcode != Success && answer.Rcode != NXDomain {
		return nil, fmt.Errorf("looking up %v: %v", t, answer.Rcode)
	}
	var addrs []netip.Addr
	for _, record := range answer.Records {
		if addr := record.Addr.Unmap(); addr.IsValid() && addr.Zone() == "" {
			addrs = append(addrs, addr)
		}
	}
	return addrs, nil
}

// interleave takes from a and b in turn, each address once: whichever family doesn't work here, the second try is one
// of the other (RFC 8305, section 4).
func interleave(a, b []netip.Addr) []netip.Addr {
	var all []netip.Addr
	seen := make(map[netip.Addr]bool, len(a)+len(b))
	for i := range max(len(a), len(b)) {
		for _, list := range [][]netip.Addr{a, b} {
			if i < len(list) && !seen[list[i]] {
				seen[list[i]] = true
				all = append(all, list[i])
			}
		}
	}
	return all
}
