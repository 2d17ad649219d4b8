//go:build linux

package smtpclient_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/postroad/postroad/delivery/dkim"
)

// dkimSigner signs messages of example.com with RSA and Ed25519.
type dkimSigner struct {
	*dkim.Signer
	records map[string]string
}

func newDKIMSigner(t *testing.T) *dkimSigner {
	t.Helper()
	one, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	_, two, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	keys := []dkim.Key{{Domain: "example.com", Selector: "rsa", Signer: one}, {Domain: "example.com", Selector: "ed", Signer: two}}
	s := &dkimSigner{records: make(map[string]string)}
	s.Signer, err = dkim.New(dkim.Config{Keys: keys})
	must(t, err)
	for _, k := range keys {
		name, value, err := k.Record()
		must(t, err)
		s.records[name] = value
	}
	return s
}

// sign puts the signatures of a message on top of it.
func (s *dkimSigner) sign(t *testing.T, text string) string {
	t.Helper()
	header, body, _ := strings.Cut(text, "\r\n\r\n")
	signature, err := s.Sign([]byte(header + "\r\n"))
	must(t, err)
	_, err = signature.Write([]byte(body))
	must(t, err)
	fields, err := signature.Fields()
	must(t, err)
	return string(fields) + text
}

// verify checks the two signatures of a message.
func (s *dkimSigner) verify(t *testing.T, text []byte) {
	t.Helper()
	list, err := msgauth.VerifyWithOptions(bytes.NewReader(text), &msgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		return []string{s.records[name]}, nil
	}})
	if err != nil || len(list) != 2 || list[0].Err != nil || list[1].Err != nil {
		t.Errorf("signatures: %v, %+v", err, list)
	}
}
