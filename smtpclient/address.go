package smtpclient

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SyntaxError is about an address or a parameter that can't be written into a command. The server was not asked.
type SyntaxError struct {
	Field  string // such as "From", "To", "LocalName"
	Value  string
	Reason string
}

// Error names the field, the value and the reason.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s %.100q %s", e.Field, e.Value, e.Reason) }

// maxAddress is 64 octets of local part, "@" and 255 of domain (RFC 5321, section 4.5.3.1). The parts aren't held to
// their own limits, which servers don't all know.
const maxAddress = 320

// checkAddress says why address can't stand between the angle brackets of MAIL or RCPT, or "".
//
// The rule is narrower than RFC 5321, section 4.1.2: no control character, space, "<" or ">" anywhere, not even quoted,
// so that no server, whichever way it splits a command, finds a second parameter or command in it. It is wider where
// nothing can go wrong: dots may stand anywhere in a local part, and underscores in a domain.
func checkAddress(address string) string {
	if len(address) > maxAddress {
		return fmt.Sprintf("has more than %d octets", maxAddress)
	}
	if !utf8.ValidString(address) {
		return "is not UTF-8"
	}
	for _, r := range address {
		if unicode.IsControl(r) || unicode.In(r, unicode.Z) || r == '<' || r == '>' {
			return fmt.Sprintf("contains %q", r)
		}
	}
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		if strings.EqualFold(address, "postmaster") { // RFC 5321, section 4.1.1.3
			return ""
		}
		return "has no domain"
	}
	switch {
	case !validLocalPart(address[:at]):
		return "has no valid local part"
	case !validDomain(address[at+1:]):
		return "has no valid domain"
	}
	return ""
}

// validLocalPart checks what checkAddress has left: atoms and dots, or a quoted string.
func validLocalPart(s string) bool {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return validQuoted(s[1 : len(s)-1])
	}
	return s != "" && !strings.ContainsAny(s, `"(),:;@[\]`)
}

// validQuoted checks the inside of a quoted string: every quote and backslash has a backslash before it.
func validQuoted(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return false
		case '\\':
			if i++; i == len(s) || s[i] >= utf8.RuneSelf {
				return false
			}
		}
	}
	return true
}

func validDomain(s string) bool {
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		return len(s) > 2 && !strings.ContainsAny(s[1:len(s)-1], `[]\"(),;@`)
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c >= utf8.RuneSelf) {
				return false
			}
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
