package dane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/postroad/postroad/mx"
)

// identity is a certificate and its key.
type identity struct {
	*x509.Certificate
	key crypto.Signer
}

// issue makes a certificate for names, or a new authority's if there are none. The authority i signs it, or it signs itself if i
// is nil. change may change what it says.
func (i *identity) issue(t testing.TB, change func(*x509.Certificate), names ...string) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: fmt.Sprint("number ", serial)},
		DNSNames:              names,
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  len(names) == 0,
	}
	if change != nil {
		change(template)
	}
	issuer := &identity{template, key}
	if i != nil {
		issuer = i
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.Certificate, key.Public(), issuer.key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &identity{cert, key}
}

// config makes a server show i and then the others.
func (i *identity) config(others ...*identity) *tls.Config {
	c := tls.Certificate{Certificate: [][]byte{i.Raw}, PrivateKey: i.key}
	for _, other := range others {
		c.Certificate = append(c.Certificate, other.Raw)
	}
	return &tls.Config{Certificates: []tls.Certificate{c}}
}

// tlsa is a record about i.
func (i *identity) tlsa(usage, selector, matching uint8) mx.TLSA {
	data := i.Raw
	if selector == publicKey {
		data = i.RawSubjectPublicKeyInfo
	}
	switch matching {
	case sha256Hash:
		sum := sha256.Sum256(data)
		data = sum[:]
	case sha512Hash:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return mx.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}
