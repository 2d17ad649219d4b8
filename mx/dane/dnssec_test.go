//go:build linux

package dane

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dnsclient"
	"github.com/postroad/postroad/smtpclient"
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
		want    string // level of TLS of each host that may be used, whether there is a check, and what becomes of the message
	}{
		{domain: "none", want: "opportunistic delivered"},
		{domain: "ee-spki", records: tlsa("mx-ee-spki", leaf.tlsa(3, 1, 1)), want: "required checked delivered"},
		{domain: "ee-cert", records: tlsa("mx-ee-cert", leaf.tlsa(3, 0, 1)), want: "required checked delivered"},
		{domain: "ee-512", records: tlsa("mx-ee-512", leaf.tlsa(3, 1, 2)), want: "required checked delivered"},
		{domain: "ee-whole", records: tlsa("mx-ee-whole", leaf.tlsa(3, 0, 0)), want: "required checked delivered"},
		{domain: "ee-other", records: tlsa("mx-ee-other", other.tlsa(3, 1, 1)), want: "required checked refused"},
		{domain: "ee-root", records: tlsa("mx-ee-root", root.tlsa(3, 1, 1)), want: "required checked refused"},
		{domain: "ee-rollover", records: tlsa("mx-ee-rollover", other.tlsa(3, 1, 1), leaf.tlsa(3, 1, 1)), want: "required checked delivered"},
		{domain: "ta-cert", records: tlsa("mx-ta-cert", root.tlsa(2, 0, 1)), want: "required checked delivered"},
		{domain: "ta-512", records: tlsa("mx-ta-512", root.tlsa(2, 1, 2)), want: "required checked delivered"},
		{domain: "ta-whole", records: tlsa("mx-ta-whole", root.tlsa(2, 0, 0)), want: "required checked delivered"},
		{domain: "ta-key", records: tlsa("mx-ta-key", root.tlsa(2, 1, 0)), want: "required checked delivered"},
		{domain: "ta-other", records: tlsa("mx-ta-other", other.tlsa(2, 0, 1)), want: "required checked refused"},
		{domain: "ta-domain", hosts: "mx.ta-domain", records: "mx.ta-domain A 127.0.0.1\n" + tlsa("mx.ta-domain", root.tlsa(2, 0, 1)),
			want: "required checked delivered"}, // the certificate is the domain's
		{domain: "ta.name", hosts: "mx.ta.name", records: "mx.ta.name A 127.0.0.1\n" + tlsa("mx.ta.name", root.tlsa(2, 0, 1)),
			want: "required checked refused"},
		{domain: "pkix", records: tlsa("mx-pkix", other.tlsa(1, 1, 1), other.tlsa(0, 0, 1)), want: "required delivered"},
		{domain: "implicit", hosts: "none", records: "implicit A 127.0.0.1\n" + tlsa("implicit", other.tlsa(3, 1, 1)), want: "required checked refused"},

		{domain: "alias", records: "mx-alias CNAME mx.provider.example.\n", want: "required checked as mx.provider.example delivered"},
		{domain: "alias2", hosts: "a", records: "a CNAME b\nb CNAME mx.provider.example.\n" + tlsa("a", other.tlsa(3, 1, 1)),
			want: "required checked as mx.provider.example delivered"},
		{domain: "leaves", records: "mx-leaves CNAME mx.plain.example.\n", want: "opportunistic delivered"},
		{domain: "leaves2", records: "mx-leaves2 CNAME mx.plain.example.\n" + tlsa("mx-leaves2", other.tlsa(3, 1, 1)), want: "required checked refused"},
		{domain: "shared", hosts: "mx.provider.example.", want: "required checked delivered"},
		{domain: "domain-alias", hosts: "none", records: "domain-alias CNAME ee-other\n", want: "required checked refused"},

		{domain: "plain.example", want: "opportunistic delivered"},
		{domain: "unsigned-host", hosts: "mx.plain.example.", want: "opportunistic delivered"},
		{domain: "unsigned-tlsa", want: "opportunistic delivered"},
		{domain: "outdated.example", want: "451 4.4.3"},
		{domain: "outdated-host", hosts: "mx.outdated.example.", want: "451 4.4.3"},
		{domain: "outdated-tlsa", want: "451 4.7.5"},
		{domain: "tampered-tlsa", want: "451 4.7.5"},
		{domain: "second", hosts: "mx-outdated-tlsa mx-ee-spki", want: "required checked delivered"},
		{domain: "second-bad", hosts: "mx-outdated-tlsa mx-ee-other", want: "required checked refused"},
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
	router := &Router{Router: &mx.Resolver{DNS: dns, AllowPrivate: true, Port: port}, DNS: dns}
	for _, c := range cases {
		t.Run(c.domain, func(t *testing.T) {
			domain := c.domain
			if !strings.HasSuffix(domain, ".example") {
				domain += ".good.example"
			}
			route, err := router.Route(t.Context(), domain)
			got := describe(route, err)
			if err == nil {
				_, demands, _ := strings.Cut(got, " ")
				got = demands + " " + send(t, server, &route.Hosts[0])
			}
			if got != c.want {
				t.Errorf("%s (%v)\nwant %s", got, err, c.want)
			}
		})
	}
}

// send says what becomes of a message to a host.
func send(t *testing.T, server *smtptest.Server, host *mx.Host) string {
	t.Helper()
	o := &smtpclient.Options{ServerName: host.Name, TLSConfig: &tls.Config{ServerName: host.SNI, VerifyConnection: host.Verify}}
	if host.TLS == mx.Required {
		o.TLS = smtpclient.RequiredTLS
	}
	s, err := smtpclient.Dial(t.Context(), server.Addr, o)
	if errors.Is(err, ErrCertificate) {
		return "refused"
	}
	must(t, err)
	defer s.Close()
	results, err := s.Send(t.Context(), &smtpclient.Envelope{
		From: "ann@postroad.example", To: []smtpclient.Recipient{{Address: "ben@good.example"}},
	}, strings.NewReader("Subject: hi\r\n\r\n"))
	must(t, err)
	if results[0].Err != nil || results[0].Reply.Code != 250 || s.TLS() == nil {
		return fmt.Sprintf("%+v", results[0])
	}
	return "delivered"
}
