package delivery

import (
	"io"
	"time"

	"github.com/postroad/postroad/queue"
)

// Message is what a host program hands to [Sender.Enqueue].
type Message struct {
	// From is the reverse-path: the address that reports of failure go to. "" is the null sender, who gets none.
	From string
	// To has the recipients, at least one. [To] makes it of plain addresses. One that occurs twice gets one copy.
	To []Recipient
	// Body is the message in RFC 5322 form, header section first. It is read once, to its end. Line ends become CRLF,
	// Date and Message-ID are added where they are missing, and Bcc is removed; nothing else is changed.
	Body io.Reader

	// Key makes Enqueue idempotent: a message enqueued again under a Key that the queue still knows is not sent again.
	// [MessageIDKey] and [ContentKey] derive one. Keys of different Tenants are different. Defaults to a new one.
	Key string
	// Tenant is whose mail it is, when a program sends for several. Defaults to "".
	Tenant string
	// Priority defaults to queue.Normal.
	Priority queue.Priority
	// Labels are the host program's own words for the message, to find it by. They are not sent.
	Labels []string
	// SendAt is when it is sent first. Defaults to at once.
	SendAt time.Time
	// Expires is when delivery is given up, and failure reported. Defaults to Config.Lifetime after SendAt.
	Expires time.Time
	// TLS is what the message demands of its connections beyond what the route demands. Defaults to nothing, or, for a message
	// with the header field "TLS-Required: No", to queue.TLSOptional.
	TLS queue.TLS
	// UTF8 says that the header section needs SMTPUTF8 (RFC 6531). Addresses that need it are noticed without it.
	UTF8 bool
	// Return and EnvelopeID are RET and ENVID of RFC 3461, for reports.
	Return     queue.Return
	EnvelopeID string
}

// Recipient is one recipient of a [Message].
type Recipient struct {
	Address string // forward-path, in plain form: no angle brackets, no display name
	// From is a reverse-path of this recipient's own, so that a report of failure names it (VERP). Defaults to the
	// message's.
	From string
	// Notify and Original are NOTIFY and ORCPT of RFC 3461. By default, failures are reported.
	Notify   queue.Notify
	Original string
}

// To makes recipients of plain addresses.
func To(addresses ...string) []Recipient {
	to := make([]Recipient, len(addresses))
	for i, a := range addresses {
		to[i].Address = a
	}
	return to
}

// Receipt is what [Sender.Enqueue] returns: the message is the queue's responsibility.
type Receipt struct {
	ID queue.ID
	// Duplicate is set if the same message had been enqueued before under its Key; nothing was stored this time.
	Duplicate bool
}
