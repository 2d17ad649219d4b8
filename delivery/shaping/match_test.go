package shaping

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func wantOrders(t *testing.T, p *Policy, r Reply, want []Order) {
	t.Helper()
	if got := p.Match(r); !slices.Equal(got, want) {
		t.Errorf("%+v:\n got %+v\nwant %+v", r, got, want)
	}
}

func TestRuleConditions(t *testing.T) {
	reply := Reply{Site: "A.example,b.example", Host: "mx3.Example.com.", Phase: "rcpt", Code: 451, Enhanced: "4.7.501", Text: "Slow\ndown"}
	tests := []struct {
		name string
		rule Rule
		want bool
	}{
		{"nothing asked", Rule{}, true},
		{"site", Rule{Site: "a.example,b.example"}, true},
		{"part of a site", Rule{Site: "a.example"}, false},
		{"host", Rule{Site: "mx3.example.com"}, true},
		{"host pattern", Rule{Site: "mx*.example.com"}, true},
		{"host pattern of all below", Rule{Site: "*.example.com"}, true},
		{"longer host pattern", Rule{Site: "*.mx3.example.com"}, false},
		{"provider", Rule{Site: "google"}, false},
		{"phase", Rule{Phases: []string{"data", "rcpt"}}, true},
		{"other phase", Rule{Phases: []string{"data"}}, false},
		{"code", Rule{Code: "451"}, true},
		{"range of codes", Rule{Code: "400-499"}, true},
		{"any code", Rule{Code: "*"}, true},
		{"other code", Rule{Code: "450"}, false},
		{"other range", Rule{Code: "452-499"}, false},
		{"enhanced", Rule{Enhanced: "4.7.501"}, true},
		{"enhanced with a star", Rule{Enhanced: "4.7.*"}, true},
		{"enhanced with stars", Rule{Enhanced: "*.*.*"}, true},
		{"enhanced range", Rule{Enhanced: "4.6-7.500-699"}, true},
		{"other enhanced", Rule{Enhanced: "4.7.50"}, false},
		{"other enhanced range", Rule{Enhanced: "4.7.502-699"}, false},
		{"part of enhanced", Rule{Enhanced: "4.7"}, false},
		{"more than enhanced", Rule{Enhanced: "4.7.501.*"}, false},
		{"nonsense", Rule{Enhanced: "4.7.x"}, false},
		{"text", Rule{Text: regexp.MustCompile(`(?i)\bslow down|slow\sdown\b`)}, true},
		{"other text", Rule{Text: regexp.MustCompile(`slow`)}, false},
		{"all", Rule{Site: "*.com", Phases: []string{"rcpt"}, Code: "451", Enhanced: "4.7.*", Text: regexp.MustCompile(`Slow`)}, true},
		{"all but one", Rule{Site: "*.com", Phases: []string{"rcpt"}, Code: "451", Enhanced: "4.7.*", Text: regexp.MustCompile(`Slowly`)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.rule.Name, tt.rule.Action, tt.rule.For = tt.name, Pause, time.Hour
			var want []Order
			if tt.want {
				want = []Order{{Rule: tt.name, Action: Pause, For: time.Hour}}
			}
			wantOrders(t, &Policy{Rules: []Rule{tt.rule}}, reply, want)
		})
	}
}

// An enhanced code of another class than the reply's says nothing.
func TestContradictoryCode(t *testing.T) {
	p := &Policy{Rules: []Rule{{Name: "any", Enhanced: "*.7.*", Action: Pause, For: 1}}}
	r := Reply{Host: "mx.example.com", Phase: "rcpt", Code: 450, Enhanced: "5.7.1"}
	wantOrders(t, p, r, nil)
	r.Code = 550
	wantOrders(t, p, r, []Order{{Rule: "any", Action: Pause, For: 1}})
}

// One's own rules come first, of each action the first counts, and Ignore ends the search.
func TestRuleOrder(t *testing.T) {
	google := Reply{Site: "google", Host: "aspmx.l.google.com", Phase: "rcpt", Code: 421, Enhanced: "4.7.28"}
	shipped := Order{Rule: "google 4.7.28", Action: Pause, For: 30 * time.Minute}
	hour := Order{Rule: "hour", Action: Pause, For: time.Hour}
	wait := Order{Rule: "wait", Action: Wait, For: time.Hour}
	pauseRule := Rule{Name: "hour", Code: "421", Action: Pause, For: time.Hour}
	waitRule := Rule{Name: "wait", Code: "421", Action: Wait, For: time.Hour}
	waitLonger := Rule{Name: "longer", Code: "421", Action: Wait, For: 2 * time.Hour}
	ignore := Rule{Name: "ignore", Code: "421", Action: Ignore}
	tests := []struct {
		name  string
		rules []Rule
		want  []Order
	}{
		{"shipped", nil, []Order{shipped}},
		{"in place of the shipped one", []Rule{pauseRule}, []Order{hour}},
		{"beside the shipped one", []Rule{waitRule}, []Order{wait, shipped}},
		{"the first counts", []Rule{waitRule, waitLonger}, []Order{wait, shipped}},
		{"ignored", []Rule{ignore, pauseRule}, nil},
		{"ignored from here", []Rule{waitRule, ignore, pauseRule}, []Order{wait}},
		{"others are ignored", []Rule{{Name: "ignore", Code: "450", Action: Ignore}}, []Order{shipped}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantOrders(t, &Policy{Rules: tt.rules}, google, tt.want) })
	}
}

// Temporary and Permanent change the class of a refusal of mail, and of nothing else.
func TestRetryClass(t *testing.T) {
	p := &Policy{Bare: true, Rules: []Rule{
		{Name: "later", Text: regexp.MustCompile("later"), Action: Temporary, For: time.Hour},
		{Name: "never", Action: Permanent},
		{Name: "later after all", Action: Temporary},
	}}
	never, after := []Order{{Rule: "never", Action: Permanent}}, []Order{{Rule: "later after all", Action: Temporary}}
	tests := []struct {
		phase string
		code  int
		text  string
		want  []Order
	}{
		{"rcpt", 550, "later", []Order{{Rule: "later", Action: Temporary, For: time.Hour}}},
		{"rcpt", 550, "", after},
		{"mail", 550, "", after},
		{"data", 554, "", after},
		{"body", 554, "", after},
		{"rcpt", 450, "later", never},
		{"mail", 451, "", never},
		{"data", 451, "", never},
		{"body", 451, "", never},
		{"body", 421, "", nil},
		{"rcpt", 421, "later", nil},
		{"connect", 554, "", nil},
		{"greeting", 554, "", nil},
		{"greeting", 454, "", nil},
		{"ehlo", 550, "", nil},
		{"starttls", 454, "", nil},
		{"auth", 535, "", nil},
		{"auth", 454, "", nil},
		{"rset", 550, "", nil},
		{"quit", 450, "", nil},
		{"", 550, "", nil},
		{"rcpt", 250, "later", nil},
		{"data", 354, "", nil},
		{"body", 250, "", nil},
		{"body", 0, "", nil},
		{"body", 600, "", nil},
		{"rcpt", -550, "", nil},
		{"rcpt", 5500, "", nil},
	}
	for _, tt := range tests {
		wantOrders(t, p, Reply{Phase: tt.phase, Code: tt.code, Text: tt.text}, tt.want)
	}
}

// What is longer than it may be is cut, or as if it weren't there.
func TestMatchIsBounded(t *testing.T) {
	matches := func(rule Rule, r Reply) bool {
		rule.Name, rule.Action, rule.For, r.Code = "n", Pause, 1, 450
		return len((&Policy{Rules: []Rule{rule}}).Match(r)) > 0
	}
	end := Rule{Text: regexp.MustCompile("end")}
	if !matches(end, Reply{Text: strings.Repeat("x", maxText-3) + "end"}) || matches(end, Reply{Text: strings.Repeat("x", maxText-2) + "end"}) {
		t.Error("text is not looked at up to its bound")
	}
	long := strings.Repeat("x", maxName)
	if !matches(Rule{Site: "*x"}, Reply{Host: long}) || matches(Rule{Site: "*x"}, Reply{Host: long + "x"}) {
		t.Error("a host name has no bound")
	}
	if !matches(Rule{Site: long}, Reply{Site: long}) || matches(Rule{Site: long + "x"}, Reply{Site: long + "x"}) {
		t.Error("a site's name has no bound")
	}
	if !matches(Rule{Enhanced: "4.*.*"}, Reply{Enhanced: "4.070.1"}) || matches(Rule{Enhanced: "4.*.*"}, Reply{Enhanced: "4.0700.1"}) {
		t.Error("a part of an enhanced code has no bound")
	}
}
