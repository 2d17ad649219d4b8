package mtasts

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const week = 7 * 24 * time.Hour

func TestParsePolicy(t *testing.T) {
	good := &Policy{Enforce, week, []string{"mx1.example.org", "*.example.net"}}
	for name, c := range map[string]struct {
		text string
		want *Policy
	}{
		"CRLF":                {"version: STSv1\r\nmode: enforce\r\nmx: mx1.example.org\r\nmx: *.example.net\r\nmax_age: 604800\r\n", good},
		"bare LF":             {"version: STSv1\nmode: enforce\nmx: mx1.example.org\nmx: *.example.net\nmax_age: 604800\n", good},
		"no end of line":      {"version: STSv1\nmode: enforce\nmx: mx1.example.org\nmx: *.example.net\nmax_age: 604800", good},
		"empty lines":         {"\nversion: STSv1\n\r\nmode: enforce\nmx: mx1.example.org\nmx: *.example.net\nmax_age: 604800\n\n", good},
		"any order":           {"max_age:604800\nmx:mx1.example.org\nmode:enforce\nmx:*.example.net\nversion:STSv1", good},
		"space":               {"version: \t STSv1 \t\r\nmode:  enforce  \nmx: mx1.example.org \nmx: *.example.net\nmax_age: 604800 \n", good},
		"upper case":          {"version: STSv1\nmode: enforce\nmx: MX1.Example.ORG\nmx: *.EXAMPLE.net\nmax_age: 604800", good},
		"unknown fields":      {"version: STSv1\nx-1_a.b: grüße, a=b; c:d\nmode: enforce\nmx: mx1.example.org\nmx: *.example.net\nmax_age: 604800\nmx2: -", good},
		"repeated fields":     {"version: STSv1\nmode: enforce\nmx: mx1.example.org\nmx: *.example.net\nmax_age: 604800\nmode: none\nversion: STSv2\nmax_age: x", good},
		"testing":             {"version: STSv1\nmode: testing\nmx: a\nmax_age: 0", &Policy{Testing, 0, []string{"a"}}},
		"none":                {"version: STSv1\nmode: none\nmax_age: 86400", &Policy{None, 24 * time.Hour, nil}},
		"the greatest age":    {"version: STSv1\nmode: none\nmax_age: 31557600", &Policy{None, 31557600 * time.Second, nil}},
		"more than that":      {"version: STSv1\nmode: none\nmax_age: 9999999999", &Policy{None, 31557600 * time.Second, nil}},
		"100 mx":              {"version: STSv1\nmode: none\nmax_age: 1\n" + strings.Repeat("mx: a\n", 100), &Policy{None, time.Second, strings.Fields(strings.Repeat("a ", 100))}},
		"64 KiB":              {pad("version: STSv1\nmode: none\nmax_age: 1\n", maxPolicy), &Policy{None, time.Second, nil}},
		"101 mx":              {"version: STSv1\nmode: none\nmax_age: 1\n" + strings.Repeat("mx: a\n", 101), nil},
		"over 64 KiB":         {pad("version: STSv1\nmode: none\nmax_age: 1\n", maxPolicy+1), nil},
		"empty":               {"", nil},
		"HTML":                {"<!DOCTYPE html>\n<title>Not found</title>", nil},
		"binary":              {"\x00\xff\xfe", nil},
		"no version":          {"mode: enforce\nmx: a\nmax_age: 1", nil},
		"another version":     {"version: STSv2\nmode: enforce\nmx: a\nmax_age: 1", nil},
		"version's case":      {"version: stsv1\nmode: enforce\nmx: a\nmax_age: 1", nil},
		"field's case":        {"Version: STSv1\nmode: enforce\nmx: a\nmax_age: 1", nil},
		"no mode":             {"version: STSv1\nmx: a\nmax_age: 1", nil},
		"another mode":        {"version: STSv1\nmode: report\nmx: a\nmax_age: 1", nil},
		"mode's case":         {"version: STSv1\nmode: Enforce\nmx: a\nmax_age: 1", nil},
		"no age":              {"version: STSv1\nmode: enforce\nmx: a", nil},
		"a negative age":      {"version: STSv1\nmode: enforce\nmx: a\nmax_age: -1", nil},
		"an age with a sign":  {"version: STSv1\nmode: enforce\nmx: a\nmax_age: +1", nil},
		"an age in words":     {"version: STSv1\nmode: enforce\nmx: a\nmax_age: 1d", nil},
		"an age of 11 digits": {"version: STSv1\nmode: enforce\nmx: a\nmax_age: 00000000001", nil},
		"no mx":               {"version: STSv1\nmode: enforce\nmax_age: 1", nil},
		"an empty mx":         {"version: STSv1\nmode: enforce\nmx: \nmax_age: 1", nil},
		"a U-label":           {"version: STSv1\nmode: enforce\nmx: bücher.example\nmax_age: 1", nil},
		"a dot at the end":    {"version: STSv1\nmode: enforce\nmx: a.example.\nmax_age: 1", nil},
		"a dot for a star":    {"version: STSv1\nmode: enforce\nmx: .a.example\nmax_age: 1", nil},
		"a lone star":         {"version: STSv1\nmode: enforce\nmx: *\nmax_age: 1", nil},
		"part of a label":     {"version: STSv1\nmode: enforce\nmx: mx*.a.example\nmax_age: 1", nil},
		"a star inside":       {"version: STSv1\nmode: enforce\nmx: a.*.example\nmax_age: 1", nil},
		"two stars":           {"version: STSv1\nmode: enforce\nmx: *.*.example\nmax_age: 1", nil},
		"an address":          {"version: STSv1\nmode: enforce\nmx: 192.0.2.1\nmax_age: 1", nil},
		"several mx in one":   {"version: STSv1\nmode: enforce\nmx: a, b\nmax_age: 1", nil},
		"bare CR":             {"version: STSv1\rmode: enforce\rmx: a\rmax_age: 1", nil},
		"a line of text":      {"version: STSv1\nmode: enforce\nmx: a\nmax_age: 1\nhello", nil},
		"space before colon":  {"version : STSv1\nmode: enforce\nmx: a\nmax_age: 1", nil},
		"a byte order mark":   {"\ufeffversion: STSv1\nmode: enforce\nmx: a\nmax_age: 1", nil},
		"a control character": {"version: STSv1\nmode: enforce\nmx: a\nmax_age: 1\nx: a\x07b", nil},
		"not UTF-8":           {"version: STSv1\nmode: enforce\nmx: a\nmax_age: 1\nx: a\xffb", nil},
		"a long name":         {"version: STSv1\nmode: enforce\nmx: a\nmax_age: 1\n" + strings.Repeat("x", 33) + ": a", nil},
	} {
		got, err := ParsePolicy(c.text)
		if !reflect.DeepEqual(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "mtasts: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pad makes a policy of n octets.
func pad(text string, n int) string { return text + "x: " + strings.Repeat("x", n-len(text)-3) }

// Each line is a case of RFC 8461, section 4.1, or of a name that isn't one.
func TestMatch(t *testing.T) {
	p := &Policy{MX: []string{"mail.example.com", "*.example.net", "*.xn--bcher-kva.example", "*.2.1"}}
	for host, want := range map[string]bool{
		"mail.example.com":               true,
		"MAIL.Example.com.":              true,
		"mail.example.com..":             false,
		"a.mail.example.com":             false,
		"example.com":                    false,
		"xmail.example.com":              false,
		"a.example.net":                  true,
		"A.EXAMPLE.NET":                  true,
		"a_1.example.net":                true,
		"example.net":                    false,
		".example.net":                   false,
		"a.b.example.net":                false,
		"aexample.net":                   false,
		"*.example.net":                  false,
		"mx.xn--bcher-kva.example":       true,
		"mx.bücher.example":              false,
		"192.0.2.1":                      false,
		"0.2.1":                          true, // a name, though an odd one
		"2001:db8::1":                    false,
		"":                               false,
		".":                              false,
		"mail.example.com\x00":           false,
		"a.example.net.attacker.test":    false,
		strings.Repeat("a.", 126) + "ab": false,
	} {
		if got := p.Match(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
	if (&Policy{}).Match("mail.example.com") {
		t.Error("a policy without patterns matches")
	}
	if !(&Policy{MX: []string{"*.com"}}).Match("example.com") || (&Policy{MX: []string{"*."}}).Match("com") {
		t.Error("a name of one label")
	}
}

func TestModes(t *testing.T) {
	if got := fmt.Sprint(None, Testing, Enforce, Mode(9)); got != "none testing enforce unknown" {
		t.Error(got)
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add("version: STSv1\r\nmode: enforce\r\nmx: mx1.example.org\r\nmx: *.example.net\r\nmax_age: 604800\r\n")
	f.Add("version:STSv1\nmode:testing\nmode:none\nmx:a\nmax_age:0\nx: ü\n\n")
	f.Add("version: STSv1\nmode: none\nmax_age: 9999999999")
	f.Add("<html>")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePolicy(text)
		if err != nil {
			return
		}
		if p.MaxAge < 0 || p.MaxAge > maxAge*time.Second || len(p.MX) > maxPatterns || len(p.MX) == 0 && p.Mode != None {
			t.Fatalf("%+v", p)
		}
		for _, pattern := range p.MX {
			host, wild := strings.CutPrefix(pattern, "*.")
			if !wild && !p.Match(host) || len(host) < 240 && wild && !p.Match("x."+host) {
				t.Errorf("%q doesn't match its like", pattern)
			}
		}
		if again, err := ParsePolicy(p.String()); err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%+v is %+v, %v the second time", p, again, err)
		}
	})
}
