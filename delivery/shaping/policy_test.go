package shaping

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/retry"
)

func TestWeight(t *testing.T) {
	p := Policy{Tenants: map[string]Tenant{"big": {Weight: 8}, "plain": {}, "nan": {Weight: math.NaN()}, "inf": {Weight: math.Inf(1)},
		"negative": {Weight: -1}, "tiny": {Weight: 1e-300}}}
	for name, want := range map[string]float64{"big": 8, "plain": 1, "unknown": 1, "": 1, "nan": 1, "inf": 1, "negative": 1, "tiny": 1} {
		if got := p.Weight(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestRates(t *testing.T) {
	one, two, three := Rate{N: 1, Per: 1}, Rate{N: 2, Per: 2}, Rate{N: 3, Per: 3}
	p := Policy{
		Tenants: map[string]Tenant{"a": {Rate: one}},
		Sources: map[string]Rate{"192.0.2.1": two},
		Senders: map[string]Rate{"Alice@example.com": one, "@example.com": two, "": three},
	}
	if p.TenantRate("a") != one || p.TenantRate("b") != (Rate{}) || p.SourceRate("192.0.2.1") != two || p.SourceRate("") != (Rate{}) {
		t.Error("tenant or source")
	}
	for from, want := range map[string]struct {
		sharedBy string
		rate     Rate
	}{
		"Alice@example.com":      {"Alice@example.com", one},
		"Alice@EXAMPLE.com":      {"Alice@example.com", one},
		"alice@example.com":      {"@example.com", two},
		"bob@Example.Com":        {"@example.com", two},
		`"a@b"@example.com`:      {"@example.com", two},
		"bob@sub.example.com":    {"bob@sub.example.com", three},
		"Alice@example.com@evil": {"Alice@example.com@evil", three},
		"postmaster":             {"postmaster", three},
		"":                       {"", Rate{}},
	} {
		if sharedBy, rate := p.SenderRate(from); sharedBy != want.sharedBy || rate != want.rate {
			t.Errorf("%s: %s, %v, want %v", from, sharedBy, rate, want)
		}
	}
}

func TestCheck(t *testing.T) {
	rule := func(change func(*Rule)) Policy {
		good := Rule{Name: "good", Site: "*.example", Phases: []string{"rcpt", "data"}, Code: "400-499", Enhanced: "4.*.500-699",
			Action: Slow, For: time.Hour, Rate: Rate{N: 1, Per: time.Second}, Connections: 1, Messages: 1}
		bad := good
		change(&bad)
		return Policy{Rules: []Rule{good, bad}}
	}
	tests := []struct {
		want   string // after "shaping: Policy."; "" if all is well
		policy Policy
	}{
		{"", Policy{}},
		{"", Policy{Bare: true}},
		{"", rule(func(*Rule) {})},
		{"", rule(func(r *Rule) { *r = Rule{Name: "n", Action: Ignore} })},
		{"", rule(func(r *Rule) { *r = Rule{Name: "n", Action: Permanent} })},
		{"", rule(func(r *Rule) { *r = Rule{Name: "n", Action: Temporary} })},
		{"", rule(func(r *Rule) { *r = Rule{Name: "n", Action: Temporary, For: time.Hour} })},
		{"", Policy{Tenants: map[string]Tenant{"": {}, "a": {Weight: 0.5, Rate: Rate{N: 1, Per: 1, Burst: 1}}}}},
		{"", Policy{Senders: map[string]Rate{"": {}, "@example.com": {}, "Alice@example.com": {}}}},
		{"", Policy{Sites: map[string]Limits{"google": {Connections: 1, Start: 2}}}},

		{"Default.Connections is negative", Policy{Default: Limits{Connections: -1}}},
		{"Default.Start is negative", Policy{Default: Limits{Start: -1}}},
		{"Default.Messages is negative", Policy{Default: Limits{Messages: -1}}},
		{"Default.Lifetime is negative", Policy{Default: Limits{Lifetime: -1}}},
		{"Default.Idle is negative", Policy{Default: Limits{Idle: -1}}},
		{"Default.MessageRate.Per is not positive", Policy{Default: Limits{MessageRate: Rate{N: 1}}}},
		{"Default.MessageRate.N is not positive", Policy{Default: Limits{MessageRate: Rate{Per: 1}}}},
		{"Default.ConnectionRate.N is not positive", Policy{Default: Limits{ConnectionRate: Rate{N: -1, Per: 1}}}},
		{"Default.ConnectionRate.Burst is negative", Policy{Default: Limits{ConnectionRate: Rate{N: 1, Per: 1, Burst: -1}}}},
		{`Sites["b"].Messages is negative`, Policy{Sites: map[string]Limits{"a": {}, "b": {Messages: -1}, "c": {Idle: -1}}}},
		{`Sites[""] is not a site's name in lower case`, Policy{Sites: map[string]Limits{"": {}}}},
		{`Sites["Google"] is not a site's name in lower case`, Policy{Sites: map[string]Limits{"Google": {}}}},
		{`Tenants["a"].Weight is not between 0.000001 and 1,000,000`, Policy{Tenants: map[string]Tenant{"a": {Weight: math.NaN()}}}},
		{`Tenants["a"].Weight is not between 0.000001 and 1,000,000`, Policy{Tenants: map[string]Tenant{"a": {Weight: math.Inf(1)}}}},
		{`Tenants["a"].Weight is not between 0.000001 and 1,000,000`, Policy{Tenants: map[string]Tenant{"a": {Weight: -1}}}},
		{`Tenants["a"].Rate.Per is not positive`, Policy{Tenants: map[string]Tenant{"a": {Rate: Rate{N: 1, Per: -1}}}}},
		{`Senders["@example.com"].N is not positive`, Policy{Senders: map[string]Rate{"@example.com": {Burst: 1}}}},
		{`Senders["@Example.com"] is not an address or @domain with its domain in lower case`, Policy{Senders: map[string]Rate{"@Example.com": {}}}},
		{`Senders["example.com"] is not an address or @domain with its domain in lower case`, Policy{Senders: map[string]Rate{"example.com": {}}}},
		{`Senders["a@"] is not an address or @domain with its domain in lower case`, Policy{Senders: map[string]Rate{"a@": {}}}},
		{`Sources["x"].Per is not positive`, Policy{Sources: map[string]Rate{"x": {N: 1}}}},

		{"Rules[1] has no name of 1 to 255 octets of UTF-8", rule(func(r *Rule) { r.Name = "" })},
		{"Rules[1] has no name of 1 to 255 octets of UTF-8", rule(func(r *Rule) { r.Name = strings.Repeat("n", 256) })},
		{"Rules[1] has no name of 1 to 255 octets of UTF-8", rule(func(r *Rule) { r.Name = "\xff" })},
		{"Rules[1].Site is not in lower case", rule(func(r *Rule) { r.Site = "Google" })},
		{"Rules[1].Phases has one that there isn't", rule(func(r *Rule) { r.Phases = []string{"rcpt", "RCPT"} })},
		{"Rules[1].Code is not the code of a refusal or a range with some", rule(func(r *Rule) { r.Code = "4xx" })},
		{"Rules[1].Code is not the code of a refusal or a range with some", rule(func(r *Rule) { r.Code = "4.7.1" })},
		{"Rules[1].Code is not the code of a refusal or a range with some", rule(func(r *Rule) { r.Code = "499-400" })},
		{"Rules[1].Code is not the code of a refusal or a range with some", rule(func(r *Rule) { r.Code = "4210" })},
		{"Rules[1].Code is not the code of a refusal or a range with some", rule(func(r *Rule) { r.Code = "200-354" })},
		{"Rules[1].Enhanced is not an enhanced status code or a pattern of one", rule(func(r *Rule) { r.Enhanced = "4.7" })},
		{"Rules[1].Enhanced is not an enhanced status code or a pattern of one", rule(func(r *Rule) { r.Enhanced = "4.7.1.1" })},
		{"Rules[1].Enhanced is not an enhanced status code or a pattern of one", rule(func(r *Rule) { r.Enhanced = "4.7.5*" })},
		{"Rules[1].Enhanced is not an enhanced status code or a pattern of one", rule(func(r *Rule) { r.Enhanced = "4..1" })},
		{"Rules[1].Action is unknown", rule(func(r *Rule) { *r = Rule{Name: "n"} })},
		{"Rules[1].Action is unknown", rule(func(r *Rule) { *r = Rule{Name: "n", Action: "stop"} })},
		{"Rules[1].Action is not Slow, which Rate, Connections and Messages are for", rule(func(r *Rule) { r.Action = Pause })},
		{"Rules[1].For is negative", rule(func(r *Rule) { r.For = -1 })},
		{"Rules[1].For is zero, so that nothing would happen", rule(func(r *Rule) { r.For = 0 })},
		{"Rules[1].For is zero, so that nothing would happen", rule(func(r *Rule) { *r = Rule{Name: "n", Action: Wait} })},
		{"Rules[1].For is zero, so that nothing would happen", rule(func(r *Rule) { *r = Rule{Name: "n", Action: Pause} })},
		{"Rules[1].For means nothing to this Action", rule(func(r *Rule) { *r = Rule{Name: "n", Action: Permanent, For: 1} })},
		{"Rules[1].For means nothing to this Action", rule(func(r *Rule) { *r = Rule{Name: "n", Action: Ignore, For: 1} })},
		{"Rules[1].Connections is negative", rule(func(r *Rule) { r.Connections = -1 })},
		{"Rules[1].Messages is negative", rule(func(r *Rule) { r.Messages = -1 })},
		{"Rules[1].Rate.Per is not positive", rule(func(r *Rule) { r.Rate.Per = 0 })},
		{"Rules[1] sets none of Rate, Connections and Messages, so that nothing would happen", rule(func(r *Rule) {
			r.Rate, r.Connections, r.Messages = Rate{}, 0, 0
		})},
	}
	for _, tt := range tests {
		err := tt.policy.Check()
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%+v: %v", tt.policy, err)
		case tt.want != "" && (err == nil || err.Error() != "shaping: Policy."+tt.want):
			t.Errorf("\n got %v\nwant shaping: Policy.%s", err, tt.want)
		}
	}
}

// Every phase that package retry has a name for, and that a server's reply can belong to, can be named in a rule.
func TestPhases(t *testing.T) {
	for _, phase := range []retry.Phase{
		retry.PhaseConnect, retry.PhaseGreeting, retry.PhaseEHLO, retry.PhaseSTARTTLS, retry.PhaseAuth, retry.PhaseMail,
		retry.PhaseRcpt, retry.PhaseData, retry.PhaseBody, retry.PhaseReset, retry.PhaseQuit,
	} {
		rule := Rule{Name: "r", Phases: []string{string(phase)}, Action: Ignore}
		if err := (&Policy{Rules: []Rule{rule}}).Check(); err != nil {
			t.Error(err)
		}
	}
}
