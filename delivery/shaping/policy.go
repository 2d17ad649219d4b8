package shaping

import "strings"

// Policy is how a Sender treats sites, tenants, senders and sending addresses. The zero value is the shipped one: careful with
// everyone, and as the large providers ask. A Policy isn't changed while it is in use; another one takes its place.
type Policy struct {
	// Default is for every site.
	Default Limits
	// Sites are for the site of that name, in lower case. They are laid, field by field, over those of the shipped table of
	// [Providers], which are laid over Default. Limits for a provider hold for its hosts too, whatever their site is called.
	Sites map[string]Limits
	// Tenants are by name.
	Tenants map[string]Tenant
	// Senders are by reverse-path, "alice@example.com"; by domain, "@example.com", all of whose senders share the rate; or,
	// with "", for each of the others. The most specific one holds. Domains are in lower case. Reports, which have no
	// reverse-path, have no rate.
	Senders map[string]Rate
	// Sources are by the name of the sending address.
	Sources map[string]Rate
	// Rules are looked at before the shipped ones.
	Rules []Rule
	// Bare leaves out the shipped limits of providers and the shipped rules.
	Bare bool
}

// Tenant is how one tenant is treated.
type Tenant struct {
	// Weight is the tenant's share beside the others', from 0.000001 to 1,000,000. Defaults to 1.
	Weight float64
	// Rate is how many of its messages go, to all sites together. Defaults to no limit.
	Rate Rate
}

// Limits returns the limits of a site, every one of them filled in.
func (p *Policy) Limits(site string) Limits {
	site = strings.ToLower(site)
	provider := providerOf(site)
	l := p.Sites[site].Over(p.Sites[provider])
	if !p.Bare {
		l = l.Over(shippedLimits(provider))
	}
	l = l.Over(p.Default).Over(defaults)
	l.Start = min(l.Start, l.Connections)
	return l
}

// Weight returns the share of a tenant beside the others': a positive, finite number.
func (p *Policy) Weight(tenant string) float64 {
	w := p.Tenants[tenant].Weight
	if w >= minWeight && w <= maxWeight {
		return w
	}
	return 1
}

// TenantRate returns the rate of a tenant's messages.
func (p *Policy) TenantRate(tenant string) Rate { return p.Tenants[tenant].Rate }

// SenderRate returns the rate of the messages of a sender, and the name of those who share it: the sender's own reverse-path, or
// "@" and its domain.
func (p *Policy) SenderRate(from string) (sharedBy string, r Rate) {
	if from == "" {
		return "", Rate{}
	}
	if at := strings.LastIndexByte(from, '@'); at >= 0 {
		domain := strings.ToLower(from[at:])
		from = from[:at] + domain
		if r, ok := p.Senders[from]; ok {
			return from, r
		}
		if r, ok := p.Senders[domain]; ok {
			return domain, r
		}
	}
	return from, p.Senders[""]
}

// SourceRate returns the rate of the messages that are sent from the address of that name.
func (p *Policy) SourceRate(source string) Rate { return p.Sources[source] }
