package dkim_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/dkim"
)

// posing is a key that says it has another public key.
type posing struct {
	crypto.Signer
	public crypto.PublicKey
}

func (p posing) Public() crypto.PublicKey { return p.public }

func TestNewRefuses(t *testing.T) {
	rsa2048, ed := readKey(t, rsaKey), readKey(t, ed25519Key)
	other := ed25519.NewKeyFromSeed(make([]byte, 32))
	modulus := func(bits uint) crypto.Signer {
		return posing{rsa2048, &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}}
	}
	good := dkim.Key{Domain: "example.com", Selector: "s", Signer: ed}
	with := func(change func(*dkim.Key)) dkim.Config {
		k := good
		change(&k)
		return dkim.Config{Keys: []dkim.Key{good, k}}
	}
	signer := func(k crypto.Signer) dkim.Config {
		return with(func(x *dkim.Key) { x.Selector, x.Signer = "t", k })
	}
	for want, c := range map[string]dkim.Config{
		"Config.Keys is empty":                                                       {},
		"Config.Timeout is negative":                                                 {Keys: []dkim.Key{good}, Timeout: -1},
		`Config.Default: no key is of "example.net"`:                                 {Keys: []dkim.Key{good}, Default: "example.net"},
		`Config.Default: no key is of "mail.example.com"`:                            {Keys: []dkim.Key{good}, Default: "mail.example.com"},
		"Config.Keys[1]: there is another s._domainkey.example.com":                  with(func(k *dkim.Key) { k.Domain, k.Selector = "EXAMPLE.com", "S" }),
		`Config.Keys[1]: domain "":`:                                                 with(func(k *dkim.Key) { k.Domain = "" }),
		`Config.Keys[1]: domain "a b":`:                                              with(func(k *dkim.Key) { k.Domain = "a b" }),
		`Config.Keys[1]: domain "x@example.com":`:                                    with(func(k *dkim.Key) { k.Domain = "x@example.com" }),
		`Config.Keys[1]: domain "[192.0.2.1]":`:                                      with(func(k *dkim.Key) { k.Domain = "[192.0.2.1]" }),
		`Config.Keys[1]: domain "a; d=b":`:                                           with(func(k *dkim.Key) { k.Domain = "a; d=b" }),
		`Config.Keys[1]: "" of example.com is not a selector`:                        with(func(k *dkim.Key) { k.Selector = "" }),
		`Config.Keys[1]: "a; d=b" of example.com is not a selector`:                  with(func(k *dkim.Key) { k.Selector = "a; d=b" }),
		`Config.Keys[1]: "a..b" of example.com is not a selector`:                    with(func(k *dkim.Key) { k.Selector = "a..b" }),
		`Config.Keys[1]: "-a" of example.com is not a selector`:                      with(func(k *dkim.Key) { k.Selector = "-a" }),
		`Config.Keys[1]: "a\r\nb" of example.com is not a selector`:                  with(func(k *dkim.Key) { k.Selector = "a\r\nb" }),
		`a" of example.com is not a selector`:                                        with(func(k *dkim.Key) { k.Selector = strings.Repeat("a", 64) }),
		`a." of example.com is not a selector`:                                       with(func(k *dkim.Key) { k.Selector = strings.Repeat("a.", 120) + "a.b" }),
		"Config.Keys[1]: s2._domainkey.example.com: NotAfter is not after NotBefore": with(func(k *dkim.Key) { k.Selector = "s2"; k.NotBefore = time.Now(); k.NotAfter = k.NotBefore }),
		"Config.Keys[1]: t._domainkey.example.com: Signer is nil":                    signer(nil),
		"Config.Keys[1]: t._domainkey.example.com: public key: panic":                signer((*rsa.PrivateKey)(nil)),
		"public key: panic: runtime error: slice":                                    signer(ed25519.PrivateKey(nil)),
		"an Ed25519 key of 0 octets":                                                 signer(posing{ed, ed25519.PublicKey(nil)}),
		"an RSA key without a number":                                                signer(&rsa.PrivateKey{}),
		"<nil> is neither an RSA nor":                                                signer(posing{ed, nil}),
		"net.IP is neither an RSA nor an Ed25519 key":                                signer(posing{ed, net.IP{}}),
		"RSA of 1023 bits is too weak: 2048 are needed":                              signer(modulus(1023)),
		"RSA of 2047 bits is too weak":                                               signer(modulus(2047)),
		"RSA of 4097 bits: nobody":                                                   signer(modulus(4097)),
		"t._domainkey.example.com: its signature doesn't fit its public key":         signer(posing{ed, other.Public()}),
		"its signature doesn't fit":                                                  signer(posing{rsa2048, other.Public()}),
		"t._domainkey.example.com: out of paper":                                     signer(&remote{Signer: ed, err: errPaper}),
		"t._domainkey.example.com: panic: out of paper":                              signer(&remote{Signer: ed, panics: true}),
	} {
		if _, err := dkim.New(c); err == nil || !strings.HasPrefix(err.Error(), "dkim: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("not %q: %v", want, err)
		}
	}
}

func TestRecord(t *testing.T) {
	name, value, err := newKey(t, "Bücher.example", "2026-a.mail", ed25519Key).Record()
	if name != "2026-a.mail._domainkey.xn--bcher-kva.example" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	// "openssl pkey -pubout -outform DER | tail -c 32 | base64" gives the same (RFC 8463, section 4.2).
	if want := "v=DKIM1; k=ed25519; p=NpvsJ7CRfHHV73hYG6MGK0aOhAA7QuBOvln5jrusFqM="; value != want {
		t.Errorf("%s", value)
	}
	if _, value, _ = newKey(t, "example.com", "a", rsaKey).Record(); !strings.HasPrefix(value, "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA") {
		t.Errorf("%s", value)
	}
	if _, _, err := (dkim.Key{Domain: "example.com"}).Record(); err == nil {
		t.Error("a record of no key")
	}
}

func TestParseKey(t *testing.T) {
	one, two := readFile(t, rsaKey), readFile(t, ed25519Key)
	for _, text := range []string{one, two, readFile(t, "rsa2048.pkcs1.pem"), "a key:\n" + one + "that was it\n",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + two} {
		if k, err := dkim.ParseKey([]byte(text)); err != nil || k == nil {
			t.Errorf("%.50q: %v", text, err)
		}
	}
	for want, text := range map[string]string{
		"no private key in PEM form":             "",
		"in PEM form":                            strings.ReplaceAll(one, "-----BEGIN", "----BEGIN"),
		"more than one":                          one + two,
		"ENCRYPTED PRIVATE KEY: is encrypted":    readFile(t, "encrypted.pem"),
		"RSA PRIVATE KEY: is encrypted":          readFile(t, "encrypted.pkcs1.pem"),
		"PRIVATE KEY: *ecdsa.PublicKey is neith": readFile(t, "ec.pem"),
		"RSA of 1024 bits is too weak":           readFile(t, "rsa1024.pem"),
		"PRIVATE KEY: asn1":                      "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"in more than 65536 octets":              strings.Repeat(" ", 65537),
		"more than 4096 octets":                  "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("AAAA\n", 1400) + "-----END PRIVATE KEY-----\n",
	} {
		if k, err := dkim.ParseKey([]byte(text)); err == nil || k != nil || !strings.HasPrefix(err.Error(), "dkim: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("not %q: %v", want, err)
		}
	}
}

func readFile(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
