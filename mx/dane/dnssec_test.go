//go:build linux

package dane

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dnsclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A real validating name server, real signatures, real handshakes: each case is a domain whose mail goes all the way.
func TestDNSSEC(t *testing.T) {
	root := (*identity)(nil).issue(t, nil)
	leaf := root.issue(t, nil, "*.good.example", "mx.provider.example")
	other := (*identity)(nil).issue(t, nil, "*.good.example")
	server := &smtptest.Server{StartTLS: true, TLSConfig: leaf.config(root)}
	must(t, server.Start())
	t.Cleanup(server.Close)
	port := netip.MustParseAddrPort(server.Addr).Port()
	tlsa := func(host string, records ...mx.TLSA) (text string) {
		for _, r := range records {
			text += fmt.Sprintf("_%d._tcp.%s TLSA %d %d %d %x\n", port, host, r.Usage, r.Selector, r.Matching, r.Data)
		}
		return text
	}
	cases := []struct {
		domain  string // in a zone that is signed well, unless it is given in full
		hosts   string // by preference. Defaults to mx-DOMAIN, which has an address
		records string // of that zone
		want    string // level of TLS of the best host that is left, what becomes of the message, and the name asked for
	}{
		{domain: "none", want: "opportunistic encrypted"},
		{domain: "ee-spki", records: tlsa("mx-ee-spki", leaf.tlsa(3, 1, 1)), want: "required authenticated"},
		{domain: "ee-cert", records: tlsa("mx-ee-cert", leaf.tlsa(3, 0, 1)), want: "required authenticated"},
		{domain: "ee-512", records: tlsa("mx-ee-512", leaf.tlsa(3, 1, 2)), want: "required authenticated"},
		{domain: "ee-whole", records: tlsa("mx-ee-whole", leaf.tlsa(3, 0, 0)), want: "required authenticated"},
		{domain: "ee-other", records: tlsa("mx-ee-other", other.tlsa(3, 1, 1)), want: "required refused"},
		{domain: "ee-root", records: tlsa("mx-ee-root", root.tlsa(3, 1, 1)), want: "required refused"},
		{domain: "ee-rollover", records: tlsa("mx-ee-rollover", other.tlsa(3, 1, 1), leaf.tlsa(3, 1, 1)), want: "required authenticated"},
		{domain: "ta-cert", records: tlsa("mx-ta-cert", root.tlsa(2, 0, 1)), want: "required authenticated"},
		{domain: "ta-512", records: tlsa("mx-ta-512", root.tlsa(2, 1, 2)), want: "required authenticated"},
		{domain: "ta-whole", records: tlsa("mx-ta-whole", root.tlsa(2, 0, 0)), want: "required authenticated"},
		{domain: "ta-key", records: tlsa("mx-ta-key", root.tlsa(2, 1, 0)), want: "required authenticated"},
		{domain: "ta-other", records: tlsa("mx-ta-other", other.tlsa(2, 0, 1)), want: "required refused"},
		{domain: "ta-domain", hosts: "mx.ta-domain", records: "mx.ta-domain A 127.0.0.1\n" + tlsa("mx.ta-domain", root.tlsa(2, 0, 1)),
			want: "required authenticated"}, // the certificate is the domain's
		{domain: "ta.name", hosts: "mx.ta.name", records: "mx.ta.name A 127.0.0.1\n" + tlsa("mx.ta.name", root.tlsa(2, 0, 1)),
			want: "required refused"},
		{domain: "pkix", records: tlsa("mx-pkix", other.tlsa(1, 1, 1), other.tlsa(0, 0, 1)), want: "required encrypted"},
		{domain: "implicit", hosts: "none", records: "implicit A 127.0.0.1\n" + tlsa("implicit", other.tlsa(3, 1, 1)), want: "required refused"},

		{domain: "alias", records: "mx-alias CNAME mx.provider.example.\n", want: "required authenticated as mx.provider.example"},
		{domain: "alias2", hosts: "a", records: "a CNAME b\nb CNAME mx.provider.example.\n" + tlsa("a", other.tlsa(3, 1, 1)),
			want: "required authenticated as mx.provider.example"},
		{domain: "leaves", records: "mx-leaves CNAME mx.plain.example.\n", want: "opportunistic encrypted"},
		{domain: "leaves2", records: "mx-leaves2 CNAME mx.plain.example.\n" + tlsa("mx-leaves2", other.tlsa(3, 1, 1)), want: "required refused"},
		{domain: "shared", hosts: "mx.provider.example.", want: "required authenticated"},
		{domain: "domain-alias", hosts: "none", records: "domain-alias CNAME ee-other\n", want: "required refused"},

		{domain: "plain.example", want: "opportunistic encrypted"},
		{domain: "unsigned-host", hosts: "mx.plain.example.", want: "opportunistic encrypted"},
		{domain: "unsigned-tlsa", want: "opportunistic encrypted"},
		{domain: "outdated.example", want: "451 4.4.3"},
		{domain: "outdated-host", hosts: "mx.outdated.example.", want: "451 4.4.3"},
		{domain: "outdated-tlsa", want: "451 4.7.5"},
		{domain: "tampered-tlsa", want: "451 4.7.5"},
		{domain: "second", hosts: "mx-outdated-tlsa mx-ee-spki", want: "required authenticated"},
		{domain: "second-bad", hosts: "mx-outdated-tlsa mx-ee-other", want: "required refused"},
	}
	var records strings.Builder
	for _, c := range cases {
		records.WriteString(c.records)
		if c.hosts == "" {
			c.hosts = "mx-" + c.domain
			if !strings.Contains(c.records, c.hosts+" CNAME") {
				fmt.Fprintf(&records, "%s A 127.0.0.1\n", c.hosts)
			}
		}
		if c.hosts == "none" || strings.HasSuffix(c.domain, ".example") {
			continue
		}
		for i, host := range strings.Fields(c.hosts) {
			fmt.Fprintf(&records, "%s MX %d %s\n", c.domain, i, host)
		}
	}
	const host = "@ MX 10 mx\nmx A 127.0.0.1\n"
	addr := startUnbound(t,
		zone{name: "_tcp.mx-outdated-tlsa.good.example.", parent: "good.example.", signed: outdated, records: fmt.Sprintf("_%d TLSA 3 1 1 %x\n", port, leaf.tlsa(3, 1, 1).Data)},
		zone{name: "_tcp.mx-tampered-tlsa.good.example.", parent: "good.example.", signed: tampered, records: fmt.Sprintf("_%d TLSA 3 1 1 %x\n", port, leaf.tlsa(3, 1, 1).Data)},
		zone{name: "_tcp.mx-unsigned-tlsa.good.example.", parent: "good.example.", signed: unsigned, records: fmt.Sprintf("_%d TLSA 3 1 1 %x\n", port, other.tlsa(3, 1, 1).Data)},
		zone{name: "good.example.", parent: ".", records: records.String()},
		zone{name: "provider.example.", parent: ".", records: host + tlsa("mx", leaf.tlsa(3, 1, 1))},
		zone{name: "plain.example.", parent: ".", signed: unsigned, records: host + tlsa("mx", other.tlsa(3, 1, 1))},
		zone{name: "outdated.example.", parent: ".", signed: outdated, records: host + tlsa("mx", leaf.tlsa(3, 1, 1))},
		zone{name: "."},
	)
	dns := &dnsclient.Client{Servers: []string{addr}}
	router := &Router{Inner: &mx.Resolver{DNS: dns, AllowPrivate: true, Port: port}, DNS: dns}
	for _, c := range cases {
		t.Run(c.domain, func(t *testing.T) {
			domain := c.domain
			if !strings.HasSuffix(domain, ".example") {
				domain += ".good.example"
			}
			route, err := router.Route(t.Context(), domain)
			got := describe(route, err)
			if err == nil {
				host := &route.Hosts[0]
				got = host.TLS.String() + " " + send(t, host)
				if host.SNI != "" {
					got += " as " + host.SNI
				}
			}
			if got != c.want {
				t.Errorf("%s (%v)\nwant %s", got, err, c.want)
			}
		})
	}
}
