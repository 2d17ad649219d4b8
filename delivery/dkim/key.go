package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/internal/address"
)

// Key is what a domain signs with.
//
// To change a domain's key, publish the [Key.Record] of the new one first, and give the two an overlap: the new one a NotBefore when
// its record is sure to be seen everywhere, the old one a NotAfter some time later. In between, messages carry both
// signatures. The old record stays for as long as mail may be on its way, a week or two.
type Key struct {
	// Domain signs: the "d=" of its signatures. U-labels are taken for their A-labels.
	Domain string
	// Selector tells the keys of a domain apart.
	Selector string
	// Signer has the private key: RSA of 2048 to 4096 bits, or Ed25519. RFC 8301, section 3.2, has signers use no less than 1024
	// bits and recommends 2048, of which no exception is made here: all that shorter keys had for them was a record in one string.
	// Nobody need verify more than 4096. RSA signs with PKCS #1 v1.5. [ParseKey] reads a key that is in a file.
	Signer crypto.Signer
	// NotBefore and NotAfter are when the key is used: from the first on, and up to but not at the second. Default to any time.
	NotBefore, NotAfter time.Time
}

// The sizes of RSA keys, in bits.
const minRSA, maxRSA = 2048, 4096

// Record returns what has to be published for k: the name, without a final dot, and the value of a TXT record. A value of more than
// 255 octets, as any RSA key has, is stored as several strings that make one when joined (RFC 6376, section
// 3.6.2.2); most DNS providers do that by themselves.
func (k Key) Record() (name, value string, err error) {
	checked, err := k.check()
	if err != nil {
		return "", "", fmt.Errorf("dkim: %w", err)
	}
	switch p := checked.public.(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(p)
		if err != nil {
			return "", "", fmt.Errorf("dkim: %s: %w", checked.name(), err)
		}
		value = "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
	case ed25519.PublicKey:
		value = "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(p)
	}
	return checked.name(), value, nil
}

// key is a Key that makes sense.
type key struct {
	Key
	public  crypto.PublicKey
	timeout time.Duration
	open    chan struct{} // has one for each open question to the key; nil for a key in memory, which is asked directly
}

// newKey checks k, and has it sign something.
func newKey(k *Key, timeout time.Duration) (*key, error) {
	checked, err := k.check()
	if err != nil {
		return nil, err
	}
	checked.timeout = timeout
	switch k.Signer.(type) {
	case *rsa.PrivateKey, ed25519.PrivateKey:
	default:
		checked.open = make(chan struct{}, maxOpen)
	}
	digest := sha256.Sum256([]byte("a test"))
	signature, err := checked.sign(digest[:])
	if err == nil {
		err = checked.verify(digest[:], signature)
	}
	return checked, err
}

// check returns k in canonical form, or what is wrong with it.
func (k Key) check() (*key, error) {
	c := &key{Key: k}
	var err error
	if c.Domain, err = parseDomain(k.Domain); err != nil {
		return nil, fmt.Errorf("domain %.100q: %w", k.Domain, err)
	}
	if !selector.MatchString(k.Selector) || len(c.name()) > 253 {
		return nil, fmt.Errorf("%.100q of %s is not a selector", k.Selector, c.Domain)
	}
	if !k.NotAfter.IsZero() && !k.NotAfter.After(k.NotBefore) {
		return nil, fmt.Errorf("%s: NotAfter is not after NotBefore", c.name())
	}
	if k.Signer == nil {
		return nil, fmt.Errorf("%s: Signer is nil", c.name())
	}
	if err := guard(func() error { c.public = k.Signer.Public(); return nil }); err != nil {
		return nil, fmt.Errorf("%s: public key: %w", c.name(), err)
	}
	if err := checkPublic(c.public); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name(), err)
	}
	return c, nil
}

func checkPublic(public crypto.PublicKey) error {
	switch p := public.(type) {
	case *rsa.PublicKey:
		switch {
		case p == nil || p.N == nil:
			return errors.New("an RSA key without a number")
		case p.N.BitLen() < minRSA:
			return fmt.Errorf("RSA of %d bits is too weak: %d are needed", p.N.BitLen(), minRSA)
		case p.N.BitLen() > maxRSA:
			return fmt.Errorf("RSA of %d bits: nobody need verify more than %d", p.N.BitLen(), maxRSA)
		}
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return fmt.Errorf("an Ed25519 key of %d octets", len(p))
		}
	default:
		return fmt.Errorf("%T is neither an RSA nor an Ed25519 key", public)
	}
	return nil
}

// name is where the key's record is.
func (k *key) name() string { return k.Selector + "._domainkey." + k.Domain }

func (k *key) valid(now time.Time) bool {
	return !now.Before(k.NotBefore) && (k.NotAfter.IsZero() || now.Before(k.NotAfter))
}

// selector is that of RFC 6376, section 3.1: domain labels, in A-label form.
var selector = regexp.MustCompile(`^` + label + `(\.` + label + `)*$`)

const label = `[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?`

// parseDomain returns a domain in lower case and A-label form.
func parseDomain(domain string) (string, error) {
	a, err := address.Parse("x@" + domain)
	if err == nil && strings.HasPrefix(a.Domain, "[") {
		err = errors.New("is an address")
	}
	return a.Domain, err
}
