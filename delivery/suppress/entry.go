package suppress

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postroad/postroad/delivery/internal/address"
	"github.com/postroad/postroad/delivery/internal/notes"
	"github.com/postroad/postroad/queue"
)

// Reason is why an address is on the list, in a few words. Host programs have reasons of their own beside these.
type Reason string

const (
	NoSuchUser   Reason = "no such user"
	NoSuchDomain Reason = "no such domain" // or one that takes no mail
	MailboxFull  Reason = "mailbox full"
	Inactive     Reason = "mailbox disabled"

	// These are never learned: the host program adds them.
	Complaint    Reason = "complaint"
	Unsubscribed Reason = "unsubscribed"
)

// Entry says that an address is not to be sent mail.
type Entry struct {
	// Address is whom no mail is to be sent to, or a domain: then it is everybody there, though not in its subdomains.
	Address string `json:"address"`
	// Tenant is whose mail it is about. "" is everyone's.
	Tenant string `json:"tenant,omitempty"`
	Reason Reason `json:"reason,omitempty"` // of 100 octets at most
	// Text is what is known beside, such as what the server has said. Of what is longer than 500 octets the rest is left out.
	Text    string    `json:"text,omitempty"`
	Added   time.Time `json:"added"`            // defaults to now
	Expires time.Time `json:"expires,omitzero"` // zero: never
}

const (
	maxReason = 100
	maxText   = 500
)

// holds reports whether the entry has not expired.
func (e *Entry) holds(now time.Time) bool { return e.Expires.IsZero() || e.Expires.After(now) }

// why is what is said to the sender.
func (e *Entry) why() string {
	reason := e.Reason
	if reason == "" {
		reason = "on the list"
	}
	return fmt.Sprintf("%s (%s)", reason, e.Added.UTC().Format(time.DateOnly))
}

// checked returns e in the form in which it is kept, or says what makes no sense, as an error that wraps queue.ErrInvalid.
func (e Entry) checked(now time.Time) (Entry, error) {
	var err error
	if e.Address, err = parsed(e.Address); err != nil {
		return e, err
	}
	switch {
	case len(e.Tenant) > queue.MaxString || !isText(e.Tenant):
		return e, fmt.Errorf("%w: tenant is not printable text of at most %d octets", queue.ErrInvalid, queue.MaxString)
	case len(e.Reason) > maxReason || !isText(string(e.Reason)):
		return e, fmt.Errorf("%w: reason is not printable text of at most %d octets", queue.ErrInvalid, maxReason)
	}
	e.Text = plain(e.Text)
	if e.Added.IsZero() {
		e.Added = now
	}
	for _, t := range []*time.Time{&e.Added, &e.Expires} {
		if *t = t.UTC().Truncate(time.Second); t.Year() < 1 || t.Year() > 9999 {
			return e, fmt.Errorf("%w: year %d", queue.ErrInvalid, t.Year())
		}
	}
	return e, nil
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

// plain makes one line of a text, no longer than maxText.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), maxText)], "")) // cut first: it may be long
	return strings.TrimSpace(s)
}

// parsed returns an address, or a domain, as the queue has them.
func parsed(s string) (string, error) {
	domain := !strings.Contains(strings.TrimPrefix(s, "@"), "@")
	if domain {
		s = "x@" + strings.TrimPrefix(s, "@")
	}
	a, err := address.Parse(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", queue.ErrInvalid, err)
	case domain:
		return a.Domain, nil
	}
	return a.String(), nil
}

// normal returns an address, or a domain, in the form that is compared.
func normal(s string) (string, error) {
	s, err := parsed(s)
	return strings.ToLower(s), err
}

// domainOf returns the domain of an address, or itself if it is one.
func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// name is that of a note about a normal address, for a tenant. Tenants may have any length.
func name(tenant, address string) string {
	if tenant == "" {
		return "/" + address
	}
	sum := sha256.Sum256([]byte(tenant))
	return hex.EncodeToString(sum[:16]) + "/" + address
}

// key is the name of the entry's note.
func (e *Entry) key() string { return entryPrefix + name(e.Tenant, strings.ToLower(e.Address)) }

func (e *Entry) encode() []byte {
	note, _ := json.Marshal(e) // it was checked: nothing in it can't be written
	return note
}

// decode reads the note under a key. What it can't make full sense of is an error.
func decode(key string, note []byte) (e Entry, err error) {
	if err := notes.Parse(note, &e); err != nil {
		return Entry{}, fmt.Errorf("note %.600q: %w", key, err)
	}
	if e.key() != key {
		return Entry{}, fmt.Errorf("note %.600q: it isn't of this address", key)
	}
	return e, nil
}
