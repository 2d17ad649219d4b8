package dsn

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	wrapAt  = 76  // octets of a line that we wrap
	maxLine = 998 // octets of any line (RFC 5322, section 2.1.1)
)

// clean makes s printable, on one line and at most MaxText octets long; the spaces it has stay, since a quoted local part may
// have several.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Z) {
			return ' '
		}
		return r
	}, valid(strings.TrimSpace(s), MaxText))
	return strings.TrimSpace(s)
}

// valid is s in UTF-8, cut to n octets.
func valid(s string, n int) string { return cut(strings.ToValidUTF8(cut(s, n), "\uFFFD"), n) }

// cut cuts s to n octets without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for least := n - utf8.UTFMax; n > least && !utf8.RuneStart(s[n]); n-- {
	}
	return s[:n]
}

// words is clean for running text: white space becomes single spaces.
func words(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

// ascii replaces what isn't.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, s)
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// wrap writes s, broken at spaces so that lines stay below wrapAt where words allow it. Each line but the first starts with
// indent; column is how much of the first line is written already.
func wrap(b *bytes.Buffer, s, indent string, column int) {
	for i, word := range strings.Split(s, " ") {
		if i > 0 {
			if column+1+len(word) > wrapAt && word != "" {
				b.WriteString("\r\n" + indent)
				column = len(indent)
			} else {
				b.WriteByte(' ')
				column++
			}
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteString("\r\n")
}

// paragraph writes s, indented and wrapped.
func paragraph(b *bytes.Buffer, indent, s string) {
	b.WriteString(indent)
	wrap(b, s, indent, len(indent))
}

// prose writes text for people: its lines stay, up to MaxProse octets of them, and what can't be printed doesn't. The joiners
// that some scripts can't be written without may stay, too.
func prose(b *bytes.Buffer, text string) {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(valid(text, MaxProse))
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\u200c' || r == '\u200d':
			return r
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Z):
			return ' '
		}
		return r
	}, text)
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		line = strings.TrimRight(line, " \t")
		for len(line) > maxLine {
			n := len(cut(line, maxLine))
			if space := strings.LastIndexByte(line[:n], ' '); space > 0 {
				n = space + 1
			}
			b.WriteString(strings.TrimRight(line[:n], " ") + "\r\n")
			line = line[n:]
		}
		b.WriteString(line + "\r\n")
	}
}

// lines writes text with the line ends, the line length and the octets that mail may have. Text that is in order stays
// as it is.
func lines(b *bytes.Buffer, text []byte) {
	for len(text) > 0 {
		n, end := bytes.IndexAny(text, "\r\n"), 1
		switch {
		case n < 0:
			n, end = len(text), 0
		case bytes.HasPrefix(text[n:], []byte("\r\n")):
			end = 2
		}
		line := bytes.ReplaceAll(text[:n], []byte{0}, []byte{' '})
		for limit := maxLine; len(line) > limit; limit = maxLine - 1 {
			b.Write(line[:maxLine-1])
			b.WriteString("\r\n ") // which continues a field, should it be one
			line = line[maxLine-1:]
		}
		b.Write(line)
		b.WriteString("\r\n")
		text = text[n+end:]
	}
}
