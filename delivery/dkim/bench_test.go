package dkim_test

import (
	"strings"
	"testing"

	"github.com/postroad/postroad/delivery/dkim"
)

// BenchmarkSign signs a message of 10 KiB with one key or both, and one of 25 MB.
func BenchmarkSign(b *testing.B) {
	rsa, ed25519 := newKey(b, "example.com", "r", rsaKey), newKey(b, "example.com", "e", ed25519Key)
	line := strings.Repeat("0123456789", 7) + "12345678\r\n"
	for _, bm := range []struct {
		name string
		keys []dkim.Key
		size int
	}{
		{"RSA", []dkim.Key{rsa}, 10 << 10},
		{"Ed25519", []dkim.Key{ed25519}, 10 << 10},
		{"both", []dkim.Key{rsa, ed25519}, 10 << 10},
		{"both/25MB", []dkim.Key{rsa, ed25519}, 25_000_000},
	} {
		b.Run(bm.name, func(b *testing.B) {
			s, text := newSigner(b, bm.keys...), []byte(strings.Repeat(line, bm.size/len(line)))
			b.SetBytes(int64(bm.size))
			b.ReportAllocs()
			for b.Loop() {
				signature, err := s.Sign([]byte(header))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := signature.Write(text); err != nil {
					b.Fatal(err)
				}
				if _, err := signature.Fields(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
