package smtpclient

import (
	"slices"
	"strings"
)

// announced are the limits that a server has named by LIMITS (RFC 9422); 0 is none.
type announced struct {
	mails   int // MAILMAX: transactions on a session
	rcpts   int // RCPTMAX: recipients of a transaction
	domains int // RCPTDOMAINMAX: their domains
}

// limits reads LIMITS. If anything in it is not as it should be, nothing in it counts.
func (e extensions) limits() (a announced) {
	for item := range strings.FieldsSeq(e["LIMITS"]) {
		name, value, _ := strings.Cut(strings.ToUpper(item), "=")
		if !validKeyword(name) || value == "" {
			return announced{}
		}
		var number *int
		switch name {
		case "MAILMAX":
			number = &a.mails
		case "RCPTMAX":
			number = &a.rcpts
		case "RCPTDOMAINMAX":
			number = &a.domains
		default:
			continue
		}
		if *number = parseLimit(value); *number == 0 {
			return announced{}
		}
	}
	return a
}

// parseLimit reads a number of one to six digits of which the first is not 0, as RFC 9422, section 4, has it; else it
// returns 0.
func parseLimit(s string) (n int) {
	if len(s) > 6 || s[0] == '0' {
		return 0
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// quota counts the recipients of a transaction against the server's limits.
type quota struct {
	rcptMax, domainMax int // 0 is no limit
	rcpts              int
	domains            []string
}

// quota is that of a new transaction, by what the server has announced and what was learned.
func (s *Session) quota() quota {
	limits := s.ext.limits()
	q := quota{rcptMax: limits.rcpts, domainMax: limits.domains}
	if q.rcptMax == 0 || s.rcptMax > 0 && s.rcptMax < q.rcptMax {
		q.rcptMax = s.rcptMax
	}
	return q
}

// takes reports whether a recipient may be added, and adds it then.
func (q *quota) takes(address string) bool {
	if q.rcptMax > 0 && q.rcpts == q.rcptMax {
		return false
	}
	if q.domainMax > 0 {
		domain := strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
		if !slices.Contains(q.domains, domain) {
			if len(q.domains) == q.domainMax {
				return false
			}
			q.domains = append(q.domains, domain)
		}
	}
	q.rcpts++
	return true
}
