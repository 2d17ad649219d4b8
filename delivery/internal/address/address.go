// Package address parses the addresses of an envelope: RFC 5321, section 4.1.2, with the UTF-8 of RFC 6531. What it lets
// through can be written between angle brackets into a command as it is.
package address

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// The limits of RFC 5321, section 4.5.3.1, in octets. A path has 256 with its angle brackets.
const (
	maxLocal  = 64
	maxDomain = 255
	maxLabel  = 63
	maxTotal  = 254
	maxInput  = 1024 // escapes and U-labels may shrink, but not by more
)

// Address is a mailbox.
type Address struct {
	Local  string // in the form of the wire: quoted if it has to be
	Domain string // in lower case and A-label form, or an address literal with its brackets
	UTF8   bool   // Local has octets above 127, so the address needs SMTPUTF8
}

// String is the address without angle brackets.
func (a Address) String() string { return a.Local + "@" + a.Domain }

// Parse parses a mailbox. Quotes that aren't needed are dropped, U-labels become A-labels, and an address literal gets its
// canonical form. Refused are, beyond what the grammar refuses: angle brackets and spaces even inside quotes, where the
// grammar has them but a careless server would take what follows for parameters; a trailing dot; a domain that ends in a number.
// The null sender isn't a mailbox.
func Parse(s string) (Address, error) {
	a, err := parse(s)
	if err != nil {
		return Address{}, fmt.Errorf("address %.100q: %w", s, err)
	}
	return a, nil
}

func parse(s string) (a Address, err error) {
	switch {
	case s == "":
		return a, errors.New("is empty")
	case len(s) > maxInput:
		return a, errors.New("is too long")
	case !utf8.ValidString(s):
		return a, errors.New("is not UTF-8")
	}
	for _, r := range s {
		switch {
		case r == '<' || r == '>':
			return a, errors.New("has an angle bracket")
		case ' ' <= r && r <= '~': // most are, and need not be looked up
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Z):
			// Cf has the characters that turn the direction of writing and the invisible ones.
			return a, fmt.Errorf("has the control or space character %U", r)
		}
	}
	local, domain, err := split(s)
	if err != nil {
		return a, err
	}
	if len(local) > maxLocal {
		return a, fmt.Errorf("local part has more than %d octets", maxLocal)
	}
	if strings.HasPrefix(domain, "[") {
		domain, err = parseLiteral(domain)
	} else {
		domain, err = parseDomain(domain)
	}
	if err != nil {
		return a, err
	}
	a = Address{Local: local, Domain: domain, UTF8: !isASCII(local)}
	if len(local)+1+len(domain) > maxTotal {
		return a, fmt.Errorf("has more than %d octets", maxTotal)
	}
	return a, nil
}

// split takes s apart at the "@" and brings the local part to the form of the wire.
func split(s string) (local, domain string, err error) {
	if strings.HasPrefix(s, `"`) {
		return splitQuoted(s)
	}
	local, domain, found := strings.Cut(s, "@")
	switch {
	case !found || domain == "":
		return "", "", errors.New("has no domain")
	case local == "":
		return "", "", errors.New("has no local part")
	case !isDotString(local):
		return "", "", errors.New("local part has a character or dot that must be quoted")
	}
	return local, domain, nil
}

func splitQuoted(s string) (local, domain string, err error) {
	var content strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			domain, found := strings.CutPrefix(s[i+1:], "@")
			if !found || domain == "" {
				return "", "", errors.New("has no domain")
			}
			if strings.Contains(content.String(), " ") {
				return "", "", errors.New("local part has a space")
			}
			return quote(content.String()), domain, nil
		case '\\':
			i++
			if i == len(s) || s[i] >= utf8.RuneSelf {
				return "", "", errors.New("has a backslash before nothing that can be escaped")
			}
			content.WriteByte(s[i])
		default:
			content.WriteByte(c)
		}
	}
	return "", "", errors.New("has a quote that doesn't end")
}

// quote returns content as a local part.
func quote(content string) string {
	if isDotString(content) {
		return content
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(content) + `"`
}

func isDotString(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if c := atom[i]; c < utf8.RuneSelf && !isLetterDigit(c) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", rune(c)) {
				return false
			}
		}
	}
	return true
}

// parseDomain returns the A-label form, in lower case, of a domain.
func parseDomain(s string) (string, error) {
	if !isASCII(s) {
		a, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return "", errors.New("domain is not a valid internationalised name")
		}
		s = a
	}
	if len(s) > maxDomain {
		return "", fmt.Errorf("domain has more than %d octets", maxDomain)
	}
	s = strings.ToLower(s)
	last := ""
	for last = range strings.SplitSeq(s, ".") {
		if err := checkLabel(last); err != nil {
			return "", err
		}
	}
	if strings.Trim(last, "0123456789") == "" {
		// RFC 3696, section 2: no top-level domain is a number. It is an IPv4 address that lacks its brackets.
		return "", errors.New("domain ends in a number")
	}
	return s, nil
}

func checkLabel(l string) error {
	switch {
	case l == "":
		return errors.New("domain has an empty label or a dot at its end")
	case len(l) > maxLabel:
		return fmt.Errorf("domain has a label of more than %d octets", maxLabel)
	case l[0] == '-' || l[len(l)-1] == '-':
		return errors.New("domain has a label with a hyphen at its start or end")
	}
	for i := range len(l) {
		if !isLetterDigit(l[i]) && l[i] != '-' {
			return errors.New("domain has a character other than letters, digits and hyphens")
		}
	}
	return nil
}

// parseLiteral parses "[192.0.2.1]" or "[IPv6:2001:db8::1]".
func parseLiteral(s string) (string, error) {
	bad := errors.New("has an address literal that is neither [IPv4] nor [IPv6:...]")
	in, found := strings.CutSuffix(s[1:], "]")
	if !found {
		return "", bad
	}
	const tag = "IPv6:"
	if len(in) > len(tag) && strings.EqualFold(in[:len(tag)], tag) {
		ip, err := netip.ParseAddr(in[len(tag):])
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", bad
		}
		return "[" + tag + ip.String() + "]", nil
	}
	ip, err := netip.ParseAddr(in)
	if err != nil || !ip.Is4() {
		return "", bad
	}
	return "[" + ip.String() + "]", nil
}

func isLetterDigit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
