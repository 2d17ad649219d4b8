package delivery

import (
	"crypto/tls"
	"io"
	"net/netip"
	"time"

	"github.com/postroad/postroad/queue"
)

// Message is what a host program hands to [Sender.Enqueue].
type Message struct {
	// From is the reverse-path: the address that reports of failure go to. "" is the null sender, who gets none.
	From string
	// To has the recipients, at least one. [To] makes it of plain addresses. One that occurs twice gets one copy.
	To []Recipient
	// Body is the message in RFC 5322 form, header section first. It is read once, to its end. As a submission agent does it
	// (RFC 6409, section 8), line ends become CRLF; Received is added, and Date and Message-ID where they are missing; Bcc,
	// Resent-Bcc and Return-Path are removed. Two things are repaired. A line of more than 998 octets in the header section is folded
	// at white space. UTF-8 there, unless the field UTF8 is set, becomes encoded words (RFC 2047) in plain text, such as a Subject's,
	// and in the names of addresses; if it is elsewhere, too, the message needs SMTPUTF8. Nothing else is changed. Enqueue refuses a
	// bare CR, a NUL, octets in the header section that aren't UTF-8, any other line of more than 998 octets (but see Reencode), a line
	// of the header section that isn't a field, and the "From " line of an mbox file.
	Body io.Reader
	// Reencode has the body made fit for every server, before it is signed: text becomes quoted-printable and other parts become
	// base64, with lines of 76 octets, unless they are in one of these already. Multipart/signed stays as it is, and a body whose
	// structure can't be understood is refused. A signature that the message came with doesn't survive this. The message may become
	// three times as large; Config.MaxSize counts what it was.
	Reencode bool
	// Client is who handed the message to the host program, for the Received field. Defaults to the program itself.
	Client Client

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
	// UTF8 says that the header section has UTF-8 on purpose, so that the message needs SMTPUTF8 (RFC 6531). Addresses that need
	// that are noticed without it.
	UTF8 bool
	// Return and EnvelopeID are RET and ENVID of RFC 3461, for reports.
	Return     queue.Return
	EnvelopeID string
}

// Recipient is one recipient of a [Message].
type Recipient struct {
	Address string // forward-path, in plain form: no angle brackets, no display name
	// From is a reverse-path of this recipient's own, so that a report of failure names it (VERP); package reversepath makes
	// them. The body is stored once nevertheless, but each reverse-path goes out in a transaction of its own, of which a message
	// can have 100,000 (queue.MaxJobs). Defaults to the message's.
	From string
	// Notify and Original are NOTIFY and ORCPT of RFC 3461. By default, failures are reported.
	Notify   queue.Notify
	Original string
}

// Client is who handed a message to the host program. What it says of itself is not trusted: what can't stand in a Received field
// isn't shown there.
type Client struct {
	Name     string               // what it calls itself, in EHLO, HELO or LHLO
	Addr     netip.Addr           // where it is
	Protocol string               // how the message came, in the words of IANA's "Mail Transmission Types", such as "ESMTPSA"
	TLS      *tls.ConnectionState // of the connection; nil if there was none
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
