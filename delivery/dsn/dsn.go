// Package dsn composes and parses delivery reports: the messages that tell a sender what became of a message
// (RFC 3464, in the multipart/report of RFC 6522), with UTF-8 addresses as RFC 6533 has them.
//
// [Compose] makes a report that any mail program can show and any mail server can carry: CRLF line ends, no line of more
// than 998 octets, 8-bit content declared where there is some. Everything in a [Report] may come from strangers: a server's
// words are cut, stripped of control characters and folded, so that they can't add fields or parts.
//
// [Parse] reads reports, those of other systems too, within fixed bounds of memory. What a report says is only ever a
// claim: anybody can send one.
//
// The words for people are this package's own, in English, or the caller's: Report.Subject and Report.Text.
//
// A report is sent from the null sender, and none is sent about a message that came from the null sender.
package dsn

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrNotReport means that a message isn't a delivery report, or one that is too broken to say anything about a recipient.
var ErrNotReport = errors.New("dsn: not a delivery report")

// Bounds of what Compose writes and Parse keeps, in octets where nothing else is said.
const (
	MaxText       = 800       // of any string: an address, a host name, a server's words
	MaxProse      = 64 << 10  // of Report.Text
	MaxHeader     = 64 << 10  // of a returned header section
	MaxRecipients = 10_000    // recipients, that Parse keeps
	maxStatus     = 4 << 20   // of a delivery-status part that is read
	maxReport     = 256 << 20 // of a report that is read
	maxParts      = 20        // parts of a report that are looked at
)

// Action is what has happened to a message for a recipient (RFC 3464, section 2.3.3).
type Action string

const (
	Failed    Action = "failed"    // given up
	Delayed   Action = "delayed"   // not yet delivered, still tried
	Delivered Action = "delivered" // in the mailbox
	Relayed   Action = "relayed"   // passed to a server that doesn't report deliveries
	Expanded  Action = "expanded"  // passed to the members of a list
)

// actions are all of them, what matters most to the reader first.
var actions = []Action{Failed, Delayed, Delivered, Relayed, Expanded}

// Report is a delivery report.
type Report struct {
	// From is the address in the From field. Defaults to MAILER-DAEMON at ReportingMTA.
	From string
	// To is the address of the reader, which is the reverse-path of the message reported on. Compose needs it.
	To string
	// Date is when the report is made. Compose needs it.
	Date time.Time
	// MessageID is the report's own, with its angle brackets. Without it the report has no such field.
	MessageID string

	// Subject and Text are what people read, instead of what Compose says by itself. They may quote strangers: Text keeps its
	// lines, but neither control characters nor those that turn the direction of writing. Parse doesn't find them again.
	Subject, Text string

	// ReportingMTA is the name of the host that reports. Compose needs it.
	ReportingMTA string
	// OriginalEnvelopeID is the ENVID (RFC 3461, section 4.4) of the message reported on, decoded, "" if it had none.
	OriginalEnvelopeID string
	// OriginalMessageID is the Message-ID of the message reported on, with its angle brackets, or "".
	OriginalMessageID string
	// ArrivalDate is when ReportingMTA took the message reported on, or zero.
	ArrivalDate time.Time
	// Recipients are those that are reported on. Compose needs at least one.
	Recipients []Recipient

	// OriginalHeader is the header section of the message reported on. Compose attaches it, whole fields of it up to
	// MaxHeader, unless Original is set.
	OriginalHeader []byte
	// Original is the whole message reported on, which Compose attaches as it is: the caller decides how much is too
	// much. Parse keeps only the header.
	Original []byte
}

// Recipient is what a report says about one recipient.
type Recipient struct {
	// Original is the address that the sender used, as ORCPT gave it (RFC 3461, section 4.2), decoded: "type;address".
	// It is "" if there was no ORCPT.
	Original string
	// Final is the address that the reporting host had.
	Final  string
	Action Action
	// Status is an RFC 3463 code such as "5.1.1". Defaults to "5.0.0", "4.0.0" or "2.0.0", by the action.
	Status string
	// RemoteMTA is the name of the host that gave the Diagnostic, "" if there was none.
	RemoteMTA  string
	Diagnostic Diagnostic
	// LastAttempt is when delivery was last tried, or zero.
	LastAttempt time.Time
	// WillRetryUntil is when a delayed message is given up, or zero. It is for Delayed only.
	WillRetryUntil time.Time
	// Reason tells the reader in a sentence why. Defaults to one that Status suggests. It is not for machines: Parse
	// doesn't find it again.
	Reason string
}

// Diagnostic is a server's answer, or, with Code 0, what happened instead of one.
type Diagnostic struct {
	Code     int    // three digits
	Enhanced string // RFC 3463 code, "" if there was none
	Text     string // without the codes
}

// String is the answer as the server gave it, in one line, without anything that can't be printed, up to MaxText octets.
func (d Diagnostic) String() string {
	s := d.Text
	if d.Enhanced != "" {
		s = d.Enhanced + " " + s
	}
	if d.Code != 0 {
		s = fmt.Sprintf("%03d %s", d.Code, s)
	}
	return words(s)
}

// check reports what keeps Compose from writing r.
func (r *Report) check() error {
	var missing string
	switch {
	case r.To == "":
		missing = "To"
	case r.Date.IsZero():
		missing = "Date"
	case r.ReportingMTA == "":
		missing = "ReportingMTA"
	case len(r.Recipients) == 0:
		missing = "Recipients"
	}
	if missing != "" {
		return fmt.Errorf("dsn: Report.%s is empty", missing)
	}
	for i := range r.Recipients {
		switch p := &r.Recipients[i]; {
		case p.Final == "":
			return fmt.Errorf("dsn: Report.Recipients[%d].Final is empty", i)
		case !slices.Contains(actions, p.Action):
			return fmt.Errorf("dsn: Report.Recipients[%d].Action is %.50q", i, p.Action)
		}
	}
	return nil
}
