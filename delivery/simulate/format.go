package simulate

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// String is the script as [ParseScript] reads it.
func (s Script) String() string {
	var b strings.Builder
	for i := range s {
		fmt.Fprintln(&b, s[i])
	}
	return b.String()
}

// String is the rule as a line of a script's text.
func (r Rule) String() string {
	where := r.Where
	if where == "" {
		where = "*"
	}
	var conditions []string
	if r.Share != 0 {
		percent := math.Round(r.Share*shareUnit) / (shareUnit / 100)
		conditions = append(conditions, strconv.FormatFloat(percent, 'f', -1, 64)+"%")
	}
	switch {
	case r.Attempts == 1:
		conditions = append(conditions, "first attempt")
	case r.Attempts > 1:
		conditions = append(conditions, fmt.Sprintf("first %d attempts", r.Attempts))
	}
	does := fmt.Sprint(r.Do)
	if len(conditions) > 0 {
		does = strings.Join(conditions, ", ") + ": " + does
	}
	return fmt.Sprintf("%-13s %-18s %s", r.When, where, does)
}

// String is the window as it stands in the text of a script.
func (w Window) String() string {
	switch {
	case w == Window{}:
		return "always"
	case w.Daily:
		return clock(w.From) + "-" + clock(w.To)
	case w.To == 0:
		return "+" + short(w.From)
	}
	return "+" + short(w.From) + "-+" + short(w.To)
}

func clock(d time.Duration) string {
	s := fmt.Sprintf("%02d:%02d", d/time.Hour, d/time.Minute%60)
	if second := d / time.Second % 60; second != 0 {
		s += fmt.Sprintf(":%02d", second)
	}
	return s
}

// short is d without what is zero behind it.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// String is the action as it stands in the text of a script.
func (a Answer) String() string {
	if a.Code == 0 {
		return string(a.Phase) + " lost"
	}
	words := []string{string(a.Phase), strconv.Itoa(a.Code)}
	for _, w := range []string{a.Enhanced, a.Text} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

// String is the action as it stands in the text of a script.
func (f Fail) String() string {
	if f == 0 {
		return "connect fails"
	}
	return "connect fails after " + short(time.Duration(f))
}

// String is the action as it stands in the text of a script.
func (c Connections) String() string { return fmt.Sprintf("connections %d", int(c)) }

// String is the action as it stands in the text of a script.
func (g Greets) String() string { return "greets in " + short(time.Duration(g)) }

// String is the action as it stands in the text of a script.
func (t Takes) String() string { return "takes " + short(time.Duration(t)) }

// String is the action as it stands in the text of a script.
func (s Site) String() string { return "is at " + string(s) }
