package intake

import (
	"bytes"
	"strings"
)

// header is a header section that grows line by line.
type header struct {
	fields []byte // with CRLF line ends; the last line may not have ended yet
	start  int    // where the last line starts

	any      bool // there was a field, kept or removed
	removing bool // the current field is removed
	removed  int  // octets that were removed
	received int
	date, id bool
	idField  [2]int  // where in fields the first Message-ID field starts and ends
	tlsField [2]int  // the same for the last TLS-Required field
	tls      int     // how many of those there are
	current  *[2]int // which of them the current field is, nil if it is neither
}

// kind is what a line of a header section turned out to be.
type kind int

const (
	field   kind = iota // a field or a continuation
	empty               // the end of the section
	noField             // not a field, and there was none before: a body without its empty line
	broken              // neither a field nor a continuation, after a field
)

// endLine looks at the last line, which has just ended with CRLF. Only a line of kind field is done with.
func (h *header) endLine() kind {
	line := h.fields[h.start:]
	if len(line) == 2 {
		return empty
	}
	switch name := fieldName(line); {
	case len(name) > 0:
		h.startField(name)
	case !h.any:
		return noField
	case line[0] != ' ' && line[0] != '\t':
		return broken
	}
	if h.removing {
		h.removed += len(line)
		h.fields = h.fields[:h.start]
	}
	h.start = len(h.fields)
	if h.current != nil {
		h.current[1] = h.start
	}
	return field
}

// startField notes that the last line starts the field of this name.
func (h *header) startField(name []byte) {
	h.any, h.removing, h.current = true, false, nil
	is := func(word string) bool { return len(name) == len(word) && strings.EqualFold(string(name), word) }
	switch {
	case is("Bcc"), is("Resent-Bcc"):
		h.removing = true
	case is("Date"):
		h.date = true
	case is("Message-ID"):
		if !h.id {
			h.id, h.current = true, &h.idField
			h.idField[0] = h.start
		}
	case is("TLS-Required"):
		h.tls, h.current = h.tls+1, &h.tlsField
		h.tlsField[0] = h.start
	case is("Received"):
		h.received++
	}
}

// messageID is the identifier in the first Message-ID field, if its form is sane.
func (h *header) messageID() string {
	value := h.fields[h.idField[0]:h.idField[1]]
	from := bytes.IndexByte(value, '<')
	if from < 0 {
		return ""
	}
	value = value[from:]
	to := bytes.IndexByte(value, '>')
	if to < 0 || to >= maxLine || bytes.ContainsFunc(value[:to+1], func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return ""
	}
	return string(value[:to+1])
}

// tlsOptional reports whether the section says "TLS-Required: No" (RFC 8689, section 3), once.
func (h *header) tlsOptional() bool {
	_, value, _ := bytes.Cut(h.fields[h.tlsField[0]:h.tlsField[1]], []byte(":"))
	return h.tls == 1 && bytes.EqualFold(bytes.TrimSpace(value), []byte("No"))
}

// fieldName is the name of the field that line starts, empty if it starts none. Space before the colon is obsolete syntax (RFC
// 5322, section 4.5) that readers accept, so a Bcc field must be known by it too.
func fieldName(line []byte) []byte {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return nil
	}
	name := bytes.TrimRight(line[:colon], " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return nil
		}
	}
	return name
}
