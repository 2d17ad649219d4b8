package smtpclient

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
)

const maxText = 2048 // octets of Reply.Text

func (r Reply) class() int { return r.Code / 100 }

// misunderstood reports whether the server says that it doesn't understand, so that somebody has a bug.
func (r Reply) misunderstood() bool { return r.Code >= 500 && r.Code <= 509 || r.Code == 555 }

// full reports whether r refuses a recipient because there are too many, if others were accepted before (RFC 5321, section
// 4.5.3.1.10), rather than because of a mailbox.
func (r Reply) full() bool {
	return r.tooMany() || (r.Code == 452 || r.Code == 552) && r.Enhanced[1] != 2
}

// tooMany reports whether r says that in so many words, as OpenSMTPD does with 451 4.5.3.
func (r Reply) tooMany() bool {
	return (r.class() == 4 || r.Code == 552) && r.Enhanced[1] == 5 && r.Enhanced[2] == 3
}

// blames returns those of the extensions used in a command that may be why r refuses it: any, if it speaks of neither the
// order of commands nor an address; SMTPUTF8, if it says that (RFC 6531, section 3.5).
func (r Reply) blames(extensions []string) []string {
	switch {
	case r.Enhanced[1] == 6 && r.Enhanced[2] == 7:
		return slices.DeleteFunc(extensions, func(keyword string) bool { return keyword != "SMTPUTF8" })
	case r.misunderstood() && r.Code != 503 && r.Enhanced[1] != 1:
		return extensions
	}
	return nil
}

// reply makes of a what a log, a report or a person may see.
func (a answer) reply() Reply {
	r := Reply{Code: a.code}
	for i, line := range a.lines {
		enhanced, text, ok := cutEnhanced(a.code, line)
		if ok {
			r.Enhanced = enhanced // that of the last line that has one
		}
		if text = printable(text); i > 0 {
			text = r.Text + "\n" + text
		}
		r.Text = bounded(text)
	}
	return r
}

// cutEnhanced splits the enhanced status code (RFC 2034, RFC 3463) from the text of a reply line. It is believed only if
// its class is that of the reply's code. "#5.1.1" is accepted, the beginning of an IP address or a version isn't.
func cutEnhanced(code int, line string) (enhanced smtp.EnhancedCode, text string, ok bool) {
	rest := strings.TrimPrefix(strings.TrimLeft(line, " \t"), "#")
	for i := range enhanced {
		n := 0
		for n < len(rest) && n < 4 && rest[n] >= '0' && rest[n] <= '9' {
			enhanced[i] = enhanced[i]*10 + int(rest[n]-'0')
			n++
		}
		if n == 0 || n > 3 {
			return smtp.EnhancedCode{}, line, false
		}
		rest = rest[n:]
		if i < len(enhanced)-1 {
			if !strings.HasPrefix(rest, ".") {
				return smtp.EnhancedCode{}, line, false
			}
			rest = rest[1:]
		}
	}
	if enhanced[0] != code/100 || enhanced[0] == 3 {
		return smtp.EnhancedCode{}, line, false
	}
	if rest != "" && !strings.ContainsRune(" \t:;,", rune(rest[0])) {
		return smtp.EnhancedCode{}, line, false
	}
	return enhanced, strings.TrimLeft(rest, " \t:;,"), true
}

// printable replaces whatever isn't printable UTF-8, such as escape sequences and bidirectional controls.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}

// bounded cuts s at a character's end.
func bounded(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
