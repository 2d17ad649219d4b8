package shaping

import (
	"slices"
	"strconv"
	"strings"
)

// The bounds of what Match looks at: no name is longer, and no text needs to be looked at farther.
const (
	maxName = 255
	maxText = 2048
)

// Match returns what the rules ask for when a server has sent r: those of p.Rules in their order, and behind them the shipped
// ones. Of each action the first rule that matches counts, and of [Temporary] and [Permanent] the first of both; nothing
// behind a rule that ignores r does. It returns nothing for a reply that isn't a refusal.
func (p *Policy) Match(r Reply) []Order {
	if r.Code < 400 || r.Code > 599 {
		return nil
	}
	r = r.bounded()
	var orders []Order
	for _, rules := range [][]Rule{p.Rules, p.shippedRules()} {
		for i := range rules {
			rule := &rules[i]
			if !rule.matches(r) {
				continue
			}
			if rule.Action == Ignore {
				return orders
			}
			if rule.concerns(r) && !slices.ContainsFunc(orders, rule.rivals) {
				orders = append(orders, rule.order())
			}
		}
	}
	return orders
}

func (p *Policy) shippedRules() []Rule {
	if p.Bare {
		return nil
	}
	return shipped
}

// bounded returns r with what the server, or its DNS, has said brought into a form that is cheap to match.
func (r Reply) bounded() Reply {
	if len(r.Site) > maxName {
		r.Site = ""
	}
	r.Host = hostName(r.Host)
	r.Enhanced = strings.TrimPrefix(r.Enhanced, "#")
	if len(r.Enhanced) > len("5.999.999") || !strings.HasPrefix(r.Enhanced, strconv.Itoa(r.Code/100)+".") {
		r.Enhanced = ""
	}
	r.Text = r.Text[:min(len(r.Text), maxText)]
	return r
}

// matches looks at the text last, since that is what costs most.
func (rule *Rule) matches(r Reply) bool {
	return (rule.Code == "" || matchCode(rule.Code, strconv.Itoa(r.Code))) &&
		(rule.Enhanced == "" || matchCode(rule.Enhanced, r.Enhanced)) &&
		(len(rule.Phases) == 0 || slices.Contains(rule.Phases, r.Phase)) &&
		(rule.Site == "" || matchSite(rule.Site, r)) &&
		(rule.Text == nil || rule.Text.MatchString(r.Text))
}

// concerns reports whether the action may be taken for r, if it is one that decides about mail.
func (rule *Rule) concerns(r Reply) bool {
	switch rule.Action {
	case Temporary:
		return aboutMail(r) && r.Code/100 == 5
	case Permanent:
		return aboutMail(r) && r.Code/100 == 4 && r.Code != 421
	}
	return true
}

// aboutMail reports whether r belongs to a phase that says something of recipients or messages. What comes before and after
// concerns the host.
func aboutMail(r Reply) bool {
	switch r.Phase {
	case "mail", "rcpt", "data", "body":
		return true
	}
	return false
}

// rivals reports whether o has already been ordered in the place of what rule asks for.
func (rule *Rule) rivals(o Order) bool {
	final := func(a Action) bool { return a == Temporary || a == Permanent }
	return o.Action == rule.Action || final(o.Action) && final(rule.Action)
}

func (rule *Rule) order() Order {
	return Order{
		Rule: rule.Name, Action: rule.Action, For: rule.For,
		Rate: rule.Rate, Connections: rule.Connections, Messages: rule.Messages,
	}
}

func matchSite(pattern string, r Reply) bool {
	return pattern == r.Site || glob(pattern, r.Host) || isProvider(pattern) && hostProvider(r.Host) == pattern
}
