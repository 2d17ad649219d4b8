package mx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// SystemDNS looks names up as Go's net package does, through the servers of the system's configuration and its hosts file.
// The zero value is ready to use.
//
// It works wherever Go does, and is the one to use where there is no /etc/resolv.conf (Windows, Android, iOS), or where mail is
// to follow the hosts file. Everywhere else the Client of package dnsclient is better. Go's package doesn't say how long an
// answer may be kept, so TTL is always 0 and each lookup asks anew; nor whether it was validated, so there is no DANE; nor
// the end of a chain of CNAMEs. It tells no difference between a name that doesn't exist and one without records of a type: a
// name is NXDOMAIN here if it has no MX, no address, no NS and no TXT record. A name that has only other records is taken
// for missing, wrongly, but it takes no mail either way.
type SystemDNS struct {
	// Resolver does the lookups. Defaults to net.DefaultResolver.
	Resolver *net.Resolver
}

// Lookup asks for MX, TXT, A or AAAA records.
func (s *SystemDNS) Lookup(ctx context.Context, name string, t Type) (Answer, error) {
	r := s.Resolver
	if r == nil {
		r = net.DefaultResolver
	}
	name += "." // absolute: the search list of the system is not for mail
	switch t {
	case TypeMX:
		return lookupMX(ctx, r, name)
	case TypeA:
		return lookupIP(ctx, r, "ip4", name)
	case TypeAAAA:
		return lookupIP(ctx, r, "ip6", name)
	case TypeTXT:
		return lookupTXT(ctx, r, name)
	}
	return Answer{}, fmt.Errorf("mx: SystemDNS can't look up %v records", t)
}

func lookupMX(ctx context.Context, r *net.Resolver, name string) (Answer, error) {
	list, err := r.LookupMX(ctx, name)
	var a Answer
	for _, m := range list { // with an error, too, there may be some: those with names that are valid
		host := m.Host
		if host != "." {
			host = strings.TrimSuffix(host, ".")
		}
		a.Records = append(a.Records, Record{Preference: m.Pref, Host: host})
	}
	switch {
	case len(a.Records) > 0:
		return a, nil
	case notFound(err):
		return a, missing(ctx, r, name, &a)
	}
	return a, err
}

// missing sets the answer's code to NXDomain if nothing at all is found under name.
func missing(ctx context.Context, r *net.Resolver, name string, a *Answer) error {
	lookups := []func() error{
		func() error { _, err := r.LookupNetIP(ctx, "ip", name); return err },
		func() error { _, err := r.LookupNS(ctx, name); return err },
		func() error { _, err := r.LookupTXT(ctx, name); return err },
	}
	for _, lookup := range lookups {
		if err := lookup(); !notFound(err) {
			return ctx.Err() // found, or not known: then the name counts as there, which is the cautious guess
		}
	}
	a.Rcode = NXDomain
	return nil
}

func lookupIP(ctx context.Context, r *net.Resolver, network, name string) (Answer, error) {
	list, err := r.LookupNetIP(ctx, network, name)
	if err != nil && !notFound(err) {
		return Answer{}, err
	}
	var a Answer
	for _, addr := range list {
		a.Records = append(a.Records, Record{Addr: addr.Unmap()})
	}
	return a, nil
}

func lookupTXT(ctx context.Context, r *net.Resolver, name string) (Answer, error) {
	list, err := r.LookupTXT(ctx, name)
	if err != nil && !notFound(err) {
		return Answer{}, err
	}
	var a Answer
	for _, text := range list {
		a.Records = append(a.Records, Record{Text: text})
	}
	return a, nil
}

func notFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}
