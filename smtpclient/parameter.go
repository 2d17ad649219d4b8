package smtpclient

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
)

// parameters are the extensions whose parameters stand in a command and could be left out. REQUIRETLS could not.
func parameters(line string) (keywords []string) {
	_, rest, _ := strings.Cut(line, "> ") // there is none in an address
	for p := range strings.FieldsSeq(rest) {
		name, _, _ := strings.Cut(p, "=")
		keyword := name
		switch name {
		case "SIZE", "SMTPUTF8", "AUTH", "MT-PRIORITY":
		case "BODY":
			keyword = "8BITMIME"
		case "BY":
			keyword = "DELIVERBY"
		case "RET", "ENVID", "NOTIFY", "ORCPT":
			keyword = "DSN"
		default:
			continue
		}
		if !slices.Contains(keywords, keyword) {
			keywords = append(keywords, keyword)
		}
	}
	return keywords
}

// encodeDeliverBy writes BY of RFC 2852, section 4, or says what is wrong with it.
func encodeDeliverBy(by *smtp.DeliverByOptions) (value, reason string) {
	seconds := int64(by.Time / time.Second)
	value = fmt.Sprintf("%d;%s", seconds, by.Mode)
	switch {
	case by.Mode != smtp.DeliverByNotify && by.Mode != smtp.DeliverByReturn:
		return value, "has a mode that is neither N nor R"
	case by.Mode == smtp.DeliverByReturn && seconds <= 0:
		return value, "wants the message back at once"
	case seconds < -999_999_999 || seconds > 999_999_999:
		return value, "has more than nine digits"
	case by.Trace:
		value += "T"
	}
	return value, ""
}

func encodeNotify(list []smtp.DSNNotify) (string, bool) {
	words := make([]string, len(list))
	for i, n := range list {
		switch n {
		case smtp.DSNNotifySuccess, smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed:
		case smtp.DSNNotifyNever:
			if len(list) > 1 {
				return "", false
			}
		default:
			return "", false
		}
		if slices.Contains(words[:i], string(n)) {
			return "", false
		}
		words[i] = string(n)
	}
	return strings.Join(words, ","), true
}

// encodeOriginal writes ORCPT of RFC 3461, section 4.2, or, for what isn't ASCII, of RFC 6533, section 3. The type
// defaults to rfc822.
func encodeOriginal(t smtp.DSNAddressType, address string) (string, bool) {
	if t == "" {
		t = "rfc822"
	}
	for _, c := range []byte(t) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return "", false
		}
	}
	if strings.EqualFold(string(t), string(smtp.DSNAddressTypeUTF8)) || !isASCII(address) {
		return "utf-8;" + encodeUnicode(address), true
	}
	return string(t) + ";" + encodeXtext(address), true
}

// encodeXtext writes s as xtext of RFC 3461, section 4, and its brackets so that nobody takes them for those of the address.
func encodeXtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && !strings.ContainsRune("+=<>", rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "+%02X", c)
		}
	}
	return b.String()
}

// encodeUnicode writes s as utf-8-addr-xtext of RFC 6533, section 3, which servers with and without SMTPUTF8 take.
func encodeUnicode(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r > ' ' && r < utf8.RuneSelf && r != unicode.MaxASCII && !strings.ContainsRune(`+=\<>`, r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		}
	}
	return b.String()
}
