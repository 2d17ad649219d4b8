// Package dkim signs mail with DKIM (RFC 6376), as its sender's domain: a [Signer] is a delivery.Config's Signer.
//
// # What is signed
//
// A message is signed by every key that its author's domain has at that moment, each with a signature of its own: an RSA key for all
// the world and an Ed25519 key (RFC 8463) for those who know it, an old key and a new one while they overlap. The author's domain
// is that of the first address of the From field. Keys are those of the domain itself, else of the closest domain above
// it that has any, else of Config.Default; a message of a domain without keys is not signed. What is in From is believed:
// a program that enqueues the mail of others makes sure first that their From is theirs.
//
// A message is refused if it has no From field, more than one (RFC 6376, section 8.15), or one that can't be read ([ErrFrom]); if its
// header section is malformed ([ErrHeader]); if its body has more than 256 KiB of white space in a row ([ErrBlank]); if the
// keys for it are all too new or too old ([ErrNoKey]), since that it goes unsigned would not be noticed; and if a key fails. A From
// field that is a group without addresses (RFC 6854) has no domain: Config.Default signs.
//
// Canonicalization is relaxed/relaxed, over the whole body, with SHA-256. Signatures that a message has already are left alone, and
// not signed.
//
// # Fields
//
// Signed are the fields that the recipient sees or that say what the body is, those by which the message is answered or sorted, and
// those that demand it: List-Unsubscribe and List-Unsubscribe-Post (RFC 8058, section 4), CFBL-Address (RFC 9477),
// Feedback-ID. Each is signed once more than it is there, so that nobody can add another one to a signed message and send it on:
// mail programs differ in which of two they show. From, To, Cc, Subject, Date, Reply-To, Message-ID, MIME-Version,
// Content-Type and Content-Transfer-Encoding are signed that way even if they are missing. The others, when missing, stay
// open to those who may add them on the way, such as mailing lists.
//
// # Keys
//
// A [Key] signs by a crypto.Signer, which may be the front of a hardware module or a service on the network: it gets Config.Timeout
// for an answer, its panics are errors, its signatures are verified before they are used, and no more than 64 questions to
// it are open at once. [New] refuses keys that receivers may refuse, and has each sign something.
package dkim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery"
)

// Reasons for which a message is refused.
var (
	// ErrFrom says that a message hasn't exactly one From field, or that it makes no sense.
	ErrFrom = errors.New("not one From field with addresses")
	// ErrHeader says that a header section can't be signed: a field is repeated too often, or a line end is not CRLF.
	ErrHeader = errors.New("malformed header section")
	// ErrNoKey says that the domain that is to sign has keys, but none for this time.
	ErrNoKey = errors.New("no key is valid now")
	// ErrBlank says that a body has more white space in a row, empty lines mostly, than is worth the memory.
	ErrBlank = errors.New("too much white space in a row")
	// ErrTimeout says that a key gave no answer in time.
	ErrTimeout = errors.New("no answer in time")
)

// Config says who signs.
type Config struct {
	// Keys are the keys of all domains. At least one is needed. Signatures are put in this order.
	Keys []Key
	// Default is the domain of Keys that signs for domains that have none themselves. Such a signature says who has sent the
	// message, but not that its author's domain agrees: it is of no use for DMARC. Defaults to none: they are not signed.
	Default string
	// Timeout is how long a key that isn't in memory may take to sign. Defaults to 10 seconds.
	Timeout time.Duration
}

// Signer signs messages. It can be used by several goroutines at once.
type Signer struct {
	keys     map[string][]*key // by domain
	fallback string            // which of them signs for others, "" for none
}

var _ delivery.Signer = (*Signer)(nil)

// New makes a Signer. It has each key sign something, so that one that can't is found now. Its errors name the key, or the field of
// Config, that makes no sense.
func New(c Config) (*Signer, error) {
	if c.Timeout < 0 {
		return nil, errors.New("dkim: Config.Timeout is negative")
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if len(c.Keys) == 0 {
		return nil, errors.New("dkim: Config.Keys is empty")
	}
	s := &Signer{keys: make(map[string][]*key)}
	names := make(map[string]bool)
	for i := range c.Keys {
		k, err := newKey(&c.Keys[i], c.Timeout)
		if err != nil {
			return nil, fmt.Errorf("dkim: Config.Keys[%d]: %w", i, err)
		}
		name := strings.ToLower(k.name())
		if names[name] {
			return nil, fmt.Errorf("dkim: Config.Keys[%d]: there is another %s", i, name)
		}
		names[name] = true
		s.keys[k.Domain] = append(s.keys[k.Domain], k)
	}
	if c.Default != "" {
		domain, err := parseDomain(c.Default)
		if err != nil || s.keys[domain] == nil {
			return nil, fmt.Errorf("dkim: Config.Default: no key is of %.100q", c.Default)
		}
		s.fallback = domain
	}
	return s, nil
}

// Sign begins the signatures of a message, or returns nil if no key is for it. Its errors are those of the package, a
// *delivery.FieldError if they are the message's own fault.
func (s *Signer) Sign(header []byte) (delivery.Signature, error) {
	selected, err := selectFields(header)
	if err != nil {
		return nil, refuse(err)
	}
	author, err := authorDomain(selected.from)
	if err != nil {
		return nil, refuse(err)
	}
	all := s.find(author)
	if all == nil {
		return nil, nil
	}
	now := time.Now()
	var valid []*key
	for _, k := range all {
		if k.valid(now) {
			valid = append(valid, k)
		}
	}
	if len(valid) == 0 {
		return nil, fmt.Errorf("dkim: %w: %s", ErrNoKey, all[0].Domain)
	}
	return newSignature(selected, valid)
}

// refuse says that a message can't be signed as it is.
func refuse(err error) error {
	return &delivery.FieldError{Field: "Body", Err: fmt.Errorf("dkim: %w", err)}
}

// find returns the keys for a domain, nil if there are none.
func (s *Signer) find(domain string) []*key {
	for d := domain; d != ""; _, d, _ = strings.Cut(d, ".") {
		if keys := s.keys[d]; keys != nil {
			return keys
		}
	}
	return s.keys[s.fallback]
}
