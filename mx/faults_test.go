package mx_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dnsclient"
	"github.com/postroad/postroad/mx/mxtest"
)

// client asks s as a host program would: with a cache, impatiently.
func client(s *mxtest.Server) *dnsclient.Client {
	return &dnsclient.Client{Servers: []string{s.Addr()}, Timeout: time.Second}
}

// Name servers as they are: each route is what the truth is, or there is none for now.
func TestFaults(t *testing.T) {
	zone := []string{
		"x.example MX 10 a.host.example", "x.example MX 20 b.host.example",
		"a.host.example A 127.0.0.1", "b.host.example A 127.0.0.2",
		"implicit.example A 127.0.0.9",
	}
	const whole = "a.host.example=127.0.0.1 b.host.example=127.0.0.2"
	tests := []struct {
		name  string
		at    string
		fault mxtest.Fault
		want  string
	}{
		{"cut", "x.example", mxtest.Fault{Truncate: true}, whole},
		{"cut addresses", "a.host.example", mxtest.Fault{Truncate: true}, whole},
		{"forged", "x.example", mxtest.Fault{Forged: true}, whole},
		{"forged by TCP, too", "x.example", mxtest.Fault{Forged: true, Truncate: true}, whole},
		{"forged addresses", "a.host.example", mxtest.Fault{Forged: true}, whole},
		{"another case", "x.example", mxtest.Fault{FoldCase: true}, whole},
		{"slow", "x.example", mxtest.Fault{Delay: 20 * time.Millisecond}, whole},
		{"slow once", "x.example", mxtest.Fault{Delay: time.Hour, Times: 1}, whole},
		{"silent once", "x.example", mxtest.Fault{Silent: true, Times: 1}, whole},
		{"silent", "x.example", mxtest.Fault{Silent: true}, "451 4.4.3"},
		{"silent about addresses", "a.host.example", mxtest.Fault{Silent: true}, "b.host.example=127.0.0.2"},
		{"failing once", "x.example", mxtest.Fault{Rcode: mx.ServFail, Times: 1}, whole},
		{"failing", "x.example", mxtest.Fault{Rcode: mx.ServFail}, "451 4.4.3"},
		{"no such host", "a.host.example", mxtest.Fault{Rcode: mx.NXDomain}, "b.host.example=127.0.0.2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, zone...)
			s.SetFault(tt.at, tt.fault)
			route, err := (&mx.Resolver{DNS: client(s), AllowPrivate: true}).Route(t.Context(), "x.example")
			check(t, route, err, tt.want)
		})
	}
}

// A failure to learn the MX records is never taken for there being none.
func TestImplicitMXOnlyWithoutData(t *testing.T) {
	for name, fault := range map[string]mxtest.Fault{
		"failing": {Rcode: mx.ServFail, Times: 2}, "refused": {Rcode: 5, Times: 2}, "silent": {Silent: true, Times: 2}, "missing": {Rcode: mx.NXDomain, Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "x.example A 127.0.0.9")
			r := &mx.Resolver{DNS: client(s), AllowPrivate: true}
			s.SetFault("x.example", fault)
			if route, err := r.Route(t.Context(), "x.example"); err == nil {
				t.Errorf("first: %+v", route)
			}
			route, err := r.Route(t.Context(), "x.example")
			check(t, route, err, "x.example=127.0.0.9")
		})
	}
}

// A domain that doesn't exist at the first look and does at the second has a route then, however soon that is.
func TestNoDomainThenFine(t *testing.T) {
	s := newServer(t, "x.example MX 10 a.host.example", "a.host.example A 127.0.0.1")
	s.SetFault("x.example", mxtest.Fault{Rcode: mx.NXDomain, Times: 1})
	r := &mx.Resolver{DNS: client(s), AllowPrivate: true}
	for _, want := range []string{"550 5.1.2", "a.host.example=127.0.0.1"} {
		route, err := r.Route(t.Context(), "x.example")
		check(t, route, err, want)
	}
	if n := s.Queries("x.example", mx.TypeMX); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// 10,000 records don't fit into any answer. What does is enough, and no more is looked at than the bounds say.
func TestHugeAnswers(t *testing.T) {
	var records []string
	for i := range 10_000 {
		records = append(records, fmt.Sprintf("x.example MX %d h%d.x.example", i, i), fmt.Sprintf("h0.x.example A 127.1.%d.%d", i/256, i%256))
	}
	s := newServer(t, records...)
	if err := s.Add("h1.x.example A 127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	route, err := (&mx.Resolver{DNS: client(s), AllowPrivate: true}).Route(context.Background(), "x.example")
	if err != nil {
		t.Fatal(err)
	}
	if len(route.Hosts) != 2 || len(route.Hosts[0].Addrs) != 10 || len(route.Site) > 255 {
		t.Errorf("%d hosts, the first with %d addresses, site %s", len(route.Hosts), len(route.Hosts[0].Addrs), route.Site)
	}
	if n := s.Queries("h99.x.example", mx.TypeA) + s.Queries("h100.x.example", mx.TypeA); n != 1 {
		t.Errorf("the hundredth host and the next were asked for %d times", n)
	}
}
