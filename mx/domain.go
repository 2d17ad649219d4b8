package mx

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

var (
	errName    = errors.New("not a domain name")
	errLiteral = errors.New("not an address literal")
)

// maxName is how long a domain may be before it is looked at: longer than any with U-labels that fits into the DNS.
const maxName = 1024

// parseDomain reads the domain of an address: a name, which it returns in lower-case A-labels without a dot at its end,
// or an address literal.
func parseDomain(s string) (name string, literal netip.Addr, err error) {
	if strings.HasPrefix(s, "[") {
		literal, err = parseLiteral(s)
		return "", literal, err
	}
	name, err = asciiName(s)
	return name, netip.Addr{}, err
}

// parseLiteral reads an address literal of RFC 5321, section 4.1.3.
func parseLiteral(s string) (netip.Addr, error) {
	inner, ok := strings.CutPrefix(s, "[")
	inner, ok2 := strings.CutSuffix(inner, "]")
	if !ok || !ok2 || len(inner) > maxName {
		return netip.Addr{}, errLiteral
	}
	const tag = "IPv6:"
	tagged := len(inner) > len(tag) && strings.EqualFold(inner[:len(tag)], tag)
	if tagged {
		inner = inner[len(tag):]
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || addr.Is6() != tagged || addr.Zone() != "" {
		return netip.Addr{}, errLiteral
	}
	return addr.Unmap(), nil
}

// asciiName returns a domain name in lower-case A-labels, without a dot at its end. Names that are ASCII already are held
// to no more than the letters, digits, hyphens and underscores that are in use, since IDNA would refuse some of those.
func asciiName(s string) (string, error) {
	if len(s) > maxName {
		return "", errName
	}
	if !isASCII(s) {
		var err error
		if s, err = idna.Lookup.ToASCII(s); err != nil {
			return "", errName // the package's text quotes labels: nothing to show to a reader of reports
		}
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if !validName(s) {
		return "", errName
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return "", errName // addresses need brackets
	}
	return s, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// validName reports whether s, in lower case, has the form of a name that a mail host can have.
func validName(s string) bool {
	if len(s) == 0 || len(s) > 253 {
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
	return true
}
