package shaping

import (
	"time"
	"unicode/utf8"
)

// Order is what a [Rule] that matched asks for: its consequences, without its conditions.
type Order struct {
	Rule        string // the rule's name
	Action      Action // never Ignore
	For         time.Duration
	Rate        Rate
	Connections int
	Messages    int
}

// check returns an error that names the field that makes no sense, or that Action makes no use of.
func (o Order) check() error {
	slows := o.Rate != Rate{} || o.Connections != 0 || o.Messages != 0
	switch {
	case o.Rule == "" || len(o.Rule) > maxName || !utf8.ValidString(o.Rule):
		return problem("has no name of 1 to 255 octets of UTF-8")
	case o.For < 0:
		return within("For", problem("is negative"))
	case o.Connections < 0:
		return within("Connections", problem("is negative"))
	case o.Messages < 0:
		return within("Messages", problem("is negative"))
	case slows && o.Action != Slow:
		return within("Action", problem("is not Slow, which Rate, Connections and Messages are for"))
	}
	switch o.Action {
	case Pause, Wait, Slow:
		if o.For == 0 {
			return within("For", problem("is zero, so that nothing would happen"))
		}
		if o.Action == Slow && !slows {
			return problem("sets none of Rate, Connections and Messages, so that nothing would happen")
		}
	case Permanent:
		if o.For != 0 {
			return within("For", problem("means nothing to this Action"))
		}
	case Temporary:
	default:
		return within("Action", problem("is unknown"))
	}
	return within("Rate", o.Rate.check())
}
