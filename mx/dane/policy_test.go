package dane

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"github.com/postroad/postroad/mx"
)

// Each record is shown chains that it accepts, and ones that it refuses.
func TestVerify(t *testing.T) {
	root := (*identity)(nil).issue(t, nil)
	middle := root.issue(t, nil)
	leaf := middle.issue(t, nil, "mx.example.org")
	direct := root.issue(t, nil, "mx.example.org")
	old := middle.issue(t, expired, "mx.example.org")
	oldRoot := (*identity)(nil).issue(t, expired)
	underOld := oldRoot.issue(t, nil, "mx.example.org")
	elsewhere := middle.issue(t, nil, "mx.example.net")
	nameless := middle.issue(t, func(c *x509.Certificate) { c.Subject.CommonName, c.IsCA = "mx.example.org", false })
	wildcard := middle.issue(t, nil, "*.example.org")
	client := middle.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "mx.example.org")
	pretender := leaf.issue(t, nil, "mx.example.org") // issued by what is no authority
	self := (*identity)(nil).issue(t, nil, "mx.example.org")
	same := func(i *identity, usage uint8) (list []mx.TLSA) { // by all selectors and matching types
		for selector := range uint8(2) {
			for matching := range uint8(3) {
				list = append(list, i.tlsa(usage, selector, matching))
			}
		}
		return list
	}
	type chain []*identity
	for name, c := range map[string]struct {
		each   []mx.TLSA // each of them says the same
		names  []string  // defaults to the TLSA base domain
		accept []chain
		refuse []chain
	}{
		"end entity": {
			each:   same(leaf, endEntity),
			accept: []chain{{leaf, middle, root}, {leaf}, {leaf, elsewhere}},
			refuse: []chain{{}, {middle}, {direct, leaf}, {elsewhere, middle, root}, {self}},
		},
		"expired end entity": {each: same(old, endEntity), accept: []chain{{old}}, refuse: []chain{{leaf, old}}},
		"end entity with another name": {
			each: same(elsewhere, endEntity), accept: []chain{{elsewhere, middle}}, refuse: []chain{{leaf, middle}},
		},
		"self-signed end entity": {each: same(self, endEntity), accept: []chain{{self}}, refuse: []chain{{leaf}}},
		"root": {
			each:   same(root, anchor),
			accept: []chain{{leaf, middle, root}, {leaf, root, middle}, {direct, root}, {wildcard, middle, root}},
			refuse: []chain{{}, {leaf, root}, {old, middle, root}, {elsewhere, middle, root}, {nameless, middle, root}, {client, middle, root},
				{pretender, leaf, middle, root}, {self, root}, {self, middle, root}, {underOld, oldRoot}},
		},
		"issuer": {
			each:   same(middle, anchor),
			accept: []chain{{leaf, middle, root}, {leaf, middle}, {leaf, root, middle}},
			refuse: []chain{{direct, root}, {direct, middle, root}, {old, middle}, {elsewhere, middle}, {pretender, leaf, middle}},
		},
		"whole root that isn't sent": {
			each:   []mx.TLSA{root.tlsa(anchor, certificate, full), root.tlsa(anchor, publicKey, full)},
			accept: []chain{{leaf, middle}, {direct}},
			refuse: []chain{{leaf}, {old, middle}, {elsewhere, middle}, {client, middle}, {pretender, leaf, middle}, {self}, {underOld}},
		},
		"digest of a root that isn't sent": {
			each:   []mx.TLSA{root.tlsa(anchor, certificate, sha256Hash), root.tlsa(anchor, publicKey, sha512Hash)},
			refuse: []chain{{leaf, middle}, {direct}},
		},
		"whole issuer that isn't sent": {
			each:   []mx.TLSA{middle.tlsa(anchor, certificate, full), middle.tlsa(anchor, publicKey, full)},
			accept: []chain{{leaf}, {leaf, root}},
			refuse: []chain{{direct}, {old}, {elsewhere}, {pretender, leaf}},
		},
		"expired root": {
			each:   []mx.TLSA{oldRoot.tlsa(anchor, certificate, sha256Hash), oldRoot.tlsa(anchor, publicKey, sha256Hash)},
			refuse: []chain{{underOld, oldRoot}},
		},
		"the host's own certificate as an anchor": {
			each: same(self, anchor), accept: []chain{{self}}, refuse: []chain{{leaf}, {leaf, self}},
		},
		"the host's own expired certificate as an anchor": {each: same(old, anchor), refuse: []chain{{old}, {old, middle}}},
		"another name of the domain": {
			each: same(root, anchor), names: []string{"mx.example.com", "example.com", "mx.example.net"},
			accept: []chain{{elsewhere, middle, root}}, refuse: []chain{{leaf, middle, root}},
		},
		"no name": {each: same(root, anchor), names: []string{""}, refuse: []chain{{leaf, middle, root}}},
	} {
		if c.names == nil {
			c.names = []string{"mx.example.org"}
		}
		for _, record := range c.each {
			check := func(chain chain) error {
				var state tls.ConnectionState
				for _, i := range chain {
					state.PeerCertificates = append(state.PeerCertificates, i.Certificate)
				}
				return newPolicy([]mx.TLSA{record}, c.names).verify(state)
			}
			for i, chain := range c.accept {
				if err := check(chain); err != nil {
					t.Errorf("%s, %d %d %d: chain %d is refused: %v", name, record.Usage, record.Selector, record.Matching, i, err)
				}
			}
			for i, chain := range c.refuse {
				if err := check(chain); !errors.Is(err, ErrCertificate) {
					t.Errorf("%s, %d %d %d: chain %d: %v", name, record.Usage, record.Selector, record.Matching, i, err)
				}
			}
		}
	}
}

// One record that fits is enough, as when keys are about to change.
func TestVerifyByAnyRecord(t *testing.T) {
	root := (*identity)(nil).issue(t, nil)
	leaf := root.issue(t, nil, "mx.example.org")
	other := (*identity)(nil).issue(t, nil, "mx.example.org")
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf.Certificate, root.Certificate}}
	for _, fits := range []mx.TLSA{leaf.tlsa(3, 1, 1), leaf.tlsa(3, 0, 0), root.tlsa(2, 1, 1), root.tlsa(2, 0, 0)} {
		list := []mx.TLSA{other.tlsa(3, 0, 1), other.tlsa(2, 0, 1), other.tlsa(2, 1, 0), fits}
		for range list {
			list = append(list[1:], list[0])
			if err := newPolicy(list, []string{"mx.example.org"}).verify(state); err != nil {
				t.Errorf("%d %d %d is overlooked: %v", fits.Usage, fits.Selector, fits.Matching, err)
			}
		}
	}
}

// What one usage says is not said by the other.
func TestUsagesAreApart(t *testing.T) {
	root := (*identity)(nil).issue(t, nil)
	leaf := root.issue(t, nil, "mx.example.net")
	sibling := root.issue(t, nil, "mx.example.org")
	other := (*identity)(nil).issue(t, nil)
	for _, c := range []struct {
		shown *identity
		list  []mx.TLSA
	}{
		{sibling, []mx.TLSA{root.tlsa(3, 0, 1), other.tlsa(2, 0, 1)}},                     // an end entity isn't an anchor
		{sibling, []mx.TLSA{root.tlsa(3, 0, 0), root.tlsa(3, 1, 0), other.tlsa(2, 0, 1)}}, // nor as a whole
		{leaf, []mx.TLSA{leaf.tlsa(2, 1, 1), sibling.tlsa(3, 1, 1)}},                      // an anchor has to prove its name
	} {
		state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.shown.Certificate, root.Certificate}}
		if err := newPolicy(c.list, []string{"mx.example.org"}).verify(state); !errors.Is(err, ErrCertificate) {
			t.Errorf("%+v: %v", c.list, err)
		}
	}
}

func TestUsable(t *testing.T) {
	i := (*identity)(nil).issue(t, nil, "mx.example.org")
	data := func(n int) []byte { return bytes.Repeat([]byte{1}, n) }
	for _, c := range []struct {
		name   string
		record mx.TLSA
		want   bool
	}{
		{"DANE-EE", i.tlsa(3, 1, 1), true},
		{"DANE-TA", i.tlsa(2, 0, 2), true},
		{"whole certificate", i.tlsa(3, 0, 0), true},
		{"whole key", i.tlsa(2, 1, 0), true},
		{"PKIX-TA", i.tlsa(0, 1, 1), false},
		{"PKIX-EE", i.tlsa(1, 1, 1), false},
		{"unknown usage", i.tlsa(4, 1, 1), false},
		{"private usage", i.tlsa(255, 1, 1), false},
		{"unknown selector", mx.TLSA{Usage: 3, Selector: 2, Matching: 1, Data: data(32)}, false},
		{"unknown matching type", mx.TLSA{Usage: 3, Selector: 1, Matching: 3, Data: data(32)}, false},
		{"any digest", mx.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: data(32)}, true},
		{"short digest", mx.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: data(31)}, false},
		{"long digest", mx.TLSA{Usage: 3, Selector: 1, Matching: 2, Data: data(65)}, false},
		{"digest of the other kind", mx.TLSA{Usage: 3, Selector: 1, Matching: 2, Data: data(32)}, false},
		{"no digest", mx.TLSA{Usage: 3, Selector: 1, Matching: 1}, false},
		{"no certificate", mx.TLSA{Usage: 2, Selector: 0, Matching: 0}, false},
		{"not a certificate", mx.TLSA{Usage: 3, Selector: 0, Matching: 0, Data: data(500)}, false},
		{"a key for a certificate", mx.TLSA{Usage: 2, Selector: 0, Matching: 0, Data: i.RawSubjectPublicKeyInfo}, false},
		{"a certificate for a key", mx.TLSA{Usage: 2, Selector: 1, Matching: 0, Data: i.Raw}, false},
		{"more than a certificate", mx.TLSA{Usage: 2, Selector: 0, Matching: 0, Data: append(slices.Clone(i.Raw), 0)}, false},
	} {
		if got := len(usable([]mx.TLSA{c.record})) == 1; got != c.want {
			t.Errorf("%s: usable %v", c.name, got)
		}
	}
}

// A digest that is as good as broken one day doesn't weaken the other.
func TestStrongestDigest(t *testing.T) {
	a := (*identity)(nil).issue(t, nil, "mx.example.org")
	b := (*identity)(nil).issue(t, nil, "mx.example.org")
	broken := mx.TLSA{Usage: 3, Selector: 1, Matching: 2, Data: []byte("short")}
	for name, c := range map[string]struct {
		records []mx.TLSA
		want    bool // that a is accepted
	}{
		"SHA-256 alone":                   {[]mx.TLSA{a.tlsa(3, 1, 1)}, true},
		"both":                            {[]mx.TLSA{a.tlsa(3, 1, 1), a.tlsa(3, 1, 2)}, true},
		"SHA-512 says another":            {[]mx.TLSA{a.tlsa(3, 1, 1), b.tlsa(3, 1, 2)}, false},
		"SHA-512 isn't usable":            {[]mx.TLSA{a.tlsa(3, 1, 1), broken}, true},
		"SHA-512 for the other selector":  {[]mx.TLSA{a.tlsa(3, 1, 1), b.tlsa(3, 0, 2)}, true},
		"SHA-512 for the other usage":     {[]mx.TLSA{a.tlsa(3, 1, 1), b.tlsa(2, 1, 2)}, true},
		"SHA-512 of another, and a whole": {[]mx.TLSA{a.tlsa(3, 1, 0), b.tlsa(3, 1, 2)}, true},
	} {
		state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{a.Certificate}}
		if err := newPolicy(c.records, []string{"mx.example.org"}).verify(state); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A digest is the same for what demands the same, and for nothing else.
func TestPolicyDigest(t *testing.T) {
	a := (*identity)(nil).issue(t, nil, "mx.example.org")
	b := (*identity)(nil).issue(t, nil, "mx.example.org")
	digest := func(names []string, list ...mx.TLSA) string { return newPolicy(list, names).digest() }
	x, y := []string{"mx.example.org", "example.org"}, []string{"mx.example.org", "example.net"}
	want := digest(x, a.tlsa(2, 1, 1), b.tlsa(3, 1, 1))
	for name, got := range map[string]string{
		"another order":   digest(x, b.tlsa(3, 1, 1), a.tlsa(2, 1, 1)),
		"names reordered": digest([]string{"example.org", "mx.example.org", "example.org"}, a.tlsa(2, 1, 1), b.tlsa(3, 1, 1)),
		"twice the same":  digest(x, a.tlsa(2, 1, 1), b.tlsa(3, 1, 1), b.tlsa(3, 1, 1)),
		"one unusable":    digest(x, a.tlsa(2, 1, 1), a.tlsa(1, 1, 1), b.tlsa(3, 1, 1)),
	} {
		if got != want {
			t.Errorf("%s makes a difference", name)
		}
	}
	for name, got := range map[string]string{
		"one less":       digest(x, a.tlsa(2, 1, 1)),
		"another usage":  digest(x, a.tlsa(3, 1, 1), b.tlsa(3, 1, 1)),
		"others swapped": digest(x, b.tlsa(2, 1, 1), a.tlsa(3, 1, 1)),
		"another name":   digest(y, a.tlsa(2, 1, 1), b.tlsa(3, 1, 1)),
	} {
		if got == want {
			t.Errorf("%s makes no difference", name)
		}
	}
	if digest(x, a.tlsa(3, 1, 1)) != digest(y, a.tlsa(3, 1, 1)) {
		t.Error("names make a difference where nobody has to prove one")
	}
}
