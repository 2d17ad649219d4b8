package mx

import (
	"errors"
	"fmt"
)

// Reasons why there is no route; an [*Error] wraps one of them where it applies.
var (
	// ErrNoDomain means that the DNS says the domain does not exist. A zone that is being moved says so too, for a
	// while: ask again, some time later, before believing it.
	ErrNoDomain = errors.New("domain does not exist")
	// ErrNullMX means that the domain says it accepts no mail (RFC 7505).
	ErrNullMX = errors.New("domain accepts no mail")
	// ErrLoop means that the best host for the domain is this one, and it isn't configured to take its mail.
	ErrLoop = errors.New("mail loops back to this host")
)

// Error says why there is no route to a domain.
type Error struct {
	Domain    string
	Permanent bool   // trying again doesn't help
	Code      int    // an SMTP reply code for it, such as 556
	Enhanced  string // an RFC 3463 code for it, such as "5.1.10"
	Err       error  // the cause
}

// Error names the domain and the cause.
func (e *Error) Error() string { return "mx: " + e.Domain + ": " + e.Reason() }

// Reason is the cause in words, without the domain.
func (e *Error) Reason() string {
	if e.Err == nil {
		return "no route"
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// The causes, each with the codes of RFC 3463 and RFC 7505 that fit it.

// errSyntax is for what isn't a domain; nobody knows what it is, so it is quoted and cut.
func errSyntax(domain string, err error) *Error {
	return &Error{fmt.Sprintf("%.100q", domain), true, 550, "5.1.3", err}
}

func errNoDomain(domain string) *Error {
	return &Error{domain, true, 550, "5.1.2", ErrNoDomain}
}

func errNullMX(domain string) *Error {
	return &Error{domain, true, 556, "5.1.10", ErrNullMX}
}

func errLoop(domain string) *Error {
	return &Error{domain, true, 554, "5.4.6", ErrLoop}
}

// errDNS is for a name server that failed or was silent.
func errDNS(domain string, err error) *Error {
	return &Error{domain, false, 451, "4.4.3", err}
}

// errNoAddress is for hosts that are named but can't be reached by any address.
func errNoAddress(domain string, err error) *Error {
	return &Error{domain, false, 451, "4.4.4", err}
}
