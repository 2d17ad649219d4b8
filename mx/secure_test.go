package mx_test

import (
	"slices"
	"testing"

	"github.com/postroad/postroad/mx"
)

// Hosts say who has chosen them: an answer that was validated or not, for the domain or for what it is an alias of, or the
// host program.
func TestSecureHosts(t *testing.T) {
	s := newServer(t,
		"signed.example MX 10 mx.plain.example", "plain.example MX 10 mx.signed.example",
		"implicit.signed.example A 127.0.0.1", "mx.plain.example A 127.0.0.1", "mx.signed.example A 127.0.0.1",
		"alias.signed.example CNAME signed.example.", "leaves.signed.example CNAME plain.example.",
	)
	for _, name := range []string{"signed.example", "implicit.signed.example", "mx.signed.example", "alias.signed.example", "leaves.signed.example"} {
		s.SetAuthentic(name, true)
	}
	resolver := &mx.Resolver{DNS: s.DNS(), AllowPrivate: true}
	relay := &mx.Relay{Host: "mx.plain.example", DNS: s.DNS()}
	for _, c := range []struct {
		router  mx.Router
		domain  string
		secure  bool
		domains []string
	}{
		{resolver, "signed.example", true, []string{"signed.example"}},
		{resolver, "Signed.Example.", true, []string{"signed.example"}},
		{resolver, "plain.example", false, []string{"plain.example"}},
		{resolver, "implicit.signed.example", true, []string{"implicit.signed.example"}},
		{resolver, "mx.plain.example", false, []string{"mx.plain.example"}},
		{resolver, "alias.signed.example", true, []string{"alias.signed.example", "signed.example"}},
		{resolver, "leaves.signed.example", false, []string{"leaves.signed.example", "plain.example"}},
		{resolver, "[127.0.0.1]", false, nil},
		{relay, "plain.example", true, nil},
	} {
		route, err := c.router.Route(t.Context(), c.domain)
		if err != nil {
			t.Errorf("%s: %v", c.domain, err)
			continue
		}
		if h := route.Hosts[0]; h.Secure != c.secure || !slices.Equal(h.Domains, c.domains) {
			t.Errorf("%T to %s: secure %v, domains %q", c.router, c.domain, h.Secure, h.Domains)
		}
	}
}
