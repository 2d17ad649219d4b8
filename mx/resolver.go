package mx

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Bounds on what a domain's owner can make us do.
const (
	maxHosts     = 100 // MX hosts of a domain that are looked at, the best ones
	maxAddrs     = 10  // addresses of a host
	maxLookups   = 16  // lookups that one Route has under way
	routeTimeout = time.Minute
)

// Resolver is a Router that asks the DNS: MX records by preference, equal ones shuffled, else the domain's own addresses
// (RFC 5321, section 5.1). The zero value is ready to use. Its fields must not change once it is in use.
//
// A Resolver demands [Opportunistic] TLS of every host. Its site is the provider that all MX hosts of a domain belong to, or else
// their sorted names, so that domains with the same hosts share their limits.
//
// With AllowPrivate unset, [Host.Addrs] has public addresses only. These are what is to be dialled: nobody who does so asks
// the DNS again, which could answer differently by then. An address in brackets, an MX record with an address for a host,
// and IPv6 addresses that stand for an IPv4 one are judged the same.
type Resolver struct {
	// DNS does the lookups. Defaults to &SystemDNS{}; where there is an /etc/resolv.conf, the Client of package dnsclient is
	// better.
	DNS DNS
	// Hostname is this host's own name, as other hosts' MX records would have it. A list of MX hosts is cut where it names
	// us, at our preference: we are to pass mail on to better hosts only, or it would go in circles. Defaults to "": no
	// list is cut for a name.
	Hostname string
	// Addrs are the addresses at which others reach this host. A list of MX hosts is cut where a host has one of them, as it
	// is for Hostname. Defaults to nil: no list is cut for an address.
	Addrs []netip.Addr
	// Providers has the site for hosts at and below a name, written in lower case without a dot at either end; the longest
	// name that fits counts, and "" makes an exception below one. Defaults to [Providers](). An empty table that isn't
	// nil knows no provider.
	Providers map[string]string
	// Port is the port of every host. Defaults to 25.
	Port uint16
	// AllowPrivate allows hosts with addresses that aren't public: loopback, private, link-local, documentation and so on.
	// Otherwise anybody's DNS could point us at servers inside. Defaults to false.
	AllowPrivate bool
	// Timeout bounds one call of Route; addresses found until then are used. Defaults to 1 minute.
	Timeout time.Duration
	// Shuffle puts hosts of equal preference in an order, and has the meaning of rand.Shuffle in math/rand/v2, to which it
	// defaults. It may be called by several goroutines at once.
	Shuffle func(n int, swap func(i, j int))
}

// exchanger is an MX record whose host has a name or address one can use.
type exchanger struct {
	preference uint16
	host       string
	secure     bool     // the record was validated
	domains    []string // see Host.Domains
}

// Route looks domain up. The error wraps [ErrNoDomain], [ErrNullMX] or [ErrLoop] if that is the reason.
func (r *Resolver) Route(ctx context.Context, domain string) (*Route, error) {
	name, literal, err := parseDomain(domain)
	if err != nil {
		return nil, errSyntax(domain, err)
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.Timeout, routeTimeout))
	defer cancel()
	list := []exchanger{{host: literal.String()}}
	if !literal.IsValid() {
		if list, err = r.exchangers(ctx, name); err != nil {
			return nil, err
		}
	}
	site := r.site(list)
	r.shuffle(list)
	better := r.cut(r.lookup(ctx, list))
	if len(better) == 0 {
		return nil, errLoop(domain)
	}
	hosts, err := r.hosts(better)
	if err != nil {
		return nil, errNoRoute(domain, err)
	}
	return &Route{Site: site, Hosts: hosts}, nil
}

// exchangers returns the hosts that take mail for a domain, best first; those of one preference by name.
func (r *Resolver) exchangers(ctx context.Context, name string) ([]exchanger, error) {
	answer, err := r.dns().Lookup(ctx, name, TypeMX)
	switch {
	case err != nil:
		return nil, errDNS(name, fmt.Errorf("looking up MX: %w", err))
	case answer.Rcode == NXDomain:
		return nil, errNoDomain(name)
	case answer.Rcode != Success:
		return nil, errDNS(name, fmt.Errorf("looking up MX: %v", answer.Rcode))
	case len(answer.Records) == 1 && answer.Records[0].Host == "." && answer.Records[0].Preference == 0:
		return nil, errNullMX(name)
	}
	list := parseExchangers(answer.Records)
	if len(answer.Records) == 0 {
		list = []exchanger{{host: name}}
	}
	if len(list) == 0 {
		return nil, errNoAddress(name, fmt.Errorf("none of its %d MX records names a host", len(answer.Records)))
	}
	list = list[:min(len(list), maxHosts)]
	domains := []string{name}
	if answer.Canonical != "" && answer.Canonical != name {
		domains = append(domains, answer.Canonical)
	}
	for i := range list {
		list[i].secure, list[i].domains = answer.Authentic, domains
	}
	return list, nil
}

// parseExchangers keeps the records with a usable host, each host once, at its best preference.
func parseExchangers(records []Record) []exchanger {
	var list []exchanger
	for _, record := range records {
		if host, ok := parseHost(record.Host); ok {
			list = append(list, exchanger{preference: record.Preference, host: host})
		}
	}
	slices.SortFunc(list, func(a, b exchanger) int {
		return cmp.Or(strings.Compare(a.host, b.host), cmp.Compare(a.preference, b.preference))
	})
	list = slices.CompactFunc(list, func(a, b exchanger) bool { return a.host == b.host })
	sortByPreference(list)
	return list
}

// sortByPreference keeps the order of equal ones.
func sortByPreference(list []exchanger) {
	slices.SortStableFunc(list, func(a, b exchanger) int { return cmp.Compare(a.preference, b.preference) })
}

// parseHost reads what an MX record points at: a name or, though it shouldn't, an address.
func parseHost(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil && addr.Zone() == "" {
		return addr.Unmap().String(), true
	}
	return s, validName(s)
}

// shuffle reorders hosts of equal preference.
func (r *Resolver) shuffle(list []exchanger) {
	shuffle := r.Shuffle
	if shuffle == nil {
		shuffle = rand.Shuffle
	}
	shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	sortByPreference(list)
}

func (r *Resolver) dns() DNS {
	if r.DNS == nil {
		return &SystemDNS{}
	}
	return r.DNS
}
