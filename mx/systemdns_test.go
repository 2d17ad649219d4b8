package mx_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/mxtest"
)

// systemDNS is a SystemDNS that asks s instead of the system's servers.
func systemDNS(s *mxtest.Server) *mx.SystemDNS {
	return &mx.SystemDNS{Resolver: &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, s.Addr())
		},
	}}
}

func TestSystemDNS(t *testing.T) {
	s := newServer(t,
		"x.example MX 20 b.host.example", "x.example MX 10 a.host.example",
		"partly.example MX 5 bad\\ name.example", "partly.example MX 10 a.host.example",
		"null.example MX 0 .",
		"implicit.example A 127.0.0.9",
		"text.example TXT hello",
		"a.host.example A 127.0.0.1", "a.host.example AAAA ::1", "b.host.example A 127.0.0.2",
	)
	s.SetFault("sick.example", mxtest.Fault{Rcode: mx.ServFail})
	r := &mx.Resolver{DNS: systemDNS(s), AllowPrivate: true}
	for domain, want := range map[string]string{
		"x.example":        "a.host.example=::1,127.0.0.1 b.host.example=127.0.0.2",
		"partly.example":   "a.host.example=::1,127.0.0.1",
		"implicit.example": "implicit.example=127.0.0.9",
		"null.example":     "556 5.1.10",
		"text.example":     "451 4.4.4",
		"missing.example":  "550 5.1.2",
		"sick.example":     "451 4.4.3",
	} {
		t.Run(domain, func(t *testing.T) {
			route, err := r.Route(t.Context(), domain)
			check(t, route, err, want)
		})
	}
	if a, err := systemDNS(s).Lookup(t.Context(), "text.example", mx.TypeTXT); err != nil || len(a.Records) != 1 || a.Records[0].Text != "hello" {
		t.Errorf("TXT: %+v, %v", a, err)
	}
	if a, err := systemDNS(s).Lookup(t.Context(), "missing.example", mx.TypeTXT); err != nil || len(a.Records) != 0 {
		t.Errorf("no TXT: %+v, %v", a, err)
	}
	if _, err := systemDNS(s).Lookup(t.Context(), "x.example", mx.TypeTLSA); err == nil {
		t.Error("TLSA records were looked up")
	}
}

// A name whose existence can't be found out counts as there: nobody's mail bounces for a name server's trouble.
func TestSystemDNSIsCautious(t *testing.T) {
	s := newServer(t)
	dns := systemDNS(s)
	dial := dns.Resolver.Dial
	dns.Resolver.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if s.Queries("missing.example", mx.TypeMX) > 0 {
			return nil, errors.New("the network is gone")
		}
		return dial(ctx, network, address)
	}
	a, err := dns.Lookup(t.Context(), "missing.example", mx.TypeMX)
	if err != nil || a.Rcode != mx.Success || len(a.Records) > 0 {
		t.Errorf("%+v, %v", a, err)
	}
	route, err := (&mx.Resolver{DNS: dns}).Route(t.Context(), "missing.example")
	check(t, route, err, "451 4.4.3")
}
