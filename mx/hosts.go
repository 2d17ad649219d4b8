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

// found is what the DNS says about the addresses of a host.
type found struct {
	exchanger
	addrs []netip.Addr // all of them, allowed or not
	err   error        // why there is none
}

// lookup finds the addresses of the hosts of list, in its order.
func (r *Resolver) lookup(ctx context.Context, list []exchanger) []found {
	all := make([]found, len(list))
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxLookups/2) // a host is two lookups
	for i, e := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			addrs, err := lookupAddrs(ctx, r.dns(), e.host)
			all[i] = found{e, addrs, err}
		})
	}
	wg.Wait()
	return all
}

// cut drops this host, and what isn't better than it (RFC 5321, section 5.1).
func (r *Resolver) cut(all []found) []found {
	at := slices.IndexFunc(all, r.isSelf)
	if at < 0 {
		return all
	}
	ours := all[at].preference
	return all[:slices.IndexFunc(all, func(f found) bool { return f.preference == ours })]
}

func (r *Resolver) isSelf(f found) bool {
	self, err := asciiName(r.Hostname)
	return err == nil && f.host == self ||
		slices.ContainsFunc(r.Addrs, func(own netip.Addr) bool { return slices.Contains(f.addrs, own.Unmap()) })
}

// hosts returns the hosts that have an address which r allows. If there are none, the error says why.
func (r *Resolver) hosts(all []found) ([]Host, error) {
	var hosts []Host
	var errs []error
	for _, f := range all {
		addrs, err := r.allowed(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.host, err))
			continue
		}
		hosts = append(hosts, Host{
			Name: f.host, Addrs: addrs, Port: cmp.Or(r.Port, 25), Preference: f.preference, Secure: f.secure, Domains: f.domains,
		})
	}
	if len(hosts) == 0 {
		return nil, worst(errs)
	}
	return hosts, nil
}

// allowed returns the addresses of a host that r allows, at least one.
func (r *Resolver) allowed(f found) ([]netip.Addr, error) {
	if f.err != nil {
		return nil, f.err
	}
	addrs := f.addrs
	if !r.AllowPrivate {
		addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return !Public(a) })
	}
	if len(addrs) == 0 {
		return nil, errPrivate
	}
	return addrs[:min(len(addrs), maxAddrs)], nil
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
