package mx_test

import (
	"context"
	"testing"

	"github.com/postroad/postroad/mx"
)

// named is a router whose sites begin with a name.
func named(name string) mx.Router {
	return mx.RouterFunc(func(_ context.Context, domain string) (*mx.Route, error) {
		return &mx.Route{Site: name + " " + domain}, nil
	})
}

func TestPerDomain(t *testing.T) {
	p := &mx.PerDomain{
		Domains: map[string]mx.Router{
			"a.example": named("exact"), ".a.example": named("below"), ".deep.a.example": named("deeper"),
			"xn--bcher-kva.example": named("idn"), "[192.0.2.1]": named("literal"), ".1]": named("wrong"),
		},
		Default: named("default"),
	}
	for domain, want := range map[string]string{
		"a.example":        "exact",
		"A.Example.":       "exact",
		"b.a.example":      "below",
		"c.b.a.example":    "below",
		"deep.a.example":   "below",
		"x.deep.a.example": "deeper",
		"aa.example":       "default",
		"example":          "default",
		"bücher.example":   "idn",
		"[192.0.2.1]":      "literal",
		"[198.51.100.1]":   "default",
	} {
		route, err := p.Route(t.Context(), domain)
		if err != nil || route.Site != want+" "+domain {
			t.Errorf("%s: %+v, %v, want %s", domain, route, err, want)
		}
	}
	route, err := p.Route(t.Context(), "a..example")
	check(t, route, err, "550 5.1.3")
	route, err = (&mx.PerDomain{}).Route(t.Context(), "[127.0.0.1]")
	check(t, route, err, "451 4.4.4") // the default Resolver's answer
}

// strict is a router with a policy, without which it is another router.
type strict struct{ mx.Router }

func (s strict) WithoutPolicies() mx.Router { return s.Router }

func (strict) Route(_ context.Context, domain string) (*mx.Route, error) {
	return &mx.Route{Site: "strict " + domain}, nil
}

// What wraps routers passes on that they are to do without their policies.
func TestWithoutPolicies(t *testing.T) {
	p := &mx.PerDomain{
		Domains: map[string]mx.Router{"strict.example": strict{named("lax")}, "plain.example": named("plain")},
		Default: strict{named("lax default")},
	}
	for domain, want := range map[string][2]string{
		"strict.example": {"strict", "lax"},
		"plain.example":  {"plain", "plain"},
		"other.example":  {"strict", "lax default"},
	} {
		for i, router := range []mx.Router{p, mx.WithoutPolicies(p)} {
			route, err := router.Route(t.Context(), domain)
			if err != nil || route.Site != want[i]+" "+domain {
				t.Errorf("%s: %+v, %v, want %s", domain, route, err, want[i])
			}
		}
	}
	_, err := mx.WithoutPolicies(p).Route(t.Context(), "a..example")
	check(t, nil, err, "550 5.1.3")
}
