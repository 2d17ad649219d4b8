// Package keyring signs small things that go out to the world and come back: reverse-paths, links.
package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Octets that there are at least: less could be found by trying, a key at home and a signature by asking.
const (
	minKey       = 16
	minSignature = 8
)

// Ring is a list of keys. The first one signs, and all of them verify, so that what an older key has signed is good for as
// long as that key is kept.
type Ring [][]byte

// Check returns an error if there is a key that is too short to be a secret.
func (r Ring) Check() error {
	for i, k := range r {
		if len(k) < minKey {
			return fmt.Errorf("key %d has %d octets, fewer than %d", i, len(k), minKey)
		}
	}
	return nil
}

// Sign returns the first size octets, 8 to 32, of the HMAC-SHA256 of words. What is signed for one purpose must not be good for
// another, so the first word names the purpose. It needs a key.
func (r Ring) Sign(size int, words ...string) []byte {
	return sum(r[0], words)[:size]
}

// Verify reports whether one of the keys has made the signature of words. One of fewer than 8 octets never counts.
func (r Ring) Verify(signature []byte, words ...string) bool {
	if len(signature) < minSignature || len(signature) > sha256.Size {
		return false
	}
	good := false
	for _, k := range r {
		good = hmac.Equal(sum(k, words)[:len(signature)], signature) || good
	}
	return good
}

// sum hashes words so that no two lists of them hash alike.
func sum(key []byte, words []string) []byte {
	h := hmac.New(sha256.New, key)
	for _, w := range words {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(w))))
		h.Write([]byte(w))
	}
	return h.Sum(nil)
}
