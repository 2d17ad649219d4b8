// Package header takes header sections apart into fields, and repairs fields whose form no server need take. A section has CRLF
// line ends, and not the empty line that ends it.
package header

import (
	"bytes"
	"iter"
	"strings"
)

// Name is the name of the field that line starts, empty if it starts none. Space before the colon is obsolete syntax (RFC
// 5322, section 4.5) that readers accept, so a Bcc field must be known by it too.
func Name(line []byte) []byte {
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

// Is reports whether name, as a field has it, is the given one.
func Is(name []byte, given string) bool {
	return len(name) == len(given) && strings.EqualFold(string(name), given)
}

// Fields yields the fields of section, each with its continuation lines and their line ends, and its name.
func Fields(section []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, field []byte) bool) {
		for len(section) > 0 {
			end := fieldEnd(section)
			if !yield(Name(section[:end]), section[:end]) {
				return
			}
			section = section[end:]
		}
	}
}

// fieldEnd is where the first field of section ends.
func fieldEnd(section []byte) int {
	for i := 0; ; {
		n := bytes.IndexByte(section[i:], '\n')
		if n < 0 {
			return len(section)
		}
		i += n + 1
		if i == len(section) || section[i] != ' ' && section[i] != '\t' {
			return i
		}
	}
}

// Value is what field says after the colon, unfolded (RFC 5322, section 2.2.3), without the white space around it.
func Value(field []byte) string {
	_, value, _ := bytes.Cut(field, []byte(":"))
	return strings.ReplaceAll(string(bytes.TrimSpace(value)), "\r\n", "")
}
