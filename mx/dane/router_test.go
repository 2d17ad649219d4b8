package dane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/mx"
)

// dnsFunc is a DNS made of a function.
type dnsFunc func(ctx context.Context, name string, t mx.Type) (mx.Answer, error)

func (f dnsFunc) Lookup(ctx context.Context, name string, t mx.Type) (mx.Answer, error) {
	return f(ctx, name, t)
}

// vouching is a DNS that has these records for every host, and vouches for it.
func vouching(records ...mx.TLSA) mx.DNS {
	return dnsFunc(func(_ context.Context, _ string, t mx.Type) (mx.Answer, error) {
		if t == mx.TypeTLSA {
			answer := mx.Answer{Authentic: true}
			for _, r := range records {
				answer.Records = append(answer.Records, mx.Record{TLSA: r})
			}
			return answer, nil
		}
		return mx.Answer{Authentic: true}, nil
	})
}

// fixed is a Router that always leads to these hosts.
func fixed(hosts ...mx.Host) mx.Router {
	return mx.RouterFunc(func(context.Context, string) (*mx.Route, error) { return &mx.Route{Site: "site", Hosts: hosts}, nil })
}

// What the other router demands stays demanded, and its route stays as it was.
func TestNothingIsLoosened(t *testing.T) {
	i := (*identity)(nil).issue(t, nil, "mx.example.org")
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{i.Certificate}}
	refused := errors.New("refused")
	for _, record := range []mx.TLSA{i.tlsa(3, 1, 1), i.tlsa(1, 1, 1)} {
		for level, want := range map[mx.TLS]mx.TLS{
			mx.Opportunistic: mx.Required, mx.None: mx.Required, mx.Required: mx.Required, mx.Verified: mx.Verified,
		} {
			inner := fixed(mx.Host{
				Name: "mx.example.org", Port: 25, TLS: level, Secure: true,
				Policy: "inner", Verify: func(tls.ConnectionState) error { return refused },
			})
			route, err := (&Router{Inner: inner, DNS: vouching(record)}).Route(t.Context(), "example.org")
			must(t, err)
			host := route.Hosts[0]
			if host.TLS != want || !strings.HasPrefix(host.Policy, "inner") || (host.Policy == "inner") != (record.Usage == 1) || route.Site != "site" {
				t.Errorf("%v: %+v", level, host)
			}
			if err := host.Verify(state); err != refused {
				t.Errorf("%v: the inner check is lost: %v", level, err)
			}
			before, err := inner.Route(t.Context(), "example.org")
			must(t, err)
			if h := before.Hosts[0]; h.TLS != level || h.Policy != "inner" || h.SNI != "" {
				t.Errorf("%v: the other router's own route has changed: %+v", level, h)
			}
		}
	}
	other := (*identity)(nil).issue(t, nil, "mx.example.org")
	content := fixed(mx.Host{Name: "mx.example.org", Secure: true, Verify: func(tls.ConnectionState) error { return nil }})
	for want, record := range map[error]mx.TLSA{nil: i.tlsa(3, 1, 1), ErrCertificate: other.tlsa(3, 1, 1)} {
		route, err := (&Router{Inner: content, DNS: vouching(record)}).Route(t.Context(), "example.org")
		must(t, err)
		if err := route.Hosts[0].Verify(state); !errors.Is(err, want) {
			t.Errorf("%v after the inner check, want %v", err, want)
		}
	}
}

// Under a trust anchor the names of a domain count as well as its host's (RFC 7672, section 3.2.2), but none for a relay.
func TestNames(t *testing.T) {
	root := (*identity)(nil).issue(t, nil)
	accepts := func(host mx.Host, name string) bool {
		host.Secure = true
		dns := dnsFunc(func(ctx context.Context, asked string, typ mx.Type) (mx.Answer, error) {
			answer, err := vouching(root.tlsa(2, 0, 1)).Lookup(ctx, asked, typ)
			if asked == "alias.example.org" {
				answer.Canonical = "real.example.org"
			}
			return answer, err
		})
		route, err := (&Router{Inner: fixed(host), DNS: dns}).Route(t.Context(), "example.org")
		must(t, err)
		leaf := root.issue(t, nil, name)
		return route.Hosts[0].Verify(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf.Certificate, root.Certificate}}) == nil
	}
	domains := []string{"domain.example", "canonical.example"}
	all := []string{"mx.example.org", "alias.example.org", "real.example.org", "domain.example", "canonical.example", "example.org"}
	for _, c := range []struct {
		host mx.Host
		want []string
	}{
		{mx.Host{Name: "mx.example.org", Domains: domains}, []string{"mx.example.org", "domain.example", "canonical.example"}},
		{mx.Host{Name: "alias.example.org", Domains: domains}, []string{"real.example.org", "domain.example", "canonical.example"}},
		{mx.Host{Name: "mx.example.org"}, []string{"mx.example.org"}},
		{mx.Host{Name: "alias.example.org"}, []string{"alias.example.org", "real.example.org"}},
	} {
		for _, name := range all {
			if got := accepts(c.host, name); got != slices.Contains(c.want, name) {
				t.Errorf("%s of %q may be %s: %v", c.host.Name, c.host.Domains, name, got)
			}
		}
	}
}

// One kind of address is enough to know whether a host's zone is signed; with none, nobody knows.
func TestFailedAddresses(t *testing.T) {
	failed := errors.New("no answer")
	for _, c := range []struct {
		name     string
		err      error // of AAAA; A fails
		signed   bool
		demanded string
	}{
		{"signed", nil, true, "mx.example.org required checked"},
		{"unsigned", nil, false, "mx.example.org opportunistic"},
		{"not known", failed, false, "451 4.7.5"},
	} {
		dns := dnsFunc(func(ctx context.Context, name string, typ mx.Type) (mx.Answer, error) {
			switch typ {
			case mx.TypeA:
				return mx.Answer{}, failed
			case mx.TypeAAAA:
				return mx.Answer{Authentic: c.signed}, c.err
			}
			return vouching(mx.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: make([]byte, 32)}).Lookup(ctx, name, typ)
		})
		route, err := (&Router{Inner: fixed(mx.Host{Name: "mx.example.org", Secure: true}), DNS: dns}).Route(t.Context(), "example.org")
		if got := describe(route, err); got != c.demanded {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

// A host whose name servers are silent costs the time limit and itself, nobody else.
func TestSilentServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := dnsFunc(func(ctx context.Context, name string, typ mx.Type) (mx.Answer, error) {
			if strings.Contains(name, "silent") {
				<-ctx.Done()
				return mx.Answer{}, ctx.Err()
			}
			return vouching().Lookup(ctx, name, typ)
		})
		var hosts []mx.Host
		for range 50 {
			hosts = append(hosts, mx.Host{Name: "silent.example", Secure: true})
		}
		hosts = append(hosts, mx.Host{Name: "good.example", Secure: true})
		start := time.Now()
		route, err := (&Router{Inner: fixed(hosts...), DNS: dns}).Route(t.Context(), "x.example")
		if took := time.Since(start); took != time.Minute {
			t.Errorf("took %v", took)
		}
		if got := describe(route, err); got != "good.example opportunistic" {
			t.Errorf("the last of many: %s", got)
		}
		start = time.Now()
		route, err = (&Router{Inner: fixed(hosts[48:]...), DNS: dns, Timeout: time.Second}).Route(t.Context(), "x.example")
		if got := describe(route, err); got != "good.example opportunistic" || time.Since(start) != time.Second {
			t.Errorf("%s after %v", got, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		route, err = (&Router{Inner: fixed(hosts[0]), DNS: dns}).Route(ctx, "x.example")
		if got := describe(route, err); got != "451 4.7.5" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s (%v), want that the caller gave up", got, err)
		}
	})
}

// The zero value does what a Resolver does.
func TestZeroRouter(t *testing.T) {
	route, err := new(Router).Route(t.Context(), "[8.8.8.8]")
	if err != nil || !slices.Equal(route.Hosts[0].Addrs, []netip.Addr{netip.MustParseAddr("8.8.8.8")}) {
		t.Errorf("%+v, %v", route, err)
	}
}

// Without policies, hosts that the DNS has named are what they were; one that the host program has named stays protected.
func TestWithoutPolicies(t *testing.T) {
	record := (*identity)(nil).issue(t, nil, "mx.example.org").tlsa(3, 1, 1)
	inner := fixed(
		mx.Host{Name: "mx.example.org", Port: 25, Secure: true, Domains: []string{"example.org"}},
		mx.Host{Name: "relay.example.org", Port: 25, Secure: true},
	)
	route, err := mx.WithoutPolicies(&Router{Inner: inner, DNS: vouching(record)}).Route(t.Context(), "example.org")
	must(t, err)
	if h := route.Hosts[0]; h.TLS != mx.Opportunistic || h.Verify != nil {
		t.Errorf("%+v", h)
	}
	if h := route.Hosts[1]; h.TLS != mx.Required || h.Verify == nil {
		t.Errorf("%+v", h)
	}
}
