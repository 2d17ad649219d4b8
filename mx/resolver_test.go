package mx_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/mxtest"
)

func newServer(t *testing.T, records ...string) *mxtest.Server {
	t.Helper()
	s, err := mxtest.NewServer(records...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func keepOrder(int, func(i, j int)) {}

// render writes a route as "host=addr,addr host=addr".
func render(r *mx.Route) string {
	var hosts []string
	for _, h := range r.Hosts {
		hosts = append(hosts, h.Name+"="+strings.Trim(strings.ReplaceAll(fmt.Sprint(h.Addrs), " ", ","), "[]"))
	}
	return strings.Join(hosts, " ")
}

// check compares a route, or the codes of an error, with want.
func check(t *testing.T, route *mx.Route, err error, want string) {
	t.Helper()
	if err == nil {
		if got := render(route); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		return
	}
	var e *mx.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is not an *mx.Error", err)
	}
	got := fmt.Sprintf("%d %s", e.Code, e.Enhanced)
	if got != want || e.Permanent != (e.Code/100 == 5) {
		t.Errorf("got %s permanent=%v: %v\nwant %s", got, e.Permanent, err, want)
	}
}

func TestResolver(t *testing.T) {
	zone := []string{
		"ordered.example MX 20 b.host.example", "ordered.example MX 10 a.host.example",
		"equal.example MX 10 b.host.example", "equal.example MX 10 a.host.example", "equal.example MX 10 A.host.example",
		"twice.example MX 20 a.host.example", "twice.example MX 10 b.host.example", "twice.example MX 5 a.host.example",
		"implicit.example A 127.0.0.9", "implicit.example AAAA ::1",
		"nothing.example TXT hello",
		"null.example MX 0 .",
		"notnull.example MX 10 .", "notnull.example A 127.0.0.9",
		"nullish.example MX 0 .", "nullish.example MX 10 a.host.example",
		"alias.example CNAME ordered.example",
		"hostalias.example MX 10 alias.host.example", "alias.host.example CNAME a.host.example",
		"literal.example MX 10 127.0.0.7", "literal6.example MX 10 [::1]",
		"under.example MX 10 mx_1.host.example", "mx_1.host.example A 127.0.0.3",
		"bad.example MX 5 \\000evil.example", "bad.example MX 5 two\\ words.example", "bad.example MX 10 a.host.example",
		"allbad.example MX 5 \\000evil.example", "allbad.example A 127.0.0.9",
		"gone.example MX 10 missing.host.example",
		"partly.example MX 5 missing.host.example", "partly.example MX 10 a.host.example",
		"sick.example MX 5 sick.host.example",
		"halfsick.example MX 5 sick.host.example", "halfsick.example MX 10 a.host.example",
		"ours.example MX 10 mx.self.example", "ours.example MX 20 a.host.example",
		"backup.example MX 5 a.host.example", "backup.example MX 10 Mx.Self.example", "backup.example MX 10 b.host.example", "backup.example MX 20 c.host.example",
		"mx.self.example A 127.0.0.1",
		"xn--bcher-kva.example MX 10 a.host.example",
		"a.host.example A 127.0.0.1", "a.host.example AAAA ::1",
		"b.host.example A 127.0.0.2", "c.host.example A 127.0.0.3",
		"both.example MX 10 both.host.example", "both.host.example A 127.0.0.1", "both.host.example A 127.0.0.2",
		"both.host.example AAAA ::1", "both.host.example A 127.0.0.3",
	}
	s := newServer(t, zone...)
	s.SetFault("servfail.example", mxtest.Fault{Rcode: mx.ServFail})
	s.SetFault("refused.example", mxtest.Fault{Rcode: 5})
	s.SetFault("sick.host.example", mxtest.Fault{Rcode: mx.ServFail})
	s.SetFault("cut.example", mxtest.Fault{Truncate: true})
	if err := s.Add("cut.example MX 10 a.host.example"); err != nil {
		t.Fatal(err)
	}
	r := &mx.Resolver{DNS: s.DNS(), Hostname: "mx.self.example", AllowPrivate: true, Shuffle: keepOrder}
	tests := []struct{ domain, want string }{
		{"ordered.example", "a.host.example=::1,127.0.0.1 b.host.example=127.0.0.2"},
		{"Ordered.Example.", "a.host.example=::1,127.0.0.1 b.host.example=127.0.0.2"},
		{"equal.example", "a.host.example=::1,127.0.0.1 b.host.example=127.0.0.2"},
		{"twice.example", "a.host.example=::1,127.0.0.1 b.host.example=127.0.0.2"},
		{"implicit.example", "implicit.example=::1,127.0.0.9"},
		{"nothing.example", "451 4.4.4"},
		{"null.example", "556 5.1.10"},
		{"notnull.example", "451 4.4.4"},
		{"nullish.example", "a.host.example=::1,127.0.0.1"},
		{"missing.example", "550 5.1.2"},
		{"servfail.example", "451 4.4.3"},
		{"refused.example", "451 4.4.3"},
		{"cut.example", "a.host.example=::1,127.0.0.1"},
		{"alias.example", "a.host.example=::1,127.0.0.1 b.host.example=127.0.0.2"},
		{"hostalias.example", "alias.host.example=::1,127.0.0.1"},
		{"literal.example", "127.0.0.7=127.0.0.7"},
		{"literal6.example", "::1=::1"},
		{"under.example", "mx_1.host.example=127.0.0.3"},
		{"bad.example", "a.host.example=::1,127.0.0.1"},
		{"allbad.example", "451 4.4.4"},
		{"gone.example", "451 4.4.4"},
		{"partly.example", "a.host.example=::1,127.0.0.1"},
		{"sick.example", "451 4.4.3"},
		{"halfsick.example", "a.host.example=::1,127.0.0.1"},
		{"ours.example", "554 5.4.6"},
		{"mx.self.example", "554 5.4.6"},
		{"backup.example", "a.host.example=::1,127.0.0.1"},
		{"both.example", "both.host.example=::1,127.0.0.1,127.0.0.2,127.0.0.3"},
		{"bücher.example", "a.host.example=::1,127.0.0.1"},
		{"BÜCHER。example", "a.host.example=::1,127.0.0.1"},
		{"[127.0.0.5]", "127.0.0.5=127.0.0.5"},
		{"[IPv6:::1]", "::1=::1"},
		{"[ipv6:::ffff:127.0.0.1]", "127.0.0.1=127.0.0.1"},
		{"", "550 5.1.3"},
		{"a..example", "550 5.1.3"},
		{"127.0.0.1", "550 5.1.3"},
		{"[127.0.0.1", "550 5.1.3"},
		{"[::1]", "550 5.1.3"},
		{"[IPv6:127.0.0.1]", "550 5.1.3"},
		{"[IPv6:fe80::1%eth0]", "550 5.1.3"},
		{"[x-tag:y]", "550 5.1.3"},
		{"a b.example", "550 5.1.3"},
		{"-a.example", "550 5.1.3"},
		{"ex\x00ample", "550 5.1.3"},
		{strings.Repeat("a", 64) + ".example", "550 5.1.3"},
		{strings.Repeat("ü.", 2000), "550 5.1.3"},
	}
	for _, tt := range tests {
		t.Run(tt.domain, func(t *testing.T) {
			route, err := r.Route(t.Context(), tt.domain)
			check(t, route, err, tt.want)
			if err == nil && (route.Hosts[0].Port != 25 || route.Hosts[0].TLS != mx.Opportunistic || route.Site == "") {
				t.Errorf("route %+v", route)
			}
		})
	}
}

func TestResolverReasons(t *testing.T) {
	s := newServer(t, "null.example MX 0 .", "loop.example MX 0 me.example")
	r := &mx.Resolver{DNS: s.DNS(), Hostname: "ME.example."}
	for domain, want := range map[string]error{"none.example": mx.ErrNoDomain, "null.example": mx.ErrNullMX, "loop.example": mx.ErrLoop} {
		if _, err := r.Route(t.Context(), domain); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", domain, err, want)
		}
	}
}

// What isn't a domain can't forge a line of a log or a report.
func TestSyntaxErrorsAreQuoted(t *testing.T) {
	_, err := (&mx.Resolver{}).Route(t.Context(), "x\r\ny"+strings.Repeat("z", 1<<20))
	if err == nil || strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 300 {
		t.Errorf("%.1000v", err)
	}
}

// Every host of the same preference comes first now and then, and never one of a worse preference.
func TestResolverShuffles(t *testing.T) {
	s := newServer(t, "x.example MX 10 127.0.0.1", "x.example MX 10 127.0.0.2", "x.example MX 10 127.0.0.3", "x.example MX 20 127.0.0.4")
	r := &mx.Resolver{DNS: s.DNS(), AllowPrivate: true}
	first := map[string]bool{}
	for range 200 {
		route, err := r.Route(t.Context(), "x.example")
		if err != nil {
			t.Fatal(err)
		}
		first[route.Hosts[0].Name] = true
		if route.Hosts[3].Name != "127.0.0.4" || route.Site != "127.0.0.1,127.0.0.2,127.0.0.3,127.0.0.4" {
			t.Fatalf("%+v", route)
		}
	}
	if len(first) != 3 {
		t.Errorf("first hosts %v, want three", first)
	}
}

// dnsFunc is a DNS made of a function.
type dnsFunc func(ctx context.Context, name string, t mx.Type) (mx.Answer, error)

func (f dnsFunc) Lookup(ctx context.Context, name string, t mx.Type) (mx.Answer, error) {
	return f(ctx, name, t)
}

func TestResolverBounds(t *testing.T) {
	dns := dnsFunc(func(_ context.Context, name string, t mx.Type) (mx.Answer, error) {
		var a mx.Answer
		for i := range 10_000 {
			switch {
			case t == mx.TypeMX:
				a.Records = append(a.Records, mx.Record{Preference: uint16(10_000 - i), Host: fmt.Sprintf("h%d.%s", i, name)})
			case t == mx.TypeA && i < 300:
				a.Records = append(a.Records, mx.Record{Addr: netip.AddrFrom4([4]byte{8, 8, byte(i >> 8), byte(i)})})
			}
		}
		return a, nil
	})
	route, err := (&mx.Resolver{DNS: dns}).Route(t.Context(), "big.example")
	if err != nil {
		t.Fatal(err)
	}
	if len(route.Hosts) != 100 || route.Hosts[0].Name != "h9999.big.example" || len(route.Hosts[0].Addrs) != 10 || len(route.Site) > 255 {
		t.Errorf("%d hosts from %s with %d addresses, site of %d octets", len(route.Hosts), route.Hosts[0].Name, len(route.Hosts[0].Addrs), len(route.Site))
	}
	again, err := (&mx.Resolver{DNS: dns}).Route(t.Context(), "big.example")
	if err != nil || again.Site != route.Site {
		t.Errorf("the site changed from %q to %q", route.Site, again.Site)
	}
}

// A host whose name servers are silent costs the time limit, and no more than that: nothing stays behind.
func TestResolverWithSilentServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := dnsFunc(func(ctx context.Context, name string, t mx.Type) (mx.Answer, error) {
			switch {
			case name == "x.example" && t == mx.TypeMX:
				return mx.Answer{Records: []mx.Record{{Preference: 1, Host: "silent.example"}, {Preference: 2, Host: "8.8.8.8"}}}, nil
			case name == "half.example" && t == mx.TypeA:
				return mx.Answer{Records: []mx.Record{{Addr: netip.MustParseAddr("8.8.4.4")}}}, nil
			case name == "half.example" && t == mx.TypeMX:
				return mx.Answer{}, nil
			}
			<-ctx.Done()
			return mx.Answer{}, ctx.Err()
		})
		r := &mx.Resolver{DNS: dns, Timeout: 10 * time.Second}
		start := time.Now()
		route, err := r.Route(t.Context(), "x.example")
		check(t, route, err, "8.8.8.8=8.8.8.8")
		route, err = r.Route(t.Context(), "half.example")
		check(t, route, err, "half.example=8.8.4.4")
		route, err = r.Route(t.Context(), "silent.example")
		check(t, route, err, "451 4.4.3")
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("took %v, want three times the limit", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = r.Route(ctx, "silent.example")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want that the caller gave up", err)
		}
	})
}

func FuzzRoute(f *testing.F) {
	for _, s := range []string{"example.org", "[192.0.2.1]", "[IPv6:2001:db8::1]", "bücher.example", "a_b.example.", "xn--a.example", "[", "１２７.0.0.1", "a\x00b"} {
		f.Add(s)
	}
	addr := netip.MustParseAddr("127.0.0.1")
	f.Fuzz(func(t *testing.T, domain string) {
		dns := dnsFunc(func(_ context.Context, name string, typ mx.Type) (mx.Answer, error) {
			if len(name) == 0 || len(name) > 253 || strings.ContainsAny(name, "\x00 \r\n\"\\[]:") || strings.ToLower(name) != name {
				t.Errorf("asked for %q", name)
			}
			if typ == mx.TypeMX {
				return mx.Answer{Records: []mx.Record{{Host: domain}, {Host: "h.example"}}}, nil
			}
			return mx.Answer{Records: []mx.Record{{Addr: addr}}}, nil
		})
		route, err := (&mx.Resolver{DNS: dns, AllowPrivate: true}).Route(t.Context(), domain)
		if err == nil && (len(route.Hosts) == 0 || len(route.Hosts[0].Addrs) == 0 || route.Site == "") {
			t.Errorf("%q: %+v", domain, route)
		}
		var e *mx.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("%q: %v", domain, err)
		}
	})
}
