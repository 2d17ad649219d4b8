package shaping

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// Action is what a [Rule] does.
type Action string

const (
	// Pause sends nothing to the site for For.
	Pause Action = "pause"
	// Slow lowers the site's limits for For, as far as Rate, Connections and Messages are set.
	Slow Action = "slow"
	// Wait keeps those whom the reply concerns, a recipient or a message, from being tried again before For has passed. The
	// retry policy may say later, and the message's expiry ends the wait. It is for mailboxes that are full or busy, where
	// the site is well.
	Wait Action = "wait"
	// Temporary takes a refusal of mail for a temporary one although its code is a 5xx, so that it is tried again until the
	// message expires, and first after at least For. It is for refusals that are about the sender and will be lifted, such as a
	// block list's. A refusal of mail is the reply to MAIL, RCPT, DATA or the data; others decide about no mail anyway.
	Temporary Action = "temporary"
	// Permanent takes a refusal of mail for a final one although its code is a 4xx: it fails, and is reported. A 421 stays
	// temporary: what a host says of itself and of the connection fails no mail.
	Permanent Action = "permanent"
	// Ignore does nothing, and no rule behind it is looked at: it makes exceptions.
	Ignore Action = "ignore"
)

// Rule says which replies of a server mean something for its site, and what. Fields that are empty match everything; a reply
// must match all that are not. Only refusals, 4xx and 5xx, are ever looked at.
type Rule struct {
	// Name is shown as the reason of a pause and the like, such as "google 4.7.28". It must not be empty.
	Name string

	// Site is the name of a site; or that of one of the [Providers], which matches its hosts too, whatever their site is called;
	// or a host name or a pattern of one, in which * stands for anything, such as "*.example.com". In lower case.
	Site string
	// Phases are those of the dialogue that the reply may belong to, such as "rcpt". See package retry for their names.
	Phases []string
	// Code is a reply code or a range of them: "421", "450-452".
	Code string
	// Enhanced is an enhanced status code (RFC 3463), each part of which may be a range or *: "4.7.28", "4.7.500-699",
	// "4.2.*". A code that contradicts the reply's is none, and matches nothing.
	Enhanced string
	// Text is looked for in the text of the reply, of which no more than the first 2048 octets are looked at.
	Text *regexp.Regexp

	// Action is what is to be done, and For how long. The caller adds jitter, so that what was paused together doesn't come
	// back together.
	Action Action
	For    time.Duration
	// Rate, Connections and Messages are what Slow lowers: the site's message rate, its connections at once, and the messages
	// per connection. Zero leaves it as it is.
	Rate        Rate
	Connections int
	Messages    int
}

// Reply is a server's refusal, as [Policy.Match] wants to see it.
type Reply struct {
	Site, Host string // as the route names them
	Phase      string // of the dialogue
	Code       int    // three digits
	Enhanced   string // such as "4.7.28", or ""
	Text       string // without the codes
}

// check returns an error that names the field that makes no sense.
func (rule *Rule) check() error {
	if rule.Site != strings.ToLower(rule.Site) {
		return within("Site", problem("is not in lower case"))
	}
	for _, p := range rule.Phases {
		if !slices.Contains(phases, p) {
			return within("Phases", problem("has one that there isn't"))
		}
	}
	if rule.Code != "" && !(validCode(rule.Code, 1) && matchesRefusal(rule.Code)) {
		return within("Code", problem("is not the code of a refusal or a range with some"))
	}
	if rule.Enhanced != "" && !validCode(rule.Enhanced, 3) {
		return within("Enhanced", problem("is not an enhanced status code or a pattern of one"))
	}
	order := rule.order()
	if order.Action == Ignore {
		order.Action = Permanent // no Order ignores; what doesn't has, like this, nothing but a name
	}
	return order.check()
}
