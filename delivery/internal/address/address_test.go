package address

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	l63 := strings.Repeat("a", 63)
	tests := []struct {
		in, want string
		utf8     bool
	}{
		{in: "ann@example.com", want: "ann@example.com"},
		{in: "Ann.B+tag@EXAMPLE.Com", want: "Ann.B+tag@example.com"},
		{in: "root@localhost", want: "root@localhost"},
		{in: "!#$%&'*+-/=?^_`{|}~@example.com", want: "!#$%&'*+-/=?^_`{|}~@example.com"},
		{in: `"ann"@example.com`, want: "ann@example.com"},
		{in: `"a\nn"@example.com`, want: "ann@example.com"},
		{in: `"a@b"@example.com`, want: `"a@b"@example.com`},
		{in: `"a\"\\b"@example.com`, want: `"a\"\\b"@example.com`},
		{in: `"a..b"@example.com`, want: `"a..b"@example.com`},
		{in: `""@example.com`, want: `""@example.com`},
		{in: "ann@[192.0.2.1]", want: "ann@[192.0.2.1]"},
		{in: "ann@[ipv6:2001:DB8:0::1]", want: "ann@[IPv6:2001:db8::1]"},
		{in: "ann@bücher.example", want: "ann@xn--bcher-kva.example"},
		{in: "ann@BÜCHER。example", want: "ann@xn--bcher-kva.example"},
		{in: "jürgen@bücher.example", want: "jürgen@xn--bcher-kva.example", utf8: true},
		{in: `"jür@gen"@example.com`, want: `"jür@gen"@example.com`, utf8: true},
		{in: "ann@r3---sn.example", want: "ann@r3---sn.example"},
		{in: strings.Repeat("a", 64) + "@example.com", want: strings.Repeat("a", 64) + "@example.com"},
		{in: "a@" + l63 + "." + l63 + "." + l63 + ".example", want: "a@" + l63 + "." + l63 + "." + l63 + ".example"},
	}
	for _, tt := range tests {
		a, err := Parse(tt.in)
		if err != nil || a.String() != tt.want || a.UTF8 != tt.utf8 {
			t.Errorf("Parse(%q) = %q, UTF8 %v, %v; want %q, %v", tt.in, a, a.UTF8, err, tt.want, tt.utf8)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	l63 := strings.Repeat("a", 63)
	tests := []struct{ in, why string }{
		{"", "is empty"},
		{"ann", "no domain"},
		{"ann@", "no domain"},
		{`"ann"@`, "no domain"},
		{`"ann"example.com`, "no domain"},
		{"@example.com", "no local part"},
		{"@a.example,@b.example:ann@example.com", "no local part"},
		{"ann@example.com\r\nRCPT TO:<eve@example.com>", "control"},
		{"ann@example.com\r\nDATA", "control"},
		{"ann\x00@example.com", "control"},
		{"ann\t@example.com", "control"},
		{"\"ann\r\"@example.com", "control"},
		{"ann\u202e@example.com", "U+202E"},
		{"ann\u00a0@example.com", "U+00A0"},
		{"ann\u0085@example.com", "U+0085"},
		{"ann\xff@example.com", "not UTF-8"},
		{"ann b@example.com", "must be quoted"},
		{" ann@example.com", "must be quoted"},
		{`"ann b"@example.com`, "has a space"},
		{`"ann\ b"@example.com`, "has a space"},
		{"ann@example.com ", "other than letters"},
		{"ann@example.com SIZE=1", "other than letters"},
		{"ann@example.com> SIZE=1", "angle bracket"},
		{`"ann> SIZE=1"@example.com`, "angle bracket"},
		{"<ann@example.com>", "angle bracket"},
		{"a..b@example.com", "must be quoted"},
		{".a@example.com", "must be quoted"},
		{"a.@example.com", "must be quoted"},
		{"a(comment)@example.com", "must be quoted"},
		{`"ann@example.com`, "doesn't end"},
		{`"ann\`, "backslash"},
		{`"ann\ü"@example.com`, "backslash"},
		{"ann@example.com.", "dot at its end"},
		{"ann@.example.com", "empty label"},
		{"ann@example..com", "empty label"},
		{"ann@b@example.com", "other than letters"},
		{"ann@exa_mple.com", "other than letters"},
		{"ann@-example.com", "hyphen"},
		{"ann@example-.com", "hyphen"},
		{"ann@192.0.2.1", "ends in a number"},
		{"ann@[192.0.2]", "literal"},
		{"ann@[192.0.2.1", "literal"},
		{"ann@[192.0.2.1].example", "literal"},
		{"ann@[2001:db8::1]", "literal"},
		{"ann@[IPv6:192.0.2.1]", "literal"},
		{"ann@[IPv6:fe80::1%eth0]", "literal"},
		{"ann@[IPv6:]", "literal"},
		{"ann@ex\u2028ample.com", "control"},
		{"ann@\u0301a.example", "internationalised"},
		{strings.Repeat("a", 65) + "@example.com", "local part has more than 64"},
		{"ann@" + l63 + "a.example", "label of more than 63"},
		{"ann@" + strings.Repeat("a.", 128) + "com", "domain has more than 255"},
		{"annabella@" + l63 + "." + l63 + "." + l63 + "." + strings.Repeat("a", 60), "more than 254"},
		{strings.Repeat("a", 5000) + "@example.com", "too long"},
	}
	for _, tt := range tests {
		a, err := Parse(tt.in)
		if err == nil {
			t.Errorf("Parse(%q) = %q, want an error", tt.in, a)
			continue
		}
		if !strings.Contains(err.Error(), tt.why) {
			t.Errorf("Parse(%q): %v; want it to say %q", tt.in, err, tt.why)
		}
		if strings.ContainsAny(err.Error(), "\r\n\x00\t\u202e") || len(err.Error()) > 700 {
			t.Errorf("Parse(%q): the error has raw controls or is long: %q", tt.in, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"ann@example.com", `"a b\""@[IPv6:2001:db8::1]`, "jürgen@bücher.example", "ann@[192.0.2.1]", "a\r\n@b", `"a>b"@c`,
		"ann@ex。ample.", "ann@xn--a", "ann@ß.example", `"\`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			if a != (Address{}) {
				t.Errorf("Parse(%q) = %q with %v", s, a, err)
			}
			return
		}
		again, err := Parse(a.String())
		if err != nil || again != a {
			t.Errorf("Parse(%q) = %q, and that parses to %q, %v", s, a, again, err)
		}
		if strings.ContainsAny(a.String(), "\r\n\x00<>") {
			t.Errorf("Parse(%q) = %q", s, a)
		}
		if !strings.HasPrefix(a.Local, `"`) && strings.ContainsAny(a.String(), " \"\\") || strings.Contains(a.Domain, " ") {
			t.Errorf("Parse(%q) = %q, with an unquoted space", s, a)
		}
		if len(a.String()) > maxTotal {
			t.Errorf("Parse(%q) = %q, too long", s, a)
		}
	})
}
