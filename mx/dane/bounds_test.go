package dane

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"

	"github.com/postroad/postroad/mx"
)

// A key that would take minutes to verify with isn't one to verify with.
func TestLargeKeys(t *testing.T) {
	for bits, want := range map[uint]bool{2048: true, 8192: true, 8200: false, 1 << 18: false} {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537})
		must(t, err)
		_, got := parse(mx.TLSA{Usage: anchor, Selector: publicKey, Matching: full, Data: der})
		if got != want {
			t.Errorf("%d bits: usable %v", bits, got)
		}
	}
}

// Of a chain that never ends the beginning is looked at.
func TestLongChains(t *testing.T) {
	root := (*identity)(nil).issue(t, nil)
	leaf := root.issue(t, nil, "mx.example.org")
	other := (*identity)(nil).issue(t, nil)
	for fillers, want := range map[int]bool{0: true, maxCerts - 2: true, maxCerts - 1: false, 10_000: false} {
		state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf.Certificate}}
		for range fillers {
			state.PeerCertificates = append(state.PeerCertificates, other.Certificate)
		}
		state.PeerCertificates = append(state.PeerCertificates, root.Certificate)
		err := newPolicy([]mx.TLSA{root.tlsa(2, 0, 1)}, []string{"mx.example.org"}).verify(state)
		if (err == nil) != want || err != nil && !errors.Is(err, ErrCertificate) {
			t.Errorf("after %d others: %v", fillers, err)
		}
	}
}
