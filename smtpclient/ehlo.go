package smtpclient

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// extensions are the keywords of an EHLO reply, in upper case, and their parameters.
type extensions map[string]string

// parseExtensions reads the lines of an EHLO reply; the first is a greeting. Keywords are taken in any case, and
// separated from their parameters by a space or, as in the "AUTH=LOGIN" of old servers, a "=". Those of a keyword that comes
// twice are joined.
func parseExtensions(lines []string) extensions {
	ext := extensions{}
	for _, line := range lines[min(1, len(lines)):] {
		line = strings.TrimSpace(line)
		keyword, params := line, ""
		if i := strings.IndexAny(line, " \t="); i >= 0 {
			keyword, params = line[:i], strings.TrimSpace(line[i+1:])
		}
		keyword = strings.ToUpper(keyword)
		if !validKeyword(keyword) {
			continue
		}
		if old := ext[keyword]; old != "" {
			params = strings.TrimSpace(old + " " + params)
		}
		ext[keyword] = params
	}
	return ext
}

// validKeyword holds s to ehlo-keyword of RFC 5321, section 4.1.1.1, and to the underscores and dots that some invent.
func validKeyword(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return s != ""
}

func (e extensions) has(keyword string) bool {
	_, ok := e[keyword]
	return ok
}

// without returns a copy that lacks some keywords.
func (e extensions) without(keywords ...string) extensions {
	e = maps.Clone(e)
	for _, k := range keywords {
		delete(e, strings.ToUpper(k))
	}
	return e
}

// maxSize is the limit that SIZE (RFC 1870) names, 0 if it names none.
func (e extensions) maxSize() int64 {
	first, _, _ := strings.Cut(e["SIZE"], " ")
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// mechanism is the first of prefer that AUTH offers, "" if it offers none of them.
func (e extensions) mechanism(prefer ...string) string {
	offered := strings.Fields(strings.ToUpper(e["AUTH"]))
	for _, m := range prefer {
		if slices.Contains(offered, m) {
			return m
		}
	}
	return ""
}
