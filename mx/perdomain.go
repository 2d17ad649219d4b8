package mx

import (
	"context"
	"strings"
)

// PerDomain is a Router that chooses another one by domain. Its fields must not change once it is in use.
type PerDomain struct {
	// Domains has the routers for domains, in lower case and, if they are international, in A-labels: "example.org" is that
	// domain, ".example.org" is all below it. The longest match wins. Address literals are keys as they are written.
	Domains map[string]Router
	// Default routes everything else. Defaults to &Resolver{}.
	Default Router
}

// Route asks the router for the domain.
func (p *PerDomain) Route(ctx context.Context, domain string) (*Route, error) {
	router, err := p.choose(domain)
	if err != nil {
		return nil, err
	}
	return router.Route(ctx, domain)
}

// WithoutPolicies returns a router that chooses in the same way, and asks the chosen one without its policies.
func (p *PerDomain) WithoutPolicies() Router {
	return RouterFunc(func(ctx context.Context, domain string) (*Route, error) {
		router, err := p.choose(domain)
		if err != nil {
			return nil, err
		}
		return WithoutPolicies(router).Route(ctx, domain)
	})
}

func (p *PerDomain) choose(domain string) (Router, error) {
	if strings.HasPrefix(domain, "[") {
		return p.router(domain), nil
	}
	name, err := asciiName(domain)
	if err != nil {
		return nil, errSyntax(domain, err)
	}
	return p.router(name), nil
}

func (p *PerDomain) router(name string) Router {
	if r := p.Domains[name]; r != nil {
		return r
	}
	for {
		_, parent, more := strings.Cut(name, ".")
		if !more || strings.HasPrefix(name, "[") {
			break
		}
		if r := p.Domains["."+parent]; r != nil {
			return r
		}
		name = parent
	}
	if p.Default != nil {
		return p.Default
	}
	return &Resolver{}
}
