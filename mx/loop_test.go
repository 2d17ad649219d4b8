package mx_test

import (
	"net/netip"
	"testing"

	"github.com/postroad/postroad/mx"
)

// The list ends where it comes to us, by our name or by our address under any name.
func TestResolverCutsAtItself(t *testing.T) {
	s := newServer(t,
		"backup.example MX 5 a.host.example", "backup.example MX 10 alias.self.example", "backup.example MX 10 b.host.example",
		"backup.example MX 20 c.host.example",
		"six.example MX 5 a.host.example", "six.example MX 10 six.self.example",
		"ours.example MX 10 alias.self.example", "ours.example MX 10 a.host.example", "ours.example MX 20 b.host.example",
		"gone.example MX 5 gone.host.example", "gone.example MX 10 alias.self.example",
		"named.example MX 10 Mx.Self.example", "named.example MX 20 a.host.example",
		"literal.example MX 5 a.host.example", "literal.example MX 10 [192.0.2.1]",
		"implicit.example A 192.0.2.1",
		"other.example MX 10 a.host.example", "other.example MX 20 b.host.example",
		"mx.self.example A 192.0.2.9", "alias.self.example A 127.0.0.4", "alias.self.example A 192.0.2.1", "six.self.example AAAA 2001:db8::1",
		"a.host.example A 127.0.0.1", "b.host.example A 127.0.0.2", "c.host.example A 127.0.0.3",
	)
	own := []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	for domain, want := range map[string]string{
		"backup.example":     "a.host.example=127.0.0.1",
		"six.example":        "a.host.example=127.0.0.1",
		"ours.example":       "554 5.4.6",
		"gone.example":       "451 4.4.4",
		"named.example":      "554 5.4.6",
		"literal.example":    "a.host.example=127.0.0.1",
		"implicit.example":   "554 5.4.6",
		"[192.0.2.1]":        "554 5.4.6",
		"[IPv6:2001:db8::1]": "554 5.4.6",
		"[192.0.2.2]":        "192.0.2.2=192.0.2.2",
		"other.example":      "a.host.example=127.0.0.1 b.host.example=127.0.0.2",
	} {
		r := &mx.Resolver{DNS: s.DNS(), Hostname: "mx.self.example", Addrs: own, AllowPrivate: true}
		route, err := r.Route(t.Context(), domain)
		check(t, route, err, want)
	}
	// Without addresses of our own, only the name counts.
	route, err := (&mx.Resolver{DNS: s.DNS(), AllowPrivate: true}).Route(t.Context(), "six.example")
	check(t, route, err, "a.host.example=127.0.0.1 six.self.example=2001:db8::1")
	// An address of ours that isn't public is ours all the same.
	route, err = (&mx.Resolver{DNS: s.DNS(), Addrs: own}).Route(t.Context(), "implicit.example")
	check(t, route, err, "554 5.4.6")
}
