package dane

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/postroad/postroad/mx"
)

// policy is what a host's usable records demand.
type policy struct {
	records []record
	names   []string // a certificate under a trust anchor must prove one of them
}

func newPolicy(records []mx.TLSA, names []string) *policy {
	p := &policy{records: usable(records)}
	if p.anchored() {
		p.names = slices.Compact(slices.Sorted(slices.Values(names)))
	}
	return p
}

// anchored reports whether there are trust anchors.
func (p *policy) anchored() bool {
	return slices.ContainsFunc(p.records, func(r record) bool { return r.Usage == anchor })
}

// digest is the same for policies that demand the same.
func (p *policy) digest() string {
	hash := sha256.New()
	write := func(b []byte) {
		hash.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		hash.Write(b)
	}
	for _, r := range p.records {
		write([]byte{r.Usage, r.Selector, r.Matching})
		write(r.Data)
	}
	for _, name := range p.names {
		write([]byte(name))
	}
	return fmt.Sprintf("dane:%x", hash.Sum(nil))
}

// verify is the check of a connection.
func (p *policy) verify(state tls.ConnectionState) error {
	certs := state.PeerCertificates
	certs = certs[:min(len(certs), maxCerts)]
	if len(certs) == 0 {
		return fmt.Errorf("%w: there is none", ErrCertificate)
	}
	for _, r := range p.records {
		if r.Usage == endEntity && r.names(certs[0]) {
			return nil
		}
	}
	if !p.anchored() {
		return ErrCertificate
	}
	if err := p.verifyChain(certs); err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return nil
}

// verifyChain is the check by usage DANE-TA(2), of the certificates in the order in which the host has sent them.
func (p *policy) verifyChain(certs []*x509.Certificate) error {
	o := x509.VerifyOptions{Roots: p.anchors(certs), Intermediates: x509.NewCertPool()}
	for _, cert := range certs[1:] {
		o.Intermediates.AddCert(cert)
	}
	if _, err := certs[0].Verify(o); err != nil {
		return err
	}
	err := errors.New("no name to prove")
	for _, name := range p.names {
		if err = certs[0].VerifyHostname(name); err == nil {
			return nil
		}
	}
	return err
}

// anchors returns the certificates that a chain may end with: those sent that a record names, one that is in a record as a
// whole, and those sent that were issued by a key in a record. The last stand in for an anchor of which only the key is known.
// A host that is its own anchor will do: who holds an anchor's key can prove anything under it, and has a name and a date to
// prove here, too.
func (p *policy) anchors(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, r := range p.records {
		if r.Usage != anchor {
			continue
		}
		if r.issuer != nil && r.Selector == certificate {
			pool.AddCert(r.issuer)
			continue
		}
		for _, cert := range certs {
			if r.names(cert) || r.issuer != nil && cert.CheckSignatureFrom(r.issuer) == nil {
				pool.AddCert(cert)
			}
		}
	}
	return pool
}

// chain is a check that first makes another, if there is one.
func chain(first, second func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	if first == nil {
		return second
	}
	return func(state tls.ConnectionState) error {
		if err := first(state); err != nil {
			return err
		}
		return second(state)
	}
}
