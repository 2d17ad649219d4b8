package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"time"
)

// maxOpen is how many questions to a key that isn't in memory are open at once. It bounds what is left behind by those that
// are never answered.
const maxOpen = 64

// sign signs a SHA-256 digest, in no more than the time that the key has. Its errors name the key.
func (k *key) sign(digest []byte) (signature []byte, err error) {
	if k.open == nil {
		err = guard(func() error { signature, err = k.call(digest); return err })
	} else if signature, err = k.ask(digest); err == nil {
		err = k.verify(digest, signature) // it may have been exchanged for another key since New
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.name(), err)
	}
	return signature, nil
}

// ask calls the key in a goroutine, which stays behind if there is no answer in time.
func (k *key) ask(digest []byte) ([]byte, error) {
	late := time.NewTimer(k.timeout)
	defer late.Stop()
	select {
	case k.open <- struct{}{}:
	case <-late.C:
		return nil, ErrTimeout
	}
	type answer struct {
		signature []byte
		err       error
	}
	answered := make(chan answer, 1)
	go func() {
		defer func() { <-k.open }()
		var a answer
		a.err = guard(func() (err error) { a.signature, err = k.call(digest); return err })
		answered <- a
	}()
	select {
	case a := <-answered:
		return a.signature, a.err
	case <-late.C:
		return nil, ErrTimeout
	}
}

// call has the key sign. Ed25519 signs the digest as if it were the message (RFC 8463, section 3).
func (k *key) call(digest []byte) ([]byte, error) {
	opts := crypto.SignerOpts(crypto.SHA256)
	if _, ok := k.public.(ed25519.PublicKey); ok {
		opts = crypto.Hash(0)
	}
	return k.Signer.Sign(rand.Reader, digest, opts)
}

// verify checks a signature as its receivers will.
func (k *key) verify(digest, signature []byte) error {
	var ok bool
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(p, crypto.SHA256, digest, signature) == nil
	case ed25519.PublicKey:
		ok = ed25519.Verify(p, digest, signature)
	}
	if !ok {
		return errors.New("its signature doesn't fit its public key")
	}
	return nil
}

// guard calls f and turns a panic in it into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %.100v", p)
		}
	}()
	return f()
}
