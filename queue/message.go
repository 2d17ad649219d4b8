package queue

import (
	"encoding/base32"
	"encoding/binary"
	"io"
	"slices"
	"time"
)

// ID names a message. It is 1 to 64 ASCII letters, digits, '-', '_' and '.', and doesn't start with '.', so that it can stand
// in a file name, a URL or a log line as it is.
type ID string

// Valid reports whether id has the form that [ID] describes.
func (id ID) Valid() bool {
	if len(id) == 0 || len(id) > 64 || id[0] == '.' {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// NewID makes an ID that sorts by the millisecond of now, with 80 bits read from random, which is usually
// crypto/rand.Reader.
func NewID(now time.Time, random io.Reader) (ID, error) {
	var b [18]byte // the first two stay outside: 48 bits of time are plenty
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixMilli()))
	if _, err := io.ReadFull(random, b[8:]); err != nil {
		return "", err
	}
	return EncodeID([16]byte(b[2:])), nil
}

// EncodeID makes an ID of 16 octets, such as a truncated hash. IDs sort as the octets do.
func EncodeID(b [16]byte) ID {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	return ID(base32.NewEncoding(digits).WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// Priority orders jobs: a higher one is claimed first. The zero value is Normal.
type Priority int8

// The priorities that a scheduler tells apart.
const (
	Low    Priority = -1 // campaigns, digests
	Normal Priority = 0
	High   Priority = 1 // password resets, codes
)

// TLS is what a message demands of the connections it travels on, beyond what its route demands.
type TLS string

const (
	TLSDefault  TLS = ""         // what the route says
	TLSRequired TLS = "required" // encrypted, with any certificate
	TLSVerified TLS = "verified" // encrypted, with a certificate that proves the host's name
	// RequireTLS is REQUIRETLS of RFC 8689: like TLSVerified, at this host and all after it. A report about the message is
	// as strict, and has none of its body.
	RequireTLS TLS = "requiretls"
	// TLSOptional is the header field "TLS-Required: No" of RFC 8689: what the recipients' domains demand by policy doesn't
	// count. A report about the message knows nothing of it.
	TLSOptional TLS = "optional"
)

// Return is the RET parameter of RFC 3461, section 4.3: how much of the message a failure report contains.
type Return string

const (
	ReturnDefault Return = ""     // the sender has not said
	ReturnFull    Return = "FULL" // the whole message, within the reporter's bounds
	ReturnHeaders Return = "HDRS" // its header section
)

// Message is what the jobs of one message have in common. It doesn't change once it is stored.
type Message struct {
	ID         ID
	From       string // reverse-path; "" is the null sender, to which no report is ever sent
	Tenant     string // whose mail it is, for fair shares; part of the lane
	Priority   Priority
	Labels     []string // the host program's own words, to select by
	Size       int64    // octets of the stored body; the queue sets it
	Digest     [32]byte // SHA-256 of what the caller gave, to tell a repeated message from another under the same ID
	Enqueued   time.Time
	Expires    time.Time // when delivery is given up; never zero
	UTF8       bool      // needs SMTPUTF8 (RFC 6531)
	EightBit   bool      // the body has octets above 127, so BODY=8BITMIME (RFC 6152) applies
	Return     Return
	EnvelopeID string // ENVID of RFC 3461, section 4.4, decoded
	TLS        TLS
}

func (m *Message) hasLabel(label string) bool { return slices.Contains(m.Labels, label) }
