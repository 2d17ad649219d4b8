package unsubscribe_test

import (
	"bytes"
	"net/mail"
	"strings"
	"testing"

	"github.com/postroad/postroad/delivery/unsubscribe"
)

const (
	link   = "https://news.example/unsubscribe?token=abc-_123"
	mailto = "mailto:leave@news.example?subject=leave%20bob"
)

func TestFields(t *testing.T) {
	for _, c := range []struct{ name, link, mailto, want string }{
		{"both", link, mailto, "List-Unsubscribe: <" + link + ">,\r\n <" + mailto + ">\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"},
		{"a link", link, "", "List-Unsubscribe: <" + link + ">\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"},
		{"an address", "", mailto, "List-Unsubscribe: <" + mailto + ">\r\n"},
		{"a port and a comma", "https://news.example:8443/a,b", "", "List-Unsubscribe: <https://news.example:8443/a,b>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"},
	} {
		f, err := unsubscribe.NewFields(c.link, c.mailto)
		if err != nil || f.String() != c.want {
			t.Errorf("%s: %q, %v", c.name, f.String(), err)
		}
	}
}

func TestFieldsAreChecked(t *testing.T) {
	for _, c := range []struct{ name, link, mailto string }{
		{"nothing", "", ""},
		{"not https", "http://news.example/u", ""},
		{"no host", "https:///u", ""},
		{"no URL", "news.example/u", ""},
		{"a line end", "https://news.example/u\r\nBcc: eve@example.org", ""},
		{"a space", "https://news.example/u nsubscribe", ""},
		{"an angle bracket", "https://news.example/u>,<http://bad.example/", ""},
		{"UTF-8", "https://news.example/ü", ""},
		{"half an escape", "https://news.example/%2", ""},
		{"a user", "https://bob@news.example/u", ""},
		{"a fragment", "https://news.example/#u", ""},
		{"no line for it", "https://news.example/" + strings.Repeat("u", 900), ""},
		{"a link for an address", link, "https://news.example/u"},
		{"an address that is no URI", link, "leave@news.example"},
		{"a mailto without an address", link, "mailto:leave"},
		{"a line end in the mailto", link, "mailto:leave@news.example\r\nBcc: eve@example.org"},
		{"no line for the mailto", link, "mailto:leave@news.example?body=" + strings.Repeat("u", 900)},
	} {
		if f, err := unsubscribe.NewFields(c.link, c.mailto); err == nil || f != (unsubscribe.Fields{}) {
			t.Errorf("%s: %q, %v", c.name, f, err)
		}
	}
}

// FuzzNewFields: whatever is taken is two fields, and no more.
func FuzzNewFields(f *testing.F) {
	f.Add(link, mailto)
	f.Add(link, "")
	f.Add("", mailto)
	f.Fuzz(func(t *testing.T, link, mailto string) {
		fields, err := unsubscribe.NewFields(link, mailto)
		if err != nil {
			return
		}
		s := fields.String()
		m, err := mail.ReadMessage(bytes.NewReader([]byte(s + "\r\nbody")))
		if err != nil || len(m.Header) != 1+min(len(link), 1) {
			t.Fatalf("%q is read as %v, %v", s, m, err)
		}
		for line := range strings.SplitSeq(s, "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
				t.Errorf("a line is %q", line)
			}
		}
		if got := m.Header.Get("List-Unsubscribe"); got != fields.ListUnsubscribe || strings.Count(got, "<") != strings.Count(got, ">") {
			t.Errorf("%q is read as %q", s, got)
		}
	})
}
