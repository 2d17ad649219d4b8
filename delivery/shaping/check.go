package shaping

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The range of Tenant.Weight: within it sums and quotients of weights stay far from the ends of a float64.
const minWeight, maxWeight = 1e-6, 1e6

// phases are those that a reply can have.
var phases = []string{"connect", "greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body", "rset", "quit"}

// Check returns an error that names the field that makes no sense, or the first of them. Only of a Policy that makes sense do
// the other methods return what does.
func (p *Policy) Check() error {
	for _, check := range []func() error{
		func() error { return within("Default", p.Default.check()) },
		func() error { return checkEach("Sites", p.Sites, checkSite) },
		func() error { return checkEach("Tenants", p.Tenants, checkTenant) },
		func() error { return checkEach("Senders", p.Senders, checkSender) },
		func() error {
			return checkEach("Sources", p.Sources, func(_ string, r Rate) error { return r.check() })
		},
		func() error { return checkRules(p.Rules) },
	} {
		if err := check(); err != nil {
			return fmt.Errorf("shaping: Policy.%w", err)
		}
	}
	return nil
}

// problem is what is wrong with a value, if it isn't one of its fields.
type problem string

func (p problem) Error() string { return string(p) }

// within puts the name of what err is about before it.
func within(name string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := err.(problem); ok { // not one that is wrapped: that has a name already
		return fmt.Errorf("%s %w", name, err)
	}
	return fmt.Errorf("%s.%w", name, err)
}

func checkEach[T any](name string, m map[string]T, check func(string, T) error) error {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if err := check(key, m[key]); err != nil {
			return within(fmt.Sprintf("%s[%.100q]", name, key), err)
		}
	}
	return nil
}

func checkSite(name string, l Limits) error {
	if name == "" || name != strings.ToLower(name) {
		return problem("is not a site's name in lower case")
	}
	return l.check()
}

func checkTenant(_ string, t Tenant) error {
	if t.Weight != 0 && !(t.Weight >= minWeight && t.Weight <= maxWeight) { // NaN isn't either
		return within("Weight", problem("is not between 0.000001 and 1,000,000"))
	}
	return within("Rate", t.Rate.check())
}

func checkSender(address string, r Rate) error {
	_, domain, ok := strings.Cut(address, "@")
	if address != "" && (!ok || domain == "" || domain != strings.ToLower(domain)) {
		return problem("is not an address or @domain with its domain in lower case")
	}
	return r.check()
}

func checkRules(rules []Rule) error {
	for i := range rules {
		if err := rules[i].check(); err != nil {
			return within(fmt.Sprintf("Rules[%d]", i), err)
		}
	}
	return nil
}
