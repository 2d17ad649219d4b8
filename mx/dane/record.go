package dane

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"slices"

	"github.com/postroad/postroad/mx"
)

// The numbers in a record that mean something here (RFC 7218).
const (
	anchor    = 2 // usage DANE-TA
	endEntity = 3 // usage DANE-EE

	certificate = 0 // selector Cert
	publicKey   = 1 // selector SPKI

	full       = 0 // matching type
	sha256Hash = 1
	sha512Hash = 2
)

// maxRSA is the size of the largest RSA key, in bits, that is verified with; crypto/tls has the same bound. The time that a
// larger one takes would be up to whoever wrote the record.
const maxRSA = 8192

// record is a usable TLSA record.
type record struct {
	mx.TLSA
	issuer *x509.Certificate // what is in the record as a whole: a certificate, or one that has nothing but its key
}

// usable returns the records that a client can go by, each once, in one order whatever the DNS's was.
func usable(all []mx.TLSA) []record {
	var list []record
	for _, t := range all {
		if r, ok := parse(t); ok {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, compare)
	list = slices.CompactFunc(list, func(a, b record) bool { return compare(a, b) == 0 })
	return strongest(list)
}

func compare(a, b record) int {
	return cmp.Or(cmp.Compare(a.Usage, b.Usage), cmp.Compare(a.Selector, b.Selector), cmp.Compare(a.Matching, b.Matching),
		bytes.Compare(a.Data, b.Data))
}

// strongest leaves out SHA-256 where the same is said by SHA-512 (RFC 7671, section 9).
func strongest(list []record) (strong []record) {
	for _, r := range list {
		if r.Matching != sha256Hash || !slices.ContainsFunc(list, func(other record) bool {
			return other.Usage == r.Usage && other.Selector == r.Selector && other.Matching == sha512Hash
		}) {
			strong = append(strong, r)
		}
	}
	return strong
}

// parse reports whether a record is one that a client can use, and what is in it.
func parse(t mx.TLSA) (record, bool) {
	if t.Usage != anchor && t.Usage != endEntity || t.Selector != certificate && t.Selector != publicKey {
		return record{}, false
	}
	switch t.Matching {
	case full:
		issuer := parseIssuer(t)
		return record{t, issuer}, issuer != nil
	case sha256Hash:
		return record{t, nil}, len(t.Data) == sha256.Size
	case sha512Hash:
		return record{t, nil}, len(t.Data) == sha512.Size
	}
	return record{}, false
}

// parseIssuer reads a whole certificate or public key, and returns nil if it is none that one can verify with.
func parseIssuer(t mx.TLSA) *x509.Certificate {
	var issuer *x509.Certificate
	var err error
	if t.Selector == certificate {
		issuer, err = x509.ParseCertificate(t.Data)
	} else {
		issuer = new(x509.Certificate)
		issuer.PublicKey, err = x509.ParsePKIXPublicKey(t.Data)
	}
	if err != nil {
		return nil
	}
	switch key := issuer.PublicKey.(type) {
	case *rsa.PublicKey:
		issuer.PublicKeyAlgorithm = x509.RSA
		if key.N.BitLen() > maxRSA {
			return nil
		}
	case *ecdsa.PublicKey:
		issuer.PublicKeyAlgorithm = x509.ECDSA
	case ed25519.PublicKey:
		issuer.PublicKeyAlgorithm = x509.Ed25519
	default:
		return nil
	}
	return issuer
}

// names reports whether the record says what cert is.
func (r record) names(cert *x509.Certificate) bool {
	data := cert.Raw
	if r.Selector == publicKey {
		data = cert.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case sha256Hash:
		sum := sha256.Sum256(data)
		return bytes.Equal(sum[:], r.Data)
	case sha512Hash:
		sum := sha512.Sum512(data)
		return bytes.Equal(sum[:], r.Data)
	}
	return bytes.Equal(data, r.Data)
}
