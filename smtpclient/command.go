package smtpclient

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
)

// Reasons why a transaction, or a recipient, was refused without asking the server. An [*Error] wraps them and has the
// reply that the server could have given.
var (
	ErrTooLarge   = errors.New("message is larger than the server allows")
	ErrNoUTF8     = errors.New("server doesn't offer SMTPUTF8")
	ErrNoBinary   = errors.New("BODY=BINARYMIME needs CHUNKING")
	ErrRequireTLS = errors.New("server doesn't offer REQUIRETLS on a verified connection")
)

// decided makes an error of a decision taken here, for which err is the reason.
func (s *Session) decided(phase Phase, code int, enhanced smtp.EnhancedCode, err error) *Error {
	e := s.refusal(phase, Reply{Code: code, Enhanced: enhanced, Text: bounded(printable("decided by the client: " + err.Error()))})
	e.Err = err
	return e
}

// needsUTF8 reports whether MAIL must say SMTPUTF8 (RFC 6531) even if no recipient needs it.
func (e *Envelope) needsUTF8() bool { return e.Mail.UTF8 || !isASCII(e.From) }

// checkMail decides what needs no server to be refused.
func (s *Session) checkMail(e *Envelope) *Error {
	limit := s.ext.maxSize()
	switch {
	case limit > 0 && e.Mail.Size > limit:
		return s.decided(PhaseMail, 552, smtp.EnhancedCode{5, 3, 4}, fmt.Errorf("%w: %d octets of %d", ErrTooLarge, e.Mail.Size, limit))
	case e.needsUTF8() && !s.ext.has("SMTPUTF8"):
		return s.decided(PhaseMail, 553, smtp.EnhancedCode{5, 6, 7}, ErrNoUTF8)
	case e.Mail.Body == smtp.BodyBinaryMIME:
		return s.decided(PhaseMail, 554, smtp.EnhancedCode{5, 6, 1}, ErrNoBinary)
	case e.Mail.RequireTLS && !(s.ext.has("REQUIRETLS") && s.tls != nil && s.CertificateError() == nil):
		return s.decided(PhaseMail, 550, smtp.EnhancedCode{5, 7, 30}, ErrRequireTLS)
	}
	return nil
}

// mailCommand writes MAIL for e, with the parameters that the server has offered to understand. utf8 is whether the
// transaction needs SMTPUTF8.
func (s *Session) mailCommand(e *Envelope, utf8 bool) (string, *Error) {
	if e.From != "" {
		if reason := checkAddress(e.From); reason != "" {
			return "", s.decided(PhaseMail, 553, smtp.EnhancedCode{5, 1, 7}, &SyntaxError{"From", e.From, reason})
		}
	}
	c := "MAIL FROM:<" + e.From + ">"
	m := &e.Mail
	if m.Size > 0 && s.ext.has("SIZE") {
		c += fmt.Sprintf(" SIZE=%d", m.Size)
	}
	if (m.Body == smtp.Body8BitMIME || m.Body == smtp.Body7Bit) && s.ext.has("8BITMIME") {
		c += " BODY=" + string(m.Body)
	}
	if utf8 {
		c += " SMTPUTF8"
	}
	if m.RequireTLS {
		c += " REQUIRETLS"
	}
	if m.Auth != nil && s.ext.has("AUTH") {
		if len(*m.Auth) > maxAddress {
			return "", s.badParameter(PhaseMail, "AUTH", *m.Auth, fmt.Sprintf("has more than %d octets", maxAddress))
		}
		c += " AUTH=" + cmp.Or(encodeXtext(*m.Auth), "<>")
	}
	if !s.ext.has("DSN") {
		return c, nil
	}
	switch m.Return {
	case "":
	case smtp.DSNReturnFull, smtp.DSNReturnHeaders:
		c += " RET=" + string(m.Return)
	default:
		return "", s.badParameter(PhaseMail, "RET", string(m.Return), "is neither FULL nor HDRS")
	}
	if m.EnvelopeID != "" {
		x := encodeXtext(m.EnvelopeID)
		if len(x) > 100 { // RFC 3461, section 4.4
			return "", s.badParameter(PhaseMail, "ENVID", m.EnvelopeID, "has more than 100 characters")
		}
		c += " ENVID=" + x
	}
	return c, nil
}

// rcptCommand writes RCPT for r, with the parameters that the server has offered to understand.
func (s *Session) rcptCommand(r *Recipient) (string, *Error) {
	if reason := checkAddress(r.Address); reason != "" {
		return "", s.decided(PhaseRcpt, 553, smtp.EnhancedCode{5, 1, 3}, &SyntaxError{"To", r.Address, reason})
	}
	if !isASCII(r.Address) && !s.ext.has("SMTPUTF8") {
		return "", s.decided(PhaseRcpt, 553, smtp.EnhancedCode{5, 6, 7}, ErrNoUTF8)
	}
	c := "RCPT TO:<" + r.Address + ">"
	if !s.ext.has("DSN") {
		return c, nil
	}
	o := &r.Rcpt
	if len(o.Notify) > 0 {
		notify, ok := encodeNotify(o.Notify)
		if !ok {
			return "", s.badParameter(PhaseRcpt, "NOTIFY", fmt.Sprint(o.Notify), "is neither NEVER nor a list of SUCCESS, FAILURE and DELAY")
		}
		c += " NOTIFY=" + notify
	}
	if o.OriginalRecipient != "" {
		original, ok := encodeOriginal(o.OriginalRecipientType, o.OriginalRecipient)
		switch {
		case !ok:
			return "", s.badParameter(PhaseRcpt, "ORCPT", string(o.OriginalRecipientType), "is no address type")
		case len(original) > 500: // RFC 3461, section 4.2
			return "", s.badParameter(PhaseRcpt, "ORCPT", o.OriginalRecipient, "has more than 500 characters")
		}
		c += " ORCPT=" + original
	}
	return c, nil
}

func (s *Session) badParameter(phase Phase, field, value, reason string) *Error {
	return s.decided(phase, 501, smtp.EnhancedCode{5, 5, 4}, &SyntaxError{field, value, reason})
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

// encodeXtext writes s as xtext of RFC 3461, section 4.
func encodeXtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '+' && c != '=' {
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
		if r > ' ' && r < utf8.RuneSelf && r != unicode.MaxASCII && r != '+' && r != '=' && r != '\\' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		}
	}
	return b.String()
}
