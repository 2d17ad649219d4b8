package dkim_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/dkim"
)

// section is what a Signer is given: fields with their continuation lines.
var section = regexp.MustCompile(`^([!-9;-~]+[ \t]*:[^\r\n]*\r\n([ \t][^\r\n]*\r\n)*)*$`)

// FuzzSign signs messages with any header section. What is signed can be verified, and what is not signed has its reason.
func FuzzSign(f *testing.F) {
	for _, l := range letters {
		if len(l.header)+len(l.body) < 1000 {
			f.Add(l.header, l.body)
		}
	}
	f.Add("From: a\r\n", "")
	f.Add("From: ann@example.com\r\nSubject: a\nb\r\n\r\n", "\r")
	f.Add("from:Lunch: (a@b) ann@mail.Example.com ,;\r\n", ".")
	f.Add("From: \"\\\"@x\" <=?utf-8?q?=C3=BC?=@[1.2]>\r\nFrom\r\n", ".")
	keys := []dkim.Key{newKey(f, "example.com", "a", ed25519Key), newKey(f, "example.net", "b", ed25519Key)}
	s, err := dkim.New(dkim.Config{Keys: keys, Default: "example.net"})
	if err != nil {
		f.Fatal(err)
	}
	records := records(f, keys)
	f.Fuzz(func(t *testing.T, header, body string) {
		message, err := sign(s, header, body)
		if err != nil {
			if e, ok := errors.AsType[*delivery.FieldError](err); !ok || e.Field != "Body" {
				t.Errorf("%q: %v", header, err)
			}
			return
		}
		if !section.MatchString(header) || strings.Contains(strings.ReplaceAll(body, "\r\n", ""), "\r") {
			return // a Signer isn't given that
		}
		if all, good := verify(t, message, records); good != 1 && !strings.Contains(strings.ToLower(header), "dkim-signature") {
			t.Errorf("%d signatures of %d are good: %q", good, all, message)
		}
	})
}

// FuzzParseKey reads any PEM. Keys that are read sign.
func FuzzParseKey(f *testing.F) {
	for _, file := range []string{rsaKey, ed25519Key, "rsa2048.pkcs1.pem", "rsa1024.pem", "ec.pem", "encrypted.pem", "encrypted.pkcs1.pem"} {
		f.Add([]byte(readFile(f, file)))
	}
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := dkim.ParseKey(text)
		if (k == nil) != (err != nil) {
			t.Fatal(k, err)
		}
		if err != nil {
			return
		}
		if _, err := dkim.New(dkim.Config{Keys: []dkim.Key{{Domain: "example.com", Selector: "s", Signer: k}}}); err != nil {
			t.Error(err)
		}
	})
}
