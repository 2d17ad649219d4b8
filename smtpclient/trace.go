package smtpclient

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// trace is the end of a dialogue, in the form of a transcript. Only its first line takes memory.
type trace struct {
	text []byte
	cut  bool // lines were forgotten
}

const (
	maxTrace     = 4 << 10 // octets kept of a session
	maxTraceLine = 256     // octets kept of a line
)

// add notes a line that was said, by "C: " or "S: ".
func (t *trace) add(who, line string) {
	if t.text == nil {
		t.text = make([]byte, 0, maxTrace)
	}
	if len(t.text)+len(who)+maxTraceLine+1 > maxTrace {
		t.forget()
	}
	t.text = append(t.text, who...)
	limit := len(t.text) + maxTraceLine - len("...")
	for i, r := range line {
		if r >= ' ' && r <= '~' && len(t.text) < limit {
			t.text = append(t.text, byte(r))
			continue
		}
		if len(t.text)+utf8.RuneLen(r) > limit {
			t.text = append(t.text, "..."...)
			break
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '?'
		}
		if r == '?' && line[i] == '\t' {
			r = ' '
		}
		t.text = utf8.AppendRune(t.text, r)
	}
	t.text = append(t.text, '\n')
}

// forget makes room: the older half goes.
func (t *trace) forget() {
	end := maxTrace/2 + bytes.IndexByte(t.text[maxTrace/2:], '\n') + 1
	t.text = t.text[:copy(t.text, t.text[end:])]
	t.cut = true
}

func (t *trace) String() string {
	if t.cut {
		return "...\n" + string(t.text)
	}
	return string(t.text)
}

// secrets are what must not be seen in an error or a transcript, even if the server repeats it.
type secrets []string

func (s *secrets) add(secret string) {
	if secret != "" {
		*s = append(*s, secret)
	}
}

func (s *secrets) forget() { *s = nil }

const masked = "***"

// mask hides each secret in text. The beginning of one is enough to know it by: the rest may have been cut off.
func (s secrets) mask(text string) string {
	for _, secret := range s {
		beginning := secret[:min(8, len(secret))]
		at := 0
		for {
			i := strings.Index(text[at:], beginning)
			if i < 0 {
				break
			}
			i += at
			n := len(beginning)
			for n < len(secret) && i+n < len(text) && text[i+n] == secret[n] {
				n++
			}
			text = text[:i] + masked + text[i+n:]
			at = i + len(masked)
		}
	}
	return text
}

// maskReply hides what must not be seen in a line from the server, whose code counts. A challenge isn't to be changed, and
// nobody sees it.
func (s secrets) maskReply(line string) string {
	if s == nil {
		return line
	}
	code, _, _, ok := parseLine(line)
	switch {
	case code == 334:
		return line
	case ok:
		return line[:min(4, len(line))] + s.mask(line[min(4, len(line)):])
	}
	return s.mask(line)
}

// heard notes a line from the server.
func (w *wire) heard(line string) {
	if w.secrets != nil && strings.HasPrefix(line, "334") {
		line = "334 " + masked
	}
	w.trace.add("S: ", line)
}

// say writes a command, which leaves with the next Flush, whose error it is if it can't.
func (w *wire) say(line string) {
	w.trace.add("C: ", w.secrets.mask(line))
	w.w.WriteString(line)
	w.w.WriteString("\r\n")
}
