package mx_test

import (
	"context"
	"testing"

	"github.com/postroad/postroad/mx"
)

func TestPerDomain(t *testing.T) {
	named := func(name string) mx.Router {
		return mx.RouterFunc(func(_ context.Context, domain string) (*mx.Route, error) {
			return &mx.Route{Site: name + " " + domain}, nil
		})
	}
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
