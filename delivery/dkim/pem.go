package dkim

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Bounds of what ParseKey looks at. RSA of 4096 bits has about 2400 octets; checking larger numbers takes long.
const maxPEM, maxDER = 64 << 10, 4 << 10

// ParseKey reads a private key in PEM form: RSA of PKCS #1, RSA or Ed25519 of PKCS #8. There must be no other private key
// beside it. Encrypted keys are refused; a program that has some decrypts them, and makes a crypto.Signer of them, itself.
func ParseKey(text []byte) (crypto.Signer, error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("dkim: a key in more than %d octets", maxPEM)
	}
	var found crypto.Signer
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		k, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("dkim: %s: %w", block.Type, err)
		}
		if k != nil && found != nil {
			return nil, errors.New("dkim: more than one private key")
		}
		if k != nil {
			found = k
		}
	}
	if found == nil {
		return nil, errors.New("dkim: no private key in PEM form")
	}
	return found, nil
}

// parseBlock returns the private key of a block, nil if it isn't one.
func parseBlock(block *pem.Block) (crypto.Signer, error) {
	if len(block.Bytes) > maxDER {
		return nil, fmt.Errorf("more than %d octets", maxDER)
	}
	var k any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, errors.New("is encrypted")
		}
		k, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		k, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("is encrypted")
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%T can't sign", k)
	}
	return signer, checkPublic(signer.Public())
}
