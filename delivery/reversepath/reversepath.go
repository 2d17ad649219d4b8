// Package reversepath makes reverse-paths that say whom a message was for, and reads them when it comes back.
//
// A report of failure comes to the reverse-path of the message, often days later, and need not name the recipient in any form
// that the sender knows: there may have been aliases on the way. So bulk mail gives each recipient a reverse-path of its own
// (variable envelope return path, VERP):
//
//	bounces+bob=example.org@news.example
//
// Anybody can make up such an address, and with it a report about Bob. With keys, a [Mailbox] makes addresses that only it can
// make, and that aren't good for ever (the idea of bounce address tag validation, BATV, and of SRS):
//
//	bounces+bob=example.org__a11ju4rdr771nc78@news.example
//
// The server that takes mail for the domain has to put what has the "+" and more into the mailbox of what is before it, as
// most do if they are told the separator.
//
// # What is kept
//
// A name comes back octet for octet, whatever it is: an address with a quoted local part, in UTF-8, with an address literal.
// All that is made has lower-case letters, digits and "-", ".", "_", "=" after the separator: servers on the way may change the case of
// a local part, and some refuse rarer characters. In it "=" stands for "@", and "_" and two hexadecimal digits for any octet that
// isn't one of these.
//
// A local part has at most 64 octets (RFC 5321, section 4.5.3.1.1). A name that doesn't fit is replaced by two "_" and its [Digest], by
// which a program finds it among its own. How many octets fit is 64 less those of the mailbox's local part and the separator,
// and 18 less with a signature.
package reversepath

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/internal/keyring"
)

// Why [Mailbox.Parse] refuses an address.
var (
	// ErrForeign means that the Mailbox hasn't made it.
	ErrForeign = errors.New("reversepath: not one of the mailbox's")
	// ErrSignature means that it looks as if the Mailbox had made it, but none of the keys has: it is forged, or the
	// key is no longer there.
	ErrSignature = errors.New("reversepath: wrong signature")
	// ErrExpired means that the Mailbox has made it longer ago than Options.Lifetime.
	ErrExpired = errors.New("reversepath: expired")
)

const (
	maxLocal   = 64  // octets of a local part (RFC 5321, section 4.5.3.1.1)
	maxAddress = 254 // octets of an address: a path of 256 has angle brackets (section 4.5.3.1.3)
	dayOctets  = 2
	macOctets  = 8
	// signatureSize is the size of a day and a MAC as text, with the mark before them.
	signatureSize = len(mark) + (dayOctets+macOctets)*8/5
)

const day = 24 * time.Hour

// text is base32 that has only lower-case letters and needs no padding for multiples of five octets.
func text() *base32.Encoding {
	return base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)
}

// Options describe a [Mailbox].
type Options struct {
	// Address is where mail comes back to: ASCII, without quotes, the domain in A-label form. Its local part has at most 37
	// octets, with Keys 19.
	Address string
	// Separator comes between the local part and what is added to it: "+" or "-". Defaults to "+".
	Separator string
	// Keys sign what is made, each at least 16 random octets. The first one signs and all of them count, so a new key is put
	// before the old one, which goes after a Lifetime. Defaults to none: then nothing is signed, and nothing expires.
	Keys [][]byte
	// Lifetime is how long what is signed is good, with up to a day more. It is the time that the message may wait here and then
	// at the next host, 5 days each by custom, and that the recipient may take to complain. Defaults to 30 days.
	Lifetime time.Duration
}

// Mailbox is a mailbox to which mail comes back under many addresses. It may be used by several goroutines at once.
type Mailbox struct {
	prefix, domain string // as in Options.Address, the separator included in one and the "@" in the other
	room           int    // octets for an encoded name
	keys           keyring.Ring
	lifetime       time.Duration
}

// New returns a Mailbox, or an error that names the field of o that makes no sense.
func New(o Options) (*Mailbox, error) {
	if o.Separator == "" {
		o.Separator = "+"
	}
	if o.Separator != "+" && o.Separator != "-" {
		return nil, fmt.Errorf("reversepath: Options.Separator %.10q is neither + nor -", o.Separator)
	}
	if err := keyring.Ring(o.Keys).Check(); err != nil {
		return nil, fmt.Errorf("reversepath: Options.Keys: %w", err)
	}
	if o.Lifetime < 0 {
		return nil, errors.New("reversepath: Options.Lifetime is negative")
	}
	if o.Lifetime == 0 {
		o.Lifetime = 30 * day
	}
	local, domain, found := strings.Cut(o.Address, "@")
	if !found || !isDotted(local, "!#$%&'*+-/=?^_`{|}~") || !isDotted(domain, "-") {
		return nil, fmt.Errorf("reversepath: Options.Address %.100q is not a plain address in ASCII", o.Address)
	}
	m := &Mailbox{prefix: local + o.Separator, domain: "@" + domain, keys: o.Keys, lifetime: o.Lifetime}
	m.room = maxLocal - len(m.prefix)
	if len(o.Keys) > 0 {
		m.room -= signatureSize
	}
	if m.room < digestSize || maxLocal+len(m.domain) > maxAddress {
		return nil, fmt.Errorf("reversepath: Options.Address %.100q is too long to be added to", o.Address)
	}
	return m, nil
}

// For returns the reverse-path that names name: the address of a recipient, or whatever else the program knows a delivery by, such as
// a campaign's number, a slash and a recipient's. Different names have different reverse-paths. For the same name and keys it is
// the same all day long (UTC).
func (m *Mailbox) For(name string, now time.Time) string {
	local := encode(name)
	if local == "" || len(local) > m.room {
		local = mark + Digest(name)
	}
	if len(m.keys) > 0 {
		signed := binary.BigEndian.AppendUint16(nil, m.expiry(now))
		signed = append(signed, m.keys.Sign(macOctets, m.signed(local, signed)...)...)
		local += mark + text().EncodeToString(signed)
	}
	return m.prefix + local + m.domain
}

// Returned is what a reverse-path says of mail that has come back to it.
type Returned struct {
	Name   string // what For was given, "" if that didn't fit in
	Digest string // the Digest of what For was given
}

// Parse reads an address that mail has come to, in any case. The error wraps [ErrForeign], [ErrSignature] or [ErrExpired]. Without
// keys anybody can make an address that Parse takes; and with keys, that somebody knows one says that they have seen the message or a
// report of it, but not that what they send is a report: it is one only if its own reverse-path is the null sender.
func (m *Mailbox) Parse(address string, now time.Time) (Returned, error) {
	r, err := m.parse(address, now)
	if err != nil {
		return Returned{}, fmt.Errorf("%w: %.100q", err, address)
	}
	return r, nil
}

func (m *Mailbox) parse(address string, now time.Time) (Returned, error) {
	if len(address) > maxAddress || !isPrintable(address) {
		return Returned{}, ErrForeign
	}
	local, ours := strings.CutPrefix(strings.ToLower(address), strings.ToLower(m.prefix))
	if !ours {
		return Returned{}, ErrForeign
	}
	local, ours = strings.CutSuffix(local, strings.ToLower(m.domain))
	if !ours {
		return Returned{}, ErrForeign
	}
	if len(m.keys) > 0 {
		var err error
		if local, err = m.verify(local, now); err != nil {
			return Returned{}, err
		}
	}
	if len(local) > m.room {
		return Returned{}, ErrForeign
	}
	return decode(local)
}

// verify takes the signature from local.
func (m *Mailbox) verify(local string, now time.Time) (string, error) {
	i := len(local) - signatureSize
	if i <= 0 || !strings.HasPrefix(local[i:], mark) {
		return "", ErrForeign
	}
	signed, err := text().DecodeString(local[i+len(mark):])
	if err != nil {
		return "", ErrForeign
	}
	local = local[:i]
	if !m.keys.Verify(signed[dayOctets:], m.signed(local, signed[:dayOctets])...) {
		return "", ErrSignature
	}
	if today(now) >= int64(binary.BigEndian.Uint16(signed)) {
		return "", ErrExpired
	}
	return local, nil
}

// signed is what a signature is about.
func (m *Mailbox) signed(local string, expiry []byte) []string {
	return []string{"reverse-path", strings.ToLower(m.prefix), strings.ToLower(m.domain), local, string(expiry)}
}

// expiry is the first day on which what is made now isn't good any more. The day of 1970 fits in two octets until 2149.
func (m *Mailbox) expiry(now time.Time) uint16 {
	return uint16(min(max(today(now.Add(m.lifetime))+1, 0), math.MaxUint16))
}

// today counts days since 1970.
func today(now time.Time) int64 { return now.Unix() / int64(day/time.Second) }
