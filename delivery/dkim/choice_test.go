package dkim_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery/dkim"
)

// TestWhoSigns says whose keys sign a message, by its From field.
func TestWhoSigns(t *testing.T) {
	keys := []dkim.Key{
		newKey(t, "Example.COM", "a", ed25519Key),
		newKey(t, "news.example.com", "b", ed25519Key),
		newKey(t, "bücher.example", "c", ed25519Key),
		newKey(t, "esp.example", "d", ed25519Key),
	}
	alone := newSigner(t, keys...)
	backed, err := dkim.New(dkim.Config{Keys: keys, Default: "ESP.example"})
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{
		"ann@example.com":                                     "a._domainkey.example.com",
		"Ann <ann@EXAMPLE.com>":                               "a._domainkey.example.com",
		"ann@mail.example.com":                                "a._domainkey.example.com",
		"ann@a_b.example.com":                                 "a._domainkey.example.com",
		"ann@news.example.com":                                "b._domainkey.news.example.com",
		"ann@a.b.news.example.com":                            "b._domainkey.news.example.com",
		"\"ann@news.example.com\"\r\n <ann@example.com>":      "a._domainkey.example.com",
		"ann@example.com (ann@news.example.com)":              "a._domainkey.example.com",
		"=?iso-2022-jp?B?GyRCJDMbKEI=?= <ann@example.com>":    "a._domainkey.example.com",
		"Änne <änne@bücher.example>":                          "c._domainkey.xn--bcher-kva.example",
		"ann@xn--bcher-kva.example":                           "c._domainkey.xn--bcher-kva.example",
		"ann@example.com, bob@news.example.com":               "a._domainkey.example.com", // the first author counts
		"Lunch: ann@news.example.com, bob@example.com;":       "b._domainkey.news.example.com",
		"ann@example.net":                                     "",
		"ann@notexample.com":                                  "",
		"ann@com":                                             "",
		"ann@example.com.net":                                 "",
		"ann@[192.0.2.1]":                                     "",
		"nobody:;":                                            "", // RFC 6854 has such groups
		"\"ann@example.com\"@example.net":                     "",
		strings.Repeat("ann@example.net,", 1000) + "a@b.test": "",
	} {
		for signer, ifNone := range map[*dkim.Signer]string{alone: "", backed: "d._domainkey.esp.example"} {
			want := want
			if want == "" {
				want = ifNone
			}
			message, err := sign(signer, "Subject: x\r\nFrom: "+from+"\r\n", body)
			if got := strings.Join(names(message), " "); got != want || err != nil {
				t.Errorf("%.100q: signatures of %q, not %q; %v", from, got, want, err)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	s := newSigner(t, newKey(t, "example.com", "a", ed25519Key))
	for header, want := range map[string]error{
		"":                                      dkim.ErrFrom,
		"Subject: From: ann@example.com\r\n":    dkim.ErrFrom,
		"X: y\r\n From: ann@example.com\r\n":    dkim.ErrFrom,
		"From:\r\n":                             dkim.ErrFrom,
		"From: ann\r\n":                         dkim.ErrFrom,
		"From: ann@example.com bob\r\n":         dkim.ErrFrom,
		"From: a@example.com\r\nfrom : b@c\r\n": dkim.ErrFrom,
		"From: " + strings.Repeat("ann@example.com, ", 2000) + "b@c\r\n":                  dkim.ErrFrom,
		"From: a@example.com\r\n" + strings.Repeat("Subject: x\r\n", 200):                 dkim.ErrHeader,
		"From: a@example.com\r\nSubject: x\nBcc: y\r\n":                                   dkim.ErrHeader,
		"From: a@example.com\r\nSubject: x\rBcc: y\r\n":                                   dkim.ErrHeader,
		"From: a@example.com\r\nSubject: x\r\n" + strings.Repeat(" \n\n", 2) + "y: z\r\n": dkim.ErrHeader,
	} {
		if _, err := sign(s, header, body); !errors.Is(err, want) {
			t.Errorf("%.100q: %v", header, err)
		}
	}
	if _, err := sign(s, header, strings.Repeat("\r\n", 150<<10)+"x\r\n"); !errors.Is(err, dkim.ErrBlank) {
		t.Errorf("a body of empty lines: %v", err)
	}
	if _, err := sign(s, header, strings.Repeat(strings.Repeat(" \t\r\n", 50<<10)+"x\r\n", 3)); err != nil {
		t.Errorf("a body of many empty lines: %v", err)
	}
}

// TestRotation has an old key and a new one overlap.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		old, next := newKey(t, "example.com", "old", ed25519Key), newKey(t, "example.com", "new", rsaKey)
		old.NotBefore, old.NotAfter = start.Add(1*time.Hour), start.Add(3*time.Hour)
		next.NotBefore, next.NotAfter = start.Add(2*time.Hour), start.Add(4*time.Hour)
		s, err := dkim.New(dkim.Config{Keys: []dkim.Key{old, next, newKey(t, "com", "parent", ed25519Key)}, Default: "com"})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			at   time.Duration
			want string
			err  error
		}{
			{time.Hour - 1, "", dkim.ErrNoKey},
			{time.Hour, "old._domainkey.example.com", nil},
			{2*time.Hour - 1, "old._domainkey.example.com", nil},
			{2 * time.Hour, "old._domainkey.example.com new._domainkey.example.com", nil},
			{3*time.Hour - 1, "old._domainkey.example.com new._domainkey.example.com", nil},
			{3 * time.Hour, "new._domainkey.example.com", nil},
			{4 * time.Hour, "", dkim.ErrNoKey},
		} {
			time.Sleep(time.Until(start.Add(step.at)))
			message, err := sign(s, header, body)
			if got := strings.Join(names(message), " "); got != step.want || !errors.Is(err, step.err) {
				t.Errorf("after %v: signatures of %q, %v", step.at, got, err)
			}
		}
	})
}
