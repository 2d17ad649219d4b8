package dkim_test

import (
	"crypto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/postroad/postroad/delivery/dkim"
)

// The keys in testdata.
const (
	rsaKey     = "rsa2048.pem"
	ed25519Key = "ed25519.pem"
)

const (
	header = "From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: Lunch\r\nDate: Sun, 22 Nov 2026 07:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
	body   = "Hello, Bob.\r\n"
)

func readKey(t testing.TB, file string) crypto.Signer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	k, err := dkim.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newKey(t testing.TB, domain, selector, file string) dkim.Key {
	t.Helper()
	return dkim.Key{Domain: domain, Selector: selector, Signer: readKey(t, file)}
}

// both are the two keys of example.com that most tests sign with.
func both(t testing.TB) []dkim.Key {
	return []dkim.Key{newKey(t, "example.com", "r", rsaKey), newKey(t, "example.com", "e", ed25519Key)}
}

func newSigner(t testing.TB, keys ...dkim.Key) *dkim.Signer {
	t.Helper()
	s, err := dkim.New(dkim.Config{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sign returns a message with its signatures on top.
func sign(s *dkim.Signer, header, body string) (string, error) {
	signature, err := s.Sign([]byte(header))
	if err != nil || signature == nil {
		return header + "\r\n" + body, err
	}
	if _, err := signature.Write([]byte(body)); err != nil {
		signature.(interface{ Close() error }).Close()
		return "", err
	}
	fields, err := signature.Fields()
	return string(fields) + header + "\r\n" + body, err
}

func mustSign(t testing.TB, s *dkim.Signer, header, body string) string {
	t.Helper()
	message, err := sign(s, header, body)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// records are the TXT records of keys.
func records(t testing.TB, keys []dkim.Key) map[string]string {
	t.Helper()
	m := make(map[string]string)
	for _, k := range keys {
		name, value, err := k.Record()
		if err != nil {
			t.Fatal(err)
		}
		m[name] = value
	}
	return m
}

// verify returns how many signatures of a message there are, and how many are good.
func verify(t testing.TB, message string, records map[string]string) (all, good int) {
	t.Helper()
	list, err := msgauth.VerifyWithOptions(strings.NewReader(message), &msgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		return []string{records[name]}, nil
	}})
	if err != nil {
		t.Fatalf("%v, of %.2000q", err, message)
	}
	for _, v := range list {
		if v.Err == nil {
			good++
		}
	}
	return len(list), good
}

// names are the record names of a message's signatures, in order.
func names(message string) (list []string) {
	head, _, _ := strings.Cut(message, "\r\n\r\n")
	for field := range strings.SplitSeq(strings.NewReplacer("\r\n ", " ", "\r\n\t", " ").Replace(head), "\r\n") {
		value, found := strings.CutPrefix(field, "DKIM-Signature:")
		if found {
			list = append(list, tag(value, "s")+"._domainkey."+tag(value, "d"))
		}
	}
	return list
}

// tag is a tag of a signature's value.
func tag(value, name string) string {
	for t := range strings.SplitSeq(value, ";") {
		if n, v, _ := strings.Cut(strings.TrimSpace(t), "="); n == name {
			return v
		}
	}
	return ""
}

// missing skips the test for want of something to test with, or fails it where everything has to be there.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
