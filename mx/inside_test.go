package mx_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/postroad/postroad/mx"
)

func TestResolverLeadsNowhereInside(t *testing.T) {
	inside := []string{
		"0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.1.1",
		"100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "::ffff:169.254.169.254", "::169.254.169.254", "::8.8.8.8",
		"64:ff9b:1::1", "100::1", "2001::1", "2001:0:808:808::1", "2001:db8::1",
		"2002:7f00:1::1", "2002:a00:1::", "2002:c0a8:101::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "4000::1",
	}
	outside := []string{"8.8.8.8", "100.63.255.255", "172.32.0.1", "168.63.129.17", "192.0.1.1", "2001:4860::1", "2a00::1", "2002:808:808::1", "64:ff9b::808:808", "::ffff:8.8.8.8"}
	for _, a := range slices.Concat(inside, outside) {
		addr := netip.MustParseAddr(a)
		dns := dnsFunc(func(_ context.Context, _ string, t mx.Type) (mx.Answer, error) {
			if t == mx.TypeA && addr.Is4() || t == mx.TypeAAAA && addr.Is6() {
				return mx.Answer{Records: []mx.Record{{Addr: addr}}}, nil
			}
			return mx.Answer{}, nil
		})
		want := addr.Unmap().String()
		route, err := (&mx.Resolver{DNS: dns, AllowPrivate: true}).Route(t.Context(), "x.example")
		check(t, route, err, "x.example="+want)
		route, err = (&mx.Resolver{DNS: dns}).Route(t.Context(), "x.example")
		if slices.Contains(inside, a) {
			check(t, route, err, "451 4.4.4")
		} else {
			check(t, route, err, "x.example="+want)
		}
	}
	_, err := (&mx.Resolver{}).Route(t.Context(), "[127.0.0.1]")
	check(t, nil, err, "451 4.4.4")
	if err == nil || !strings.Contains(err.Error(), "not public") {
		t.Errorf("%v doesn't say that addresses are not public", err)
	}
}

// A name server that says something else each time it is asked gains nothing: the route has the addresses that were checked, and
// each name was asked for once.
func TestRebinding(t *testing.T) {
	asked := make(chan string, 100)
	addrs := []string{"8.8.8.8", "127.0.0.1", "169.254.169.254"}
	dns := dnsFunc(func(_ context.Context, name string, t mx.Type) (mx.Answer, error) {
		switch t {
		case mx.TypeMX:
			return mx.Answer{Records: []mx.Record{{Host: "a.host.example"}}}, nil
		case mx.TypeA:
			asked <- name
			return mx.Answer{Records: []mx.Record{{Addr: netip.MustParseAddr(addrs[len(asked)-1])}}}, nil
		}
		return mx.Answer{}, nil
	})
	r := &mx.Resolver{DNS: dns}
	for _, want := range []string{"a.host.example=8.8.8.8", "451 4.4.4", "451 4.4.4"} {
		route, err := r.Route(t.Context(), "x.example")
		check(t, route, err, want)
	}
	if len(asked) != 3 {
		t.Errorf("asked %d times for three routes", len(asked))
	}
}

// Of a host's addresses, and of a domain's hosts, those outside are left.
func TestPartlyInside(t *testing.T) {
	s := newServer(t,
		"x.example MX 10 a.host.example", "x.example MX 20 b.host.example", "x.example MX 30 10.0.0.1", "x.example MX 40 8.8.4.4",
		"a.host.example A 10.0.0.1", "a.host.example AAAA fd00::1",
		"b.host.example A 10.0.0.1", "b.host.example AAAA 2a00::1", "b.host.example A 8.8.8.8",
		"localhost.example MX 10 localhost", "localhost A 127.0.0.1",
	)
	r := &mx.Resolver{DNS: s.DNS()}
	for domain, want := range map[string]string{
		"x.example":               "b.host.example=2a00::1,8.8.8.8 8.8.4.4=8.8.4.4",
		"localhost.example":       "451 4.4.4",
		"localhost":               "451 4.4.4",
		"[10.0.0.1]":              "451 4.4.4",
		"[IPv6:::1]":              "451 4.4.4",
		"[IPv6:::ffff:127.0.0.1]": "451 4.4.4",
	} {
		route, err := r.Route(t.Context(), domain)
		check(t, route, err, want)
	}
}

// What the host program names itself may be anywhere.
func TestRelayInside(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "10.0.0.1", "fd00::1"} {
		route, err := (&mx.Relay{Host: host}).Route(t.Context(), "x.example")
		check(t, route, err, fmt.Sprintf("%s=%s", host, host))
	}
	s := newServer(t, "relay.example A 192.168.0.25")
	route, err := (&mx.Relay{Host: "relay.example", DNS: s.DNS()}).Route(t.Context(), "x.example")
	check(t, route, err, "relay.example=192.168.0.25")
}
