package main

import (
	"errors"
	"strings"
	"syscall"

	"github.com/emersion/go-smtp"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

func reply(code int, enhanced smtp.EnhancedCode, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

// answer is what a client is told about an error of the Sender's.
func answer(err error) *smtp.SMTPError {
	var field *delivery.FieldError
	switch {
	case errors.Is(err, smtp.ErrDataTooLarge), errors.Is(err, delivery.ErrTooLarge):
		return reply(552, smtp.EnhancedCode{5, 3, 4}, "The message is too large")
	case errors.Is(err, delivery.ErrLoop):
		return reply(554, smtp.EnhancedCode{5, 4, 6}, "Mail loop: "+printable(delivery.ErrLoop))
	case errors.As(err, &field):
		return refusal(field)
	case errors.Is(err, queue.ErrFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return reply(452, smtp.EnhancedCode{4, 3, 1}, "The queue is full, try later")
	}
	return reply(451, smtp.EnhancedCode{4, 3, 0}, "The message could not be queued, try later")
}

// refusal says which part of a message can't be sent, and why.
func refusal(e *delivery.FieldError) *smtp.SMTPError {
	switch {
	case e.Field == "Body":
		return reply(554, smtp.EnhancedCode{5, 6, 0}, "Malformed message: "+printable(e.Err))
	case e.Field == "From":
		return reply(553, smtp.EnhancedCode{5, 1, 7}, "Sender "+printable(e.Err))
	case strings.HasPrefix(e.Field, "To"):
		return reply(553, smtp.EnhancedCode{5, 1, 3}, "Recipient "+printable(e.Err))
	}
	return reply(501, smtp.EnhancedCode{5, 5, 4}, printable(e.Err))
}

// checkUTF8 refuses an address that needs SMTPUTF8 from a client that has not said so (RFC 6531, section 3.5).
func checkUTF8(address string, utf8 bool) error {
	if utf8 || address == ascii(address) {
		return nil
	}
	return reply(553, smtp.EnhancedCode{5, 6, 7}, "The address needs SMTPUTF8")
}

// printable is an error's text as a reply may have it: ASCII, one line, not too long.
func printable(err error) string {
	text := ascii(err.Error())
	return text[:min(len(text), 400)]
}

// ascii replaces what isn't printable ASCII.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
