package shaping

import (
	"regexp"
	"slices"
	"time"
)

// shipped are the ways of large providers to say "slow down" that are known, each at its provider only: the same reply from
// elsewhere means what that host means by it. It is never changed.
//
// In public use are the durations of google 4.7.28, 4.2.1 and 4.2.2, those of yahoo TSS04, TSS05, TSS09 and BL, and the figures
// of microsoft 4.7.650. All others are guesses, which no provider has named: short, because a site that still minds says so
// again.
var shipped = []Rule{
	// "unusual rate of mail from your IP address", or from a domain or network of the sender's.
	{Name: "google 4.7.28", Site: "google", Code: "421", Enhanced: "4.7.28", Action: Pause, For: 30 * time.Minute},
	{Name: "google 4.7.0", Site: "google", Code: "421", Enhanced: "4.7.0", Action: Pause, For: 5 * time.Minute},
	// A mailbox that gets mail at too high a rate, and one that is full.
	{Name: "google 4.2.1", Site: "google", Code: "450", Enhanced: "4.2.1", Action: Wait, For: 4 * time.Hour},
	{Name: "google 4.2.2", Site: "google", Code: "452", Enhanced: "4.2.2", Action: Wait, For: 4 * time.Hour},

	{Name: "yahoo TSS04", Site: "yahoo", Code: "421", Text: tss04, Action: Pause, For: 2 * time.Hour},
	{Name: "yahoo TSS05", Site: "yahoo", Code: "421", Text: tss05, Action: Pause, For: 4 * time.Hour},
	{Name: "yahoo messages per connection", Site: "yahoo", Code: "421", Text: maxMessages, Action: Slow, For: time.Hour, Messages: 10},
	// On a block list, and "permanently deferred": the recipients are refused, and so would the next ones be.
	{Name: "yahoo BL", Site: "yahoo", Code: "553", Enhanced: "5.7.1", Text: blockList, Action: Pause, For: 2 * time.Hour},
	{Name: "yahoo TSS09", Site: "yahoo", Code: "553", Enhanced: "5.7.2", Text: tss09, Action: Pause, For: 2 * time.Hour},

	// A bad reputation is both: a pause, like everything in its range, and a trickle after it.
	{Name: "microsoft 4.7.650", Site: "microsoft", Code: "451", Enhanced: "4.7.650", Action: Slow, For: 90 * time.Minute,
		Rate: Rate{N: 1, Per: time.Minute}, Connections: 1},
	{Name: "microsoft 4.7.500-699", Site: "microsoft", Code: "451", Enhanced: "4.7.500-699", Action: Pause, For: 15 * time.Minute},
	{Name: "microsoft 421 4.3.2", Site: "microsoft", Code: "421", Enhanced: "4.3.2", Action: Pause, For: 5 * time.Minute},
	// Too many connections at once, or submissions of one mailbox.
	{Name: "microsoft 432 4.3.2", Site: "microsoft", Code: "432", Enhanced: "4.3.2", Action: Slow, For: 30 * time.Minute, Connections: 2},

	{Name: "apple 4.7.1", Site: "apple", Code: "421", Enhanced: "4.7.1", Action: Pause, For: 15 * time.Minute},
	{Name: "orange OFR005_104", Site: "orange", Code: "400-499", Text: ofr005104, Action: Slow, For: 30 * time.Minute, Connections: 1},
	{Name: "comcast RL000010", Site: "comcast", Code: "400-499", Text: rl000010, Action: Pause, For: 30 * time.Minute},

	// A relay, whichever it is: to log in again is what it doesn't want.
	{Name: "too many logins", Phases: []string{"auth"}, Code: "454", Enhanced: "4.7.0", Text: logins, Action: Pause, For: 15 * time.Minute},
}

var (
	tss04       = regexp.MustCompile(`\[TSS04\]`)
	tss05       = regexp.MustCompile(`\[TSS05\]`)
	tss09       = regexp.MustCompile(`\[TSS(?:09|11)\]`)
	blockList   = regexp.MustCompile(`\[BL[0-9]{0,4}\]`)
	maxMessages = regexp.MustCompile(`(?i)max messages? per connection`)
	ofr005104   = regexp.MustCompile(`\bOFR005_104\b`)
	rl000010    = regexp.MustCompile(`\bRL000010\b`)
	logins      = regexp.MustCompile(`(?i)too many login attempts`)
)

// Rules returns a copy of the shipped rules, in their order. Together with [Policy.Bare] it serves those who want to edit them; to
// make an exception from one, a rule before it that ignores is enough.
func Rules() []Rule {
	list := slices.Clone(shipped)
	for i := range list {
		list[i].Phases = slices.Clone(list[i].Phases)
	}
	return list
}
