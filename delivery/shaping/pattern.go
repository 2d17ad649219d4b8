package shaping

import (
	"slices"
	"strings"
)

// glob reports whether pattern, in which * stands for anything, matches all of s. It goes back to the last * only, which is
// enough and never takes more than len(pattern)·len(s) steps.
func glob(pattern, s string) bool {
	star, retry, i := -1, 0, 0
	for p := 0; i < len(s) || p < len(pattern); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, i
			p++
		case p < len(pattern) && i < len(s) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0 && retry < len(s):
			retry++
			p, i = star+1, retry
		default:
			return false
		}
	}
	return true
}

// matchCode reports whether each part of code is in that of pattern.
func matchCode(pattern, code string) bool {
	for more := true; more; {
		var want, got string
		var rest bool
		want, pattern, more = strings.Cut(pattern, ".")
		got, code, rest = strings.Cut(code, ".")
		low, high, ok := codeRange(want)
		n, isNumber := number(got)
		if !ok || !isNumber || n < low || n > high || more != rest {
			return false
		}
	}
	return true
}

// validCode reports whether pattern has so many parts and could match a code.
func validCode(pattern string, parts int) bool {
	list := strings.SplitN(pattern, ".", parts+1)
	return len(list) == parts && !slices.ContainsFunc(list, func(part string) bool {
		_, _, ok := codeRange(part)
		return !ok
	})
}

// matchesRefusal reports whether the pattern of a reply code has a refusal among those that it matches.
func matchesRefusal(pattern string) bool {
	low, high, _ := codeRange(pattern)
	return low <= 599 && high >= 400
}

// codeRange reads "*", a number or a range of numbers.
func codeRange(s string) (low, high int, ok bool) {
	if s == "*" {
		return 0, 999, true
	}
	first, last, isRange := strings.Cut(s, "-")
	low, ok = number(first)
	if high = low; isRange && ok {
		high, ok = number(last)
	}
	return low, high, ok && low <= high
}

// number reads one to three digits.
func number(s string) (n int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
		if i == 3 {
			return 0, false
		}
	}
	return n, s != ""
}
