package mtasts

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds on a policy file.
const (
	maxPolicy   = 64 << 10 // octets, as RFC 8461, section 3.3, suggests
	maxPatterns = 100      // mx lines; a Resolver looks at as many hosts
	maxAge      = 31557600 // seconds: RFC 8461, section 3.2
)

// Mode says what a domain wants done about a host that fails its policy (RFC 8461, section 5).
type Mode int

// The modes.
const (
	None    Mode = iota // nothing: the domain has no policy, or no more
	Testing             // deliver, and report
	Enforce             // don't deliver to that host
)

// String returns the mode as it stands in a policy file.
func (m Mode) String() string {
	switch m {
	case None:
		return "none"
	case Testing:
		return "testing"
	case Enforce:
		return "enforce"
	}
	return "unknown"
}

// Policy is what a domain's policy file says (RFC 8461, section 3.2).
type Policy struct {
	Mode   Mode
	MaxAge time.Duration // how long the policy holds after it was fetched; at most 31557600 seconds
	MX     []string      // patterns for the names of MX hosts, in lower case: a name, or one with "*" for its first label
}

// ParsePolicy reads a policy file. Fields that RFC 8461 doesn't know are ignored, and so is every repetition of one that can
// stand only once. Lines end in LF or CRLF; empty ones are ignored. A max_age over the greatest one is taken for that. A file
// of more than 64 KiB or 100 mx fields is an error.
func ParsePolicy(text string) (*Policy, error) {
	p, err := parsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("mtasts: %w", err)
	}
	return p, nil
}

func parsePolicy(text string) (*Policy, error) {
	if len(text) > maxPolicy {
		return nil, errors.New("policy is longer than 64 KiB")
	}
	p := new(Policy)
	fields := make(map[string]string) // the ones that count once
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		key, value, err := parseLine(strings.TrimSuffix(line, "\r"))
		switch key {
		case "mx":
			err = p.addPattern(value)
		case "version", "mode", "max_age":
			if _, repeated := fields[key]; !repeated {
				fields[key] = value
			}
		}
		if err != nil {
			return nil, fmt.Errorf("line %d of the policy: %w", n, err)
		}
	}
	return p, p.set(fields)
}

// parseLine returns the field that a line holds, which is none if it is empty.
func parseLine(line string) (key, value string, err error) {
	const space = " \t"
	if line = strings.TrimRight(line, space); line == "" {
		return "", "", nil
	}
	key, value, found := strings.Cut(line, ":")
	value = strings.TrimLeft(value, space)
	if !found || !validKey(key) || !validValue(value) {
		return "", "", fmt.Errorf("%.80q is not a field", line)
	}
	return key, value, nil
}

// validKey holds the name of a field, of a policy or a record, to its grammar.
func validKey(s string) bool {
	if s == "" || len(s) > 32 || strings.IndexByte("_-.", s[0]) >= 0 {
		return false
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte("_-.", s[i]) < 0 {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func validValue(s string) bool {
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, control)
}

func (p *Policy) addPattern(value string) error {
	value = strings.ToLower(value)
	if !validName(strings.TrimPrefix(value, "*.")) {
		return fmt.Errorf("%.80q is not the name of an MX host, nor a pattern for such names", value)
	}
	if len(p.MX) == maxPatterns {
		return fmt.Errorf("more than %d mx fields", maxPatterns)
	}
	p.MX = append(p.MX, strings.Clone(value)) // or the whole file would stay in memory
	return nil
}

// set takes over the fields that count once, and checks the whole.
func (p *Policy) set(fields map[string]string) error {
	if fields["version"] != "STSv1" {
		return fmt.Errorf("policy's version is %.20q, not STSv1", fields["version"])
	}
	switch fields["mode"] {
	case "none":
		p.Mode = None
	case "testing":
		p.Mode = Testing
	case "enforce":
		p.Mode = Enforce
	default:
		return fmt.Errorf("policy's mode is %.20q, not none, testing or enforce", fields["mode"])
	}
	seconds, err := strconv.ParseUint(fields["max_age"], 10, 64)
	if err != nil || len(fields["max_age"]) > 10 {
		return fmt.Errorf("policy's max_age is %.20q, not a number of seconds", fields["max_age"])
	}
	p.MaxAge = time.Duration(min(seconds, maxAge)) * time.Second
	if len(p.MX) == 0 && p.Mode != None {
		return errors.New("policy has no mx field")
	}
	return nil
}

// Match reports whether the policy allows an MX host, by its name (RFC 8461, section 4.1). A pattern's "*" stands for exactly one
// label. An address matches nothing.
func (p *Policy) Match(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !validName(host) {
		return false
	}
	_, parent, below := strings.Cut(host, ".")
	return slices.Contains(p.MX, host) || below && slices.Contains(p.MX, "*."+parent)
}

// String returns the policy as a file that [ParsePolicy] reads.
func (p *Policy) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: STSv1\r\nmode: %v\r\n", p.Mode)
	for _, pattern := range p.MX {
		fmt.Fprintf(&b, "mx: %s\r\n", pattern)
	}
	fmt.Fprintf(&b, "max_age: %d\r\n", p.MaxAge/time.Second)
	return b.String()
}

// validName reports whether s, in lower case, has the form of a domain name in A-labels. Underscores, which such names shouldn't
// have, are in use.
func validName(s string) bool {
	if len(s) > maxName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	_, err := netip.ParseAddr(s)
	return err != nil
}

// maxName is the length of the longest name that the DNS has.
const maxName = 253
