package simulate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/retry"
)

// Script says how servers behave. Of the rules that speak about the same thing, such as the answer to RCPT, the first that
// applies counts. [ParseScript] reads one from a text.
type Script []Rule

// Rule says what servers do, where, and when.
type Rule struct {
	// Where is a domain or a site, or a pattern of one, in which * stands for anything, such as "*.example"; or, if it has an @,
	// of a recipient's address, whom an Answer to RCPT then concerns. In lower case. Defaults to everywhere.
	Where string
	// When is the time at which it is so. Defaults to always.
	When Window
	// Attempts, if not 0, makes it so for the first attempts at each job only, so many.
	Attempts int
	// Share, if not 0, makes it so for that part of what it could be so for, from 0 to 1, by chance.
	Share float64
	// Do is what they do.
	Do Action
}

// Window is a time from From, which is in it, to To, which isn't.
type Window struct {
	// From and To count from Config.Start. A To of 0 is no end.
	From, To time.Duration
	// Daily makes them count from each midnight. A To that is before From is the next day's.
	Daily bool
}

// Action is what servers do: one of [Answer], [Fail], [Connections], [Greets], [Takes] and [Site].
type Action interface {
	// String is the action as it stands in the text of a script.
	String() string
	check() error
}

// Answer is what is answered in a phase of the dialogue: retry.PhaseGreeting, PhaseMail, PhaseRcpt, PhaseData or PhaseBody, which
// is the end of the data. Code 0 is no answer: the connection is lost, which at the end of the data leaves it uncertain
// whether the message has arrived.
type Answer struct {
	Phase    retry.Phase
	Code     int
	Enhanced string // RFC 3463 code such as "4.2.0", or ""
	Text     string
}

// Fail makes connections fail, so long after they were begun. Unless only a Share of them does, those that there are already
// are lost.
type Fail time.Duration

// Connections is how many there can be at a site at once. One more is turned away with a 421.
type Connections int

// Greets is the time from dialling to the end of the greetings.
type Greets time.Duration

// Takes is the time that a message takes.
type Takes time.Duration

// Site is the site of a domain: those that have the same one share its hosts and limits. Without, each is its own.
type Site string

// Bounds of a script.
const (
	maxRules = 10_000
	maxName  = 255
	maxText  = 1000
	maxTakes = 10 * time.Minute // what a dialogue's timeouts would allow
)

// Check returns an error that names the field that makes no sense, or the first of them.
func (s Script) Check() error {
	if len(s) > maxRules {
		return fmt.Errorf(" has %d rules, more than %d", len(s), maxRules)
	}
	for i := range s {
		if err := s[i].check(); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func (r *Rule) check() error {
	if r.Do == nil {
		return errors.New("does nothing")
	}
	if err := checkPattern(r.Where); err != nil {
		return err
	}
	if err := r.When.check(); err != nil {
		return err
	}
	a, isAnswer := r.Do.(Answer)
	_, isSite := r.Do.(Site)
	switch {
	case strings.Contains(r.Where, "@") && !(isAnswer && a.Phase == retry.PhaseRcpt):
		return fmt.Errorf("%.300q is a recipient, whom only an answer to rcpt concerns", r.Where)
	case r.Attempts < 0:
		return errors.New("the number of attempts is negative")
	case !(r.Share >= 0 && r.Share <= 1): // NaN isn't either
		return errors.New("the share is not from 0 to 100 %")
	case isSite && r.Share != 0:
		return errors.New("a domain is not at a site by chance")
	case isSite && r.Attempts != 0:
		return errors.New("a domain is not at a site for some attempts")
	}
	return r.Do.check()
}

func checkPattern(p string) error {
	if _, err := path.Match(p, ""); err != nil || len(p) > maxName || p != strings.ToLower(p) || strings.ContainsAny(p, `\?[]`) {
		return fmt.Errorf("%.300q is no pattern of a name in lower case", p)
	}
	return nil
}

func (w Window) check() error {
	day := 24 * time.Hour
	switch {
	case w.From < 0 || w.To < 0:
		return errors.New("a time is negative")
	case w.Daily && (w.From >= day || w.To > day):
		return errors.New("a time of day is after midnight")
	case w.Daily && w.From == w.To, !w.Daily && w.To > 0 && w.To <= w.From:
		return errors.New("a time ends before it begins")
	}
	return nil
}

func (w Window) contains(start, now time.Time) bool {
	at := now.Sub(start)
	if w.Daily {
		hour, minute, second := now.In(start.Location()).Clock()
		at = time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
		if w.To < w.From {
			return at >= w.From || at < w.To
		}
	}
	return at >= w.From && (w.To == 0 || at < w.To)
}

func (a Answer) check() error {
	switch a.Phase {
	case retry.PhaseGreeting, retry.PhaseMail, retry.PhaseRcpt, retry.PhaseData, retry.PhaseBody:
	default:
		return fmt.Errorf("%.50q is no phase that is answered", a.Phase)
	}
	switch {
	case a.Code == 0 && (a.Enhanced != "" || a.Text != ""):
		return errors.New("a lost connection says nothing")
	case a.Code != 0 && (a.Code < 200 || a.Code > 599):
		return fmt.Errorf("%d is no reply code", a.Code)
	case a.Enhanced != "" && !isEnhanced(a.Enhanced):
		return fmt.Errorf("%.50q is no enhanced status code", a.Enhanced)
	case len(a.Text) > maxText || strings.ContainsFunc(a.Text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }):
		return errors.New("the text of a reply is too long or not printable")
	}
	return nil
}

func (f Fail) check() error   { return checkTime(time.Duration(f)) }
func (g Greets) check() error { return checkTime(time.Duration(g)) }
func (t Takes) check() error  { return checkTime(time.Duration(t)) }

func checkTime(d time.Duration) error {
	if d < 0 || d > maxTakes {
		return fmt.Errorf("%v is not from 0s to %v", d, maxTakes)
	}
	return nil
}

func (c Connections) check() error {
	if c < 0 {
		return errors.New("the number of connections is negative")
	}
	return nil
}

func (s Site) check() error {
	if !isName(string(s)) {
		return fmt.Errorf("%.300q is no name of a site in lower case", string(s))
	}
	return nil
}

// isName reports whether s could be the name of a domain or a site: some printable ASCII, in lower case.
func isName(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r >= 'A' && r <= 'Z' })
}

// question is what a rule may depend on.
type question struct {
	start, now   time.Time
	domain, site string
	address      string // of the recipient, if the question is about one
	tries        int    // so far
	rand         *rand.Rand
}

func (r *Rule) applies(q *question) bool {
	return r.matches(q) && r.When.contains(q.start, q.now) && (r.Attempts == 0 || q.tries < r.Attempts) &&
		(r.Share == 0 || q.rand.Float64() < r.Share)
}

func (r *Rule) matches(q *question) bool {
	if r.Where == "" || r.Where == "*" {
		return true
	}
	if strings.Contains(r.Where, "@") {
		return glob(r.Where, q.address)
	}
	return glob(r.Where, q.domain) || glob(r.Where, q.site)
}

func glob(pattern, s string) bool {
	ok, err := path.Match(pattern, s)
	return ok && err == nil
}

// find returns the action of one kind that holds.
func find[A Action](s Script, q *question) (a A, ok bool) {
	for i := range s {
		if a, ok := s[i].Do.(A); ok && s[i].applies(q) {
			return a, true
		}
	}
	return a, false
}

// down reports whether connections that there are are lost.
func (s Script) down(q *question) bool {
	return slices.ContainsFunc(s, func(r Rule) bool {
		_, fails := r.Do.(Fail)
		return fails && r.Share == 0 && r.applies(q)
	})
}

// answer returns what is answered in a phase, if that isn't leave to go on.
func (s Script) answer(phase retry.Phase, q *question) (a Answer, ok bool) {
	for i := range s {
		if a, ok := s[i].Do.(Answer); ok && a.Phase == phase && s[i].applies(q) {
			return a, true
		}
	}
	return Answer{}, false
}
