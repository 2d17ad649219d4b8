package simulate

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/retry"
)

// maxScript bounds the text of a script.
const maxScript = 1 << 20

// ParseScript reads a script, one rule in a line: when, where, and what they do there.
//
//	# when        where            what
//	always        full@big.example rcpt 452 4.2.2 mailbox full
//	09:00-17:00   *.example        first 2 attempts: rcpt 450 4.2.0 greylisted
//	always        *.example        2%: rcpt 550 5.1.1 no such user
//	12:00-14:00   big.example      greeting 421 4.7.28 too fast
//	always        big.example      1%, first attempt: body lost
//	+2h-+8h       *                connect fails after 30s
//	always        small.example    connections 5
//	always        *                greets in 100ms
//	always        *                takes 200ms
//	always        *.shop.example   is at big.example
//
// When is "always", a time of day, or a time from the start of the simulation, which has an end or, as "+2h", none. Where is a
// pattern of domains, sites or recipients. Before a colon stands for which attempts it is so, and for what part of them. See
// [Rule] and the actions for what it all means. A line that is empty or begins with # says nothing.
//
// The name, such as a file's, is for errors, which tell the line.
func ParseScript(name, text string) (Script, error) {
	if len(text) > maxScript {
		return nil, fmt.Errorf("simulate: %s has more than %d octets", name, maxScript)
	}
	var s Script
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		rule, err := parseRule(line)
		if err == nil {
			err = rule.check()
		}
		if err == nil && len(s) == maxRules {
			err = fmt.Errorf("there are more than %d rules", maxRules)
		}
		if err != nil {
			return nil, fmt.Errorf("simulate: %s:%d: %w", name, number, err)
		}
		s = append(s, rule)
	}
	return s, nil
}

func parseRule(line string) (r Rule, err error) {
	when, rest := word(line)
	where, rest := word(rest)
	if rest == "" {
		return r, errors.New("a rule says when, where, and what")
	}
	if r.When, err = parseWindow(when); err != nil {
		return r, err
	}
	if where != "*" {
		r.Where = where
	}
	first, _ := word(rest)
	if first == "first" || strings.Contains(first, "%") {
		conditions, action, ok := strings.Cut(rest, ":")
		if !ok {
			return r, fmt.Errorf("no colon ends what begins with %.50q", first)
		}
		for c := range strings.SplitSeq(conditions, ",") {
			if err := r.parseCondition(strings.Join(strings.Fields(c), " ")); err != nil {
				return r, err
			}
		}
		rest = strings.TrimSpace(action)
	}
	r.Do, err = parseAction(rest)
	return r, err
}

// word cuts the first word off.
func word(s string) (first, rest string) {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimSpace(s[i:])
	}
	return s, ""
}

func parseWindow(s string) (w Window, err error) {
	if s == "always" {
		return w, nil
	}
	bad := fmt.Errorf(`%.50q is neither "always" nor a time such as 09:00-17:00, +2h or +2h-+8h`, s)
	if !strings.HasPrefix(s, "+") {
		from, to, _ := strings.Cut(s, "-")
		w.Daily = true
		var ok1, ok2 bool
		w.From, ok1 = parseClock(from)
		w.To, ok2 = parseClock(to)
		if !ok1 || !ok2 {
			return w, bad
		}
		return w, nil
	}
	from, to, ends := strings.Cut(s[1:], "-+")
	if w.From, err = parseTime(from); err != nil {
		return w, bad
	}
	if ends {
		if w.To, err = parseTime(to); err != nil || w.To <= w.From {
			return w, bad
		}
	}
	return w, nil
}

// parseClock reads 17:00 or 17:00:30, and 24:00.
func parseClock(s string) (time.Duration, bool) {
	if s == "24:00" {
		return 24 * time.Hour, true
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil && len(s) == len(layout) {
			return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second, true
		}
	}
	return 0, false
}

func parseTime(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%.50q is no duration such as 200ms, 90s or 2h", s)
	}
	return d, nil
}

// parseCondition reads "first attempt", "first 2 attempts" or "2.5%".
func (r *Rule) parseCondition(s string) error {
	if percent, ok := strings.CutSuffix(s, "%"); ok {
		v, err := strconv.ParseFloat(percent, 64)
		if err != nil || !(v > 0 && v <= 100) || r.Share != 0 {
			return fmt.Errorf("%.50q is not one share of more than 0 and up to 100%%", s)
		}
		r.Share = math.Max(math.Round(v*shareUnit/100), 1) / shareUnit
		return nil
	}
	words := strings.Fields(s)
	if len(words) == 2 && s == "first attempt" {
		words = []string{"first", "1", "attempts"}
	}
	if len(words) != 3 || words[0] != "first" || words[2] != "attempts" || r.Attempts != 0 {
		return fmt.Errorf(`%.50q is neither "first 2 attempts" nor a share such as 2%%`, s)
	}
	n, err := strconv.Atoi(words[1])
	if err != nil || n < 1 {
		return fmt.Errorf("%.50q is no number of attempts", words[1])
	}
	r.Attempts = n
	return nil
}

// shareUnit is how many of the smallest share that can be written make the whole.
const shareUnit = 1e8

func parseAction(s string) (Action, error) {
	verb, rest := word(s)
	switch verb {
	case "greeting", "mail", "rcpt", "data", "body":
		return parseAnswer(retry.Phase(verb), rest)
	case "connect":
		after, ok := strings.CutPrefix(strings.Join(strings.Fields(rest), " "), "fails")
		if !ok || after != "" && !strings.HasPrefix(after, " after ") {
			return nil, errors.New(`"connect" is followed by "fails" or "fails after 30s"`)
		}
		if after == "" {
			return Fail(0), nil
		}
		d, err := parseTime(strings.TrimPrefix(after, " after "))
		return Fail(d), err
	case "connections":
		n, err := strconv.Atoi(rest)
		if err != nil {
			return nil, fmt.Errorf("%.50q is no number of connections", rest)
		}
		return Connections(n), nil
	case "greets":
		in, after := word(rest)
		if in != "in" {
			return nil, errors.New(`"greets" is followed by "in" and a time`)
		}
		d, err := parseTime(after)
		return Greets(d), err
	case "takes":
		d, err := parseTime(rest)
		return Takes(d), err
	case "is":
		at, name := word(rest)
		if at != "at" {
			return nil, errors.New(`"is" is followed by "at" and a site`)
		}
		return Site(name), nil
	}
	return nil, fmt.Errorf(`%.50q is nothing that servers do; they know "connect fails", "greeting", "mail", "rcpt", "data", "body", `+
		`"connections", "greets in", "takes" and "is at"`, verb)
}

func parseAnswer(phase retry.Phase, s string) (Action, error) {
	a := Answer{Phase: phase}
	if s == "lost" {
		return a, nil
	}
	code, text := word(s)
	n, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || n < 200 {
		return nil, fmt.Errorf(`%q is followed by a reply code and a text, or "lost", not %.50q`, phase, code)
	}
	a.Code, a.Text = n, text
	if enhanced, rest := word(text); isEnhanced(enhanced) {
		a.Enhanced, a.Text = enhanced, rest
	}
	return a, nil
}

// isEnhanced reports whether s has the form of an enhanced status code.
func isEnhanced(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || len(parts[0]) != 1 {
		return false
	}
	for _, p := range parts {
		if len(p) < 1 || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return true
}
