package mtasts

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/mx"
)

func TestRoute(t *testing.T) {
	for name, c := range map[string]struct {
		mode     Mode
		patterns []string
		want     string
		told     string
	}{
		"none":                     {None, []string{"mx1.example.org"}, open, ""},
		"testing":                  {Testing, []string{"mx1.example.org"}, open, "example.org: testing, unmatched [mx2.example.org]"},
		"testing, all match":       {Testing, []string{"*.example.org"}, open, "example.org: testing, unmatched []"},
		"testing, none matches":    {Testing, []string{"example.org"}, open, "example.org: testing, unmatched [mx1.example.org mx2.example.org]"},
		"enforced, all match":      {Enforce, []string{"*.example.org"}, "mx1.example.org verified, mx2.example.org verified", "example.org: enforce, unmatched []"},
		"enforced, one matches":    {Enforce, []string{"mx1.example.org"}, enforced, "example.org: enforce, unmatched [mx2.example.org]"},
		"enforced, second matches": {Enforce, []string{"mx2.example.org"}, "mx2.example.org verified", "example.org: enforce, unmatched [mx1.example.org]"},
		"enforced, none matches":   {Enforce, []string{"example.org"}, "451 4.7.5", "example.org: enforce, unmatched [mx1.example.org mx2.example.org]"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			defer w.Close()
			w.announce("example.org", "1", file(c.mode, week, c.patterns...))
			for range 2 { // fetched, stored
				w.expect(w, "example.org", c.want)
				if told := w.told(); told != c.told {
					t.Errorf("told %q, want %q", told, c.told)
				}
			}
			if n := w.fetches("example.org"); n != 1 {
				t.Errorf("%d fetches", n)
			}
		})
	}
}

func TestUnmatchedText(t *testing.T) {
	w := newWorld(t)
	w.announce("example.org", "1", file(Enforce, week, "example.org"))
	_, err := w.Route(t.Context(), "example.org")
	if !errors.Is(err, ErrUnmatched) || err.Error() != "mx: example.org: its MTA-STS policy allows none of its MX hosts: mx1.example.org, mx2.example.org" {
		t.Error(err)
	}
}

// What the inner router demands stays, and its routes, which it may share, are left as they are.
func TestInnerDemands(t *testing.T) {
	asked := errors.New("asked")
	inner := &mx.Route{Site: "site", Hosts: []mx.Host{
		{Name: "a.example.org", Port: 25, Preference: 5, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, TLS: mx.Required,
			Verify: func(tls.ConnectionState) error { return asked }, Policy: "dane 1"},
		{Name: "b.example.org", TLS: mx.Opportunistic},
		{Name: "c.example.org", TLS: mx.Verified, Implicit: true, Auth: &mx.Credentials{Username: "u", Password: "p"}},
		{Name: "other.example.net", TLS: mx.Verified},
		{Name: "d.example.org", TLS: mx.None},
	}}
	before := append([]mx.Host(nil), inner.Hosts...)
	w := newWorld(t)
	w.Inner = &shared{inner}
	w.announce("example.org", "1", file(Enforce, week, "*.example.org"))
	route, err := w.Route(t.Context(), "example.org")
	if err != nil {
		t.Fatal(err)
	}
	if got := outcome(route, nil); got != "a.example.org verified, b.example.org verified, c.example.org verified, d.example.org verified" {
		t.Error(got)
	}
	a := route.Hosts[0]
	if a.Verify == nil || a.Verify(tls.ConnectionState{}) != asked || a.Policy != "dane 1" || a.Preference != 5 || a.Port != 25 || len(a.Addrs) != 1 {
		t.Errorf("the first host is %+v", a)
	}
	if c := route.Hosts[2]; !c.Implicit || c.Auth == nil || c.Policy != "" {
		t.Errorf("the third host is %+v", c)
	}
	if route.Site != "site" {
		t.Errorf("site %q", route.Site)
	}
	for i := range before {
		before[i].Verify, inner.Hosts[i].Verify = nil, nil // functions can't be compared
	}
	if !reflect.DeepEqual(before, inner.Hosts) {
		t.Errorf("the shared route is %+v now", inner.Hosts)
	}
}

type shared struct{ route *mx.Route }

func (s *shared) Route(context.Context, string) (*mx.Route, error) { return s.route, nil }

// A policy belongs to exactly the domain of an address, whatever way it is written.
func TestPolicyDomain(t *testing.T) {
	w := newWorld(t)
	w.announce("example.org", "1", file(Enforce, week, "mx1.example.org"))
	w.announce("xn--bcher-kva.example", "1", file(Enforce, week, "mx1.example.org"))
	for domain, want := range map[string]string{
		"example.org": enforced, "EXAMPLE.org.": enforced,
		"bücher.example": enforced, "BÜCHER.example.": enforced, "XN--bcher-kva.example": enforced,
		"sub.example.org": open, "_mta-sts.example.org": open, "org": open,
	} {
		w.expect(w, domain, want)
	}
	w.DNS = lookupFunc(nil) // which can't be asked
	for _, domain := range []string{"[192.0.2.1]", "[IPv6:2001:db8::1]", "192.0.2.1", "", "a b", "a/b", "a@b", "a:443", "a..b", "a?b", long(244) + ".", long(5000)} {
		w.expect(w, domain, open)
	}
}

// long returns a name of more than n characters.
func long(n int) string {
	name := "a"
	for len(name) <= n {
		name += ".a"
	}
	return name
}

func TestInnerError(t *testing.T) {
	w := newWorld(t)
	w.Inner = mx.RouterFunc((&mx.Relay{Host: "not a host"}).Route)
	w.DNS = lookupFunc(nil)
	if _, err := w.Route(t.Context(), "example.org"); err == nil {
		t.Error("no error")
	}
}

// An announcement without a policy is as good as none, with or without a DNS that works.
func TestNoPolicy(t *testing.T) {
	w := newWorld(t)
	w.announce("example.org", "1", nil)
	w.expect(w, "example.org", open)
	if told := w.told(); told != "example.org: mtasts: example.org: connection refused" {
		t.Error(told)
	}
	w.announce("two.example", "1", file(Enforce, week, "mx1.example.org"))
	w.txt["two.example"] = append(w.txt["two.example"], "v=STSv1; id=2")
	w.expect(w, "two.example", open)
	w.announce("silent.example", "1", file(Enforce, week, "mx1.example.org"))
	w.failDNS("silent.example")
	w.expect(w, "silent.example", open)
	w.DNS = lookupFunc(func(context.Context, string, mx.Type) (mx.Answer, error) {
		return mx.Answer{Rcode: mx.ServFail, Records: records("v=STSv1; id=1")}, nil
	})
	w.expect(w, "silent.example", open)
	if n := w.fetches("two.example") + w.fetches("silent.example"); n != 0 {
		t.Errorf("%d fetches", n)
	}
}

// A policy that was seen is in force until it expires, whatever is done to hide it or its successors.
func TestDowngrade(t *testing.T) {
	for name, attack := range map[string]func(*world){
		"TXT record taken away":   func(w *world) { w.withdraw("example.org") },
		"TXT record added":        func(w *world) { w.txt["example.org"] = []string{"v=STSv1; id=1", "v=STSv1; id=2"} },
		"TXT record spoilt":       func(w *world) { w.txt["example.org"] = []string{"v=STSv1; id=!"} },
		"DNS silenced":            func(w *world) { w.failDNS("example.org") },
		"policy host unreachable": func(w *world) { w.announce("example.org", "1", nil) },
		"policy host hangs":       func(w *world) { w.announce("example.org", "1", hang) },
		"id changed, nobody home": func(w *world) { w.announce("example.org", "2", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.Close()
				w.announce("example.org", "1", file(Enforce, week, "mx1.example.org"))
				w.expect(w, "example.org", enforced)
				attack(w)
				if name == "DNS silenced" {
					w.serve["example.org"] = nil // or it would be refreshed
				}
				for range 7*4 - 1 {
					time.Sleep(6 * time.Hour)
					before := time.Now()
					w.expect(w, "example.org", enforced)
					if took := time.Since(before); took != 0 {
						t.Errorf("waited %v", took)
					}
					synctest.Wait()
				}
				time.Sleep(6 * time.Hour)
				w.expect(w, "example.org", open)
			})
		})
	}
}

// Without policies, nobody is asked for one, and the hosts are what they were.
func TestWithoutPolicies(t *testing.T) {
	w := newWorld(t)
	defer w.Close()
	w.announce("example.org", "1", file(Enforce, week, "other.example.org"))
	route, err := mx.WithoutPolicies(w.Router).Route(t.Context(), "example.org")
	if err != nil || len(route.Hosts) != 2 || route.Hosts[0].TLS != mx.Opportunistic {
		t.Errorf("%+v, %v", route, err)
	}
	if w.asked["example.org"] > 0 {
		t.Error("the policy host was asked")
	}
}
