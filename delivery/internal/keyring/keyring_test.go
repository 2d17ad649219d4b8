package keyring_test

import (
	"bytes"
	"testing"

	"github.com/postroad/postroad/delivery/internal/keyring"
)

func TestRing(t *testing.T) {
	oldKey, newKey := bytes.Repeat([]byte("o"), 16), bytes.Repeat([]byte("n"), 32)
	before, during, after := keyring.Ring{oldKey}, keyring.Ring{newKey, oldKey}, keyring.Ring{newKey}
	signed := before.Sign(8, "purpose", "word")
	if len(signed) != 8 {
		t.Fatalf("the signature has %d octets", len(signed))
	}
	for _, c := range []struct {
		name  string
		ring  keyring.Ring
		words []string
		want  bool
	}{
		{"the same key", before, []string{"purpose", "word"}, true},
		{"a newer key and the same", during, []string{"purpose", "word"}, true},
		{"a newer key alone", after, []string{"purpose", "word"}, false},
		{"no key", nil, []string{"purpose", "word"}, false},
		{"another purpose", before, []string{"other", "word"}, false},
		{"another border between words", before, []string{"purposew", "ord"}, false},
		{"fewer words", before, []string{"purpose"}, false},
	} {
		if got := c.ring.Verify(signed, c.words...); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	for _, n := range []int{0, 7, 33} {
		if before.Verify(append(signed[:min(n, 8):8], make([]byte, max(n-8, 0))...), "purpose", "word") {
			t.Errorf("a signature of %d octets counts", n)
		}
	}
	if !after.Verify(during.Sign(8, "w"), "w") {
		t.Error("the first key has not signed")
	}
	if during.Check() != nil || (keyring.Ring{newKey, oldKey[1:]}).Check() == nil {
		t.Error("Check doesn't know a short key")
	}
}
