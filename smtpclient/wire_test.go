package smtpclient

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// What is just within a bound is taken, and what is just outside isn't.
func TestLimits(t *testing.T) {
	long := "250-" + strings.Repeat("x", 189) + "\r\n" // 195 octets, of which 100 are kept
	for _, c := range []struct {
		name, in string
		ok       bool
	}{
		{"lines", strings.Repeat("250-x\r\n", 9) + "250 x\r\n", true},
		{"one line more", strings.Repeat("250-x\r\n", 10) + "250 x\r\n", false},
		{"octets", strings.Repeat(long, 9) + "250" + strings.Repeat(" ", 240) + "\r\n", true},
		{"one octet more", strings.Repeat(long, 9) + "250" + strings.Repeat(" ", 241) + "\r\n", false},
		{"junk", "a\r\n\r\nc\r\n250 x\r\n", true},
		{"one junk line more", "a\r\n\r\nc\r\nd\r\n250 x\r\n", false},
		{"four digits", "2500 x\r\n", false},
		{"two digits", "25 x\r\n", false},
		{"no SMTP class", "199 x\r\n", false},
		{"not yet a line", "250 x", false},
	} {
		w := newWire(readOnly{r: bytes.NewReader([]byte(c.in))}, testLimits)
		a, err := w.readReply(time.Minute)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, line := range a.lines {
			if len(line) > testLimits.LineBytes-4 {
				t.Errorf("%s: a line of %d octets", c.name, len(line))
			}
		}
		if !c.ok && c.name != "not yet a line" && !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v is no protocol error", c.name, err)
		}
	}
}

func TestReplyOf(t *testing.T) {
	for _, c := range []struct {
		in       string
		enhanced smtp.EnhancedCode
		text     string
	}{
		{"550 5.1.1 no such user", smtp.EnhancedCode{5, 1, 1}, "no such user"},
		{"550 #5.1.1 no", smtp.EnhancedCode{5, 1, 1}, "no"},
		{"550-5.7.1 one\n550 5.7.26 two", smtp.EnhancedCode{5, 7, 26}, "one\ntwo"},
		{"550-5.7.1 one\n550 two", smtp.EnhancedCode{5, 7, 1}, "one\ntwo"},
		{"550 5.7.1: colon", smtp.EnhancedCode{5, 7, 1}, "colon"},
		{"550 5.1.1", smtp.EnhancedCode{5, 1, 1}, ""},
		{"550 4.1.1 another class", smtp.EnhancedCode{}, "4.1.1 another class"},
		{"550 5.1.2.3 is blocked", smtp.EnhancedCode{}, "5.1.2.3 is blocked"},
		{"550 5.1000.1 x", smtp.EnhancedCode{}, "5.1000.1 x"},
		{"550 5.1 x", smtp.EnhancedCode{}, "5.1 x"},
		{"354 3.0.0 x", smtp.EnhancedCode{}, "3.0.0 x"},
		{"550", smtp.EnhancedCode{}, ""},
		{"550 tab\tand\x00\x1b\u202e\xff", smtp.EnhancedCode{}, "tab and????"},
	} {
		w := newWire(readOnly{r: bytes.NewReader([]byte(c.in + "\n"))}, testLimits)
		a, err := w.readReply(time.Minute)
		if r := a.reply(); err != nil || r.Enhanced != c.enhanced || r.Text != c.text {
			t.Errorf("%q: %v %q, %v", c.in, r.Enhanced, r.Text, err)
		}
	}
}

func TestCheckAddress(t *testing.T) {
	for address, ok := range map[string]bool{
		"a@b": true, "a.b+c@d-e.example": true, "..a..@docomo.example": true, "a@under_score.example": true, "a@[127.0.0.1]": true,
		"a@[IPv6:::1]": true, `"a"@b`: true, `"a\"@\\"@b`: true, "ü@ü.example": true, "postmaster": true, "Postmaster": true,
		"": false, "a": false, "@b": false, "a@": false, "a@b..c": false, "a@b.": false, "a@b@c": false, "<a@b>": false, "a b@c": false,
		`"a b"@c`: false, `"a>b"@c`: false, `"a"b"@c`: false, `"a\"@c`: false, `"@b`: false, "a@b c": false, "a\n@b": false, "a@b\r": false,
		"a@b\x00": false, "a\x7f@b": false, "a\u0085@b": false, "a\u2028@b": false, "a\u00a0@b": false, "\xff@b": false, "@x:a@b": false,
		"a@[]": false, "a@[b": false, "a@b]": false, "a@b/c": false, "a,b@c": false, "a(b)@c": false,
		strings.Repeat("x", 318) + "@b": true, strings.Repeat("x", 319) + "@b": false,
	} {
		if reason := checkAddress(address); (reason == "") != ok {
			t.Errorf("%q: %q", address, reason)
		}
	}
}
