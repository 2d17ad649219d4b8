package retry

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The bounds of a hint: what is shorter or longer is brought to the nearer one.
const (
	minHint = time.Minute
	maxHint = time.Hour
)

// hint matches a verb of waiting and, a few words later, a number with its unit or a time as 00:05:00.
var hint = regexp.MustCompile(`(?i)\b(?:again|back|retry|retrying|wait|delayed|greylisted)\b[^\d\n]{0,24}\b` +
	`(?:(\d{1,2}):(\d{2}):(\d{2})|(\d{1,6}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?))\b`)

// Hint finds in the text of a 4xx reply how long the server asks to wait, as in "try again in 5 minutes", "retry after 300
// seconds" or "come back in 00:05:00". It returns at least 1 minute and at most 1 hour, or ok false if it finds nothing. The
// text is the server's: a hint is no more than that.
func Hint(text string) (wait time.Duration, ok bool) {
	m := hint.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	if m[1] != "" {
		wait = times(m[1], time.Hour) + times(m[2], time.Minute) + times(m[3], time.Second)
	} else {
		wait = times(m[4], unit(m[5]))
	}
	return min(max(wait, minHint), maxHint), true
}

func unit(name string) time.Duration {
	switch strings.ToLower(name)[0] {
	case 's':
		return time.Second
	case 'm':
		return time.Minute
	}
	return time.Hour
}

// times returns n units, for n of at most six digits: a million hours are within a Duration.
func times(n string, unit time.Duration) time.Duration {
	i, err := strconv.Atoi(n)
	if err != nil {
		return 0
	}
	return time.Duration(i) * unit
}
