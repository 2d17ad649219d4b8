// Package intake is the way of a message into the queue: it streams past once, is checked, brought to the form in which it
// is stored, signed, and hashed.
//
// # Line ends
//
// LF and CRLF both end a line, and each becomes one CRLF. A CR that no LF follows is refused: read as a line end it would
// let a field's text begin a new field, and left alone it is what SMTP smuggling is made of. NUL is refused. A last line
// without an end gets one. So CR and LF leave a [Reader] only as CRLF.
//
// # Long lines
//
// A line has at most 998 octets without its line end (RFC 5321, section 4.5.3.1.6; RFC 5322, section 2.1.1). A longer one of the
// header section is folded at white space, and refused if there is none at which to fold. A longer one of the body is refused,
// unless Options.Reencode has the parts of the body encoded, as package reencode does.
//
// # Header section
//
// The header section ends before the first empty line; that line and what follows are the body part. A message that ends
// without an empty line is all header section. One that starts with an empty line has no fields. One whose first line is
// not a field has no fields either: it is a body whose empty line was left out, and gets it. A first line that begins with
// "From " is refused instead, since nobody can tell whether it is such a body or the separator line of an mbox file (RFC 4155), and
// the fields after that, a Bcc perhaps, would be shown to everybody. So is a later line that is neither a field nor a continuation.
//
// As a submission agent does it (RFC 6409, section 8), Bcc, Resent-Bcc and Return-Path are removed with their continuation lines.
// Received is put on top (RFC 5321, section 4.4), and Date and Message-ID are added at the end if there are none. All else stays octet
// for octet, but for what the next rule says.
//
// # Header fields that aren't ASCII
//
// What isn't UTF-8 is refused, since nobody can tell what it means. UTF-8 stays if Options.UTF8 says that the message was meant
// to have it. If not, plain text and the names of addresses become encoded words, as header.EncodeWords does it; if any field needs more
// than that, none is changed. A message whose header section is not ASCII in the end needs SMTPUTF8 (RFC 6531).
package intake

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postroad/postroad/delivery/internal/header"
)

// DefaultMaxHeader is the limit of a header section unless Options has another.
const DefaultMaxHeader = 256 << 10

const (
	maxLine     = header.MaxLine
	blockSize   = 16 << 10
	usualHeader = 1 << 10
)

// Reasons of an [*Error], which wraps one of them.
var (
	ErrTooLarge  = errors.New("too large")
	ErrMalformed = errors.New("malformed")
)

// Error says what is wrong with a message.
type Error struct {
	Field  string // "header" or "body"
	Line   int    // where in the message, from 1
	Reason string
	Err    error // ErrTooLarge or ErrMalformed
}

// Error names the part, the line and the reason.
func (e *Error) Error() string { return fmt.Sprintf("%s, line %d: %s", e.Field, e.Line, e.Reason) }

// Unwrap returns ErrTooLarge or ErrMalformed.
func (e *Error) Unwrap() error { return e.Err }

// Options say what to do with a message and how large it may be.
type Options struct {
	// ID is the message's. The Received field names it, and a Message-ID that is added begins with it.
	ID string
	// Now is when the message came in, for the Received field and a Date that is added.
	Now time.Time
	// Hostname is the name of the host that takes the message.
	Hostname string
	// Domain is that of a Message-ID that is added to a message whose From field has none. Defaults to Hostname.
	Domain string
	// Client is who the message comes from. Defaults to nobody in particular.
	Client Client
	// UTF8 says that the header section may have UTF-8.
	UTF8 bool
	// Reencode has the parts of the body encoded that may have long lines, or octets above 127.
	Reencode bool
	// MaxSize is how many octets the message may have, line ends counted as CRLF, before anything is added, removed or
	// encoded. Defaults to no limit.
	MaxSize int64
	// MaxHeader is how many octets of header fields are held in memory. Defaults to DefaultMaxHeader.
	MaxHeader int
	// Sign, if not nil, is called once, as soon as the header section is complete, with that section as it will be stored but for the
	// signature's own fields. It returns nil if the message is not to be signed. An error ends Read, as it is.
	Sign func(header []byte) (Signature, error)
}

// Signature is what Options.Sign begins: the body, which is what follows the empty line after the header section, is written
// to it as it will be stored, and then Fields is called for the fields to put on top. If the message comes to nothing before that,
// it is closed, should it be an io.Closer.
type Signature interface {
	io.Writer
	Fields() ([]byte, error)
}

// Facts are what was learned about a message while it went by.
type Facts struct {
	Digest      [32]byte // SHA-256 of exactly the octets that were read
	UTF8        bool     // the header section, as stored, has octets above 127
	EightBit    bool     // the message, as stored, has octets above 127, in its header section or its body
	Received    int      // number of Received fields that it came with
	TLSOptional bool     // there is one TLS-Required field, and it says No (RFC 8689)
}
