package smtpclient

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"github.com/emersion/go-smtp"
)

// Reasons why a transaction, or a recipient, was refused without asking the server. An [*Error] wraps them and has the
// reply that the server could have given.
var (
	ErrTooLarge   = errors.New("message is larger than the server allows")
	ErrNoUTF8     = errors.New("server doesn't offer SMTPUTF8")
	ErrNoBinary   = errors.New("BODY=BINARYMIME needs CHUNKING")
	ErrRequireTLS = errors.New("server doesn't offer REQUIRETLS on a verified connection")
	ErrTooMany    = errors.New("more recipients than the server takes in one transaction")
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
func (m *message) checkMail() *Error {
	s, e, limit := m.s, m.e, m.ext.maxSize()
	switch {
	case limit > 0 && e.Mail.Size > limit:
		return s.decided(PhaseMail, 552, smtp.EnhancedCode{5, 3, 4}, fmt.Errorf("%w: %d octets of %d", ErrTooLarge, e.Mail.Size, limit))
	case e.needsUTF8() && !m.ext.has("SMTPUTF8"):
		return s.decided(PhaseMail, 553, smtp.EnhancedCode{5, 6, 7}, ErrNoUTF8)
	case e.Mail.Body == smtp.BodyBinaryMIME:
		return s.decided(PhaseMail, 554, smtp.EnhancedCode{5, 6, 1}, ErrNoBinary)
	case e.Mail.RequireTLS && !(m.ext.has("REQUIRETLS") && s.proven()):
		return s.decided(PhaseMail, 550, smtp.EnhancedCode{5, 7, 30}, ErrRequireTLS)
	}
	return nil
}

// proven reports whether the server is the one it says it is: its certificate proves its name (RFC 6125), or has satisfied the
// caller, who may know it in another way (RFC 7672).
func (s *Session) proven() bool {
	return s.tls != nil && (s.CertificateError() == nil || s.o.TLSConfig != nil && s.o.TLSConfig.VerifyConnection != nil)
}

// mailCommand writes MAIL, with the parameters that the server has offered to understand. utf8 is whether the transaction
// needs SMTPUTF8.
func (m *message) mailCommand(utf8 bool) (string, *Error) {
	e, o := m.e, &m.e.Mail
	if e.From != "" {
		if reason := checkAddress(e.From); reason != "" {
			return "", m.s.decided(PhaseMail, 553, smtp.EnhancedCode{5, 1, 7}, &SyntaxError{"From", e.From, reason})
		}
	}
	c := make([]byte, 0, 256)
	c = append(append(append(c, "MAIL FROM:<"...), e.From...), '>')
	if o.Size > 0 && m.ext.has("SIZE") {
		c = strconv.AppendInt(append(c, " SIZE="...), o.Size, 10)
	}
	if (o.Body == smtp.Body8BitMIME || o.Body == smtp.Body7Bit) && m.ext.has("8BITMIME") {
		c = append(append(c, " BODY="...), o.Body...)
	}
	if utf8 {
		c = append(c, " SMTPUTF8"...)
	}
	if o.RequireTLS {
		c = append(c, " REQUIRETLS"...)
	}
	if o.Auth != nil && m.ext.has("AUTH") {
		if len(*o.Auth) > maxAddress {
			return "", m.s.badParameter(PhaseMail, "AUTH", *o.Auth, fmt.Sprintf("has more than %d octets", maxAddress))
		}
		c = append(append(c, " AUTH="...), cmp.Or(encodeXtext(*o.Auth), "<>")...)
	}
	c, err := m.appendDSN(c)
	if err != nil {
		return "", err
	}
	c, err = m.appendUrgency(c)
	return string(c), err
}

// appendDSN writes the parameters of RFC 3461 for MAIL.
func (m *message) appendDSN(c []byte) ([]byte, *Error) {
	if !m.ext.has("DSN") {
		return c, nil
	}
	o := &m.e.Mail
	switch o.Return {
	case "":
	case smtp.DSNReturnFull, smtp.DSNReturnHeaders:
		c = append(append(c, " RET="...), o.Return...)
	default:
		return nil, m.s.badParameter(PhaseMail, "RET", string(o.Return), "is neither FULL nor HDRS")
	}
	if o.EnvelopeID != "" {
		x := encodeXtext(o.EnvelopeID)
		if len(x) > 100 { // RFC 3461, section 4.4
			return nil, m.s.badParameter(PhaseMail, "ENVID", o.EnvelopeID, "has more than 100 characters")
		}
		c = append(append(c, " ENVID="...), x...)
	}
	return c, nil
}

// appendUrgency writes the parameters of RFC 6710 and RFC 2852.
func (m *message) appendUrgency(c []byte) ([]byte, *Error) {
	if p := m.e.Priority; p != 0 && m.ext.has("MT-PRIORITY") {
		if p < -9 || p > 9 {
			return nil, m.s.badParameter(PhaseMail, "MT-PRIORITY", strconv.Itoa(p), "is not between -9 and 9")
		}
		c = strconv.AppendInt(append(c, " MT-PRIORITY="...), int64(p), 10)
	}
	if by := m.e.DeliverBy; by != nil && m.ext.has("DELIVERBY") {
		value, reason := encodeDeliverBy(by)
		if reason != "" {
			return nil, m.s.badParameter(PhaseMail, "BY", value, reason)
		}
		c = append(append(c, " BY="...), value...)
	}
	return c, nil
}

// rcptCommand writes RCPT for r, with the parameters that the server has offered to understand.
func (m *message) rcptCommand(r *Recipient) (string, *Error) {
	if reason := checkAddress(r.Address); reason != "" {
		return "", m.s.decided(PhaseRcpt, 553, smtp.EnhancedCode{5, 1, 3}, &SyntaxError{"To", r.Address, reason})
	}
	if !isASCII(r.Address) && !m.ext.has("SMTPUTF8") {
		return "", m.s.decided(PhaseRcpt, 553, smtp.EnhancedCode{5, 6, 7}, ErrNoUTF8)
	}
	c := "RCPT TO:<" + r.Address + ">"
	if !m.ext.has("DSN") {
		return c, nil
	}
	o := &r.Rcpt
	if len(o.Notify) > 0 {
		notify, ok := encodeNotify(o.Notify)
		if !ok {
			return "", m.s.badParameter(PhaseRcpt, "NOTIFY", fmt.Sprint(o.Notify), "is neither NEVER nor a list of SUCCESS, FAILURE and DELAY")
		}
		c += " NOTIFY=" + notify
	}
	if o.OriginalRecipient != "" {
		original, ok := encodeOriginal(o.OriginalRecipientType, o.OriginalRecipient)
		switch {
		case !ok:
			return "", m.s.badParameter(PhaseRcpt, "ORCPT", string(o.OriginalRecipientType), "is no address type")
		case len(original) > 500: // RFC 3461, section 4.2
			return "", m.s.badParameter(PhaseRcpt, "ORCPT", o.OriginalRecipient, "has more than 500 characters")
		}
		c += " ORCPT=" + original
	}
	return c, nil
}

func (s *Session) badParameter(phase Phase, field, value, reason string) *Error {
	return s.decided(phase, 501, smtp.EnhancedCode{5, 5, 4}, &SyntaxError{field, value, reason})
}
