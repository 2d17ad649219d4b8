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
// ones. Of each action the first rule that matches counts, and nothing behind a rule that ignores r does. It returns nothing
// for a reply that isn't a refusal.
func (p *Policy) Match(r Reply) []Order {
	if r.Code < 400 || r.Code > 599 {
		return nil
	}
	seen := look(r)
	var orders []Order
	for _, rules := range [][]Rule{p.Rules, p.shippedRules()} {
		for i := range rules {
			rule := &rules[i]
			if !rule.matches(seen) {
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

// refusal is a Reply in the form that rules are held against: what the server, or its DNS, has said is bounded, and what
// all rules want to know is found out once.
type refusal struct {
	Reply
	code     string
	provider string // of the host
}

func look(r Reply) refusal {
	code := strconv.Itoa(r.Code)
	if len(r.Site) > maxName {
		r.Site = ""
	}
	r.Site = strings.ToLower(r.Site)
	r.Host = hostName(r.Host)
	r.Enhanced = strings.TrimPrefix(r.Enhanced, "#")
	if !strings.HasPrefix(r.Enhanced, code[:1]+".") {
		r.Enhanced = ""
	}
	r.Text = r.Text[:min(len(r.Text), maxText)]
	return refusal{r, code, hostProvider(r.Host)}
}

// matches looks at the text last, since that is what costs most.
func (rule *Rule) matches(r refusal) bool {
	return (rule.Code == "" || matchCode(rule.Code, r.code)) &&
		(rule.Enhanced == "" || matchCode(rule.Enhanced, r.Enhanced)) &&
		(len(rule.Phases) == 0 || slices.Contains(rule.Phases, r.Phase)) &&
		(rule.Site == "" || rule.Site == r.Site || rule.Site == r.provider || glob(rule.Site, r.Host)) &&
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

// rivals reports whether o has been ordered in the place of what rule asks for.
func (rule *Rule) rivals(o Order) bool { return o.Action == rule.Action }

func (rule *Rule) order() Order {
	return Order{
		Rule: rule.Name, Action: rule.Action, For: rule.For,
		Rate: rule.Rate, Connections: rule.Connections, Messages: rule.Messages,
	}
}
