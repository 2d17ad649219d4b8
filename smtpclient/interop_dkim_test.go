//go:build linux

package smtpclient_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

// dkimKey signs messages of example.com.
type dkimKey struct {
	private ed25519.PrivateKey
}

func newDKIMKey(t *testing.T) *dkimKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return &dkimKey{private}
}

// sign signs all of a message, with no leave for any change (RFC 6376, section 3.4.1).
func (k *dkimKey) sign(t *testing.T, text string) string {
	t.Helper()
	var signed bytes.Buffer
	must(t, dkim.Sign(&signed, strings.NewReader(text), &dkim.SignOptions{
		Domain: "example.com", Selector: "test", Signer: k.private,
		HeaderCanonicalization: dkim.CanonicalizationSimple, BodyCanonicalization: dkim.CanonicalizationSimple,
	}))
	return signed.String()
}

// verify checks the one signature of a message.
func (k *dkimKey) verify(t *testing.T, text []byte) {
	t.Helper()
	list, err := dkim.VerifyWithOptions(bytes.NewReader(text), &dkim.VerifyOptions{LookupTXT: func(domain string) ([]string, error) {
		if domain != "test._domainkey.example.com" {
			t.Errorf("looks up %s", domain)
		}
		public := base64.StdEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey))
		return []string{"v=DKIM1; k=ed25519; p=" + public}, nil
	}})
	if err != nil || len(list) != 1 || list[0].Err != nil {
		t.Errorf("signature: %v, %+v", err, list)
	}
}
