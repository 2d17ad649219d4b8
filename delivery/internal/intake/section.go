package intake

import (
	"bytes"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postroad/postroad/delivery/internal/address"
	"github.com/postroad/postroad/delivery/internal/header"
)

// section is a header section that grows line by line.
type section struct {
	fields []byte // with CRLF line ends; the last line may not have ended yet
	trace  int    // octets of fields that didn't come with the message: its Received field
	start  int    // where the last line starts

	any      bool // there was a field, kept or removed
	removing bool // the current field is removed
	received int
	date, id bool
	from     [2]int  // where in fields the first From field starts and ends
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
)

// newSection returns a section that begins with the trace of this hop.
func newSection(o *Options) section {
	fields := appendReceived(make([]byte, 0, usualHeader), o)
	return section{fields: fields, trace: len(fields), start: len(fields)}
}

// endLine looks at the last line, whose end has come. Only a line of kind field, which gets its CRLF, is done with.
func (s *section) endLine() (kind, error) {
	line := s.fields[s.start:]
	if len(line) == 0 {
		return empty, nil
	}
	switch name := header.Name(line); {
	case len(name) > 0:
		s.startField(name)
	case s.any && line[0] != ' ' && line[0] != '\t':
		return field, errors.New("is neither a field nor the continuation of one")
	case !s.any && bytes.HasPrefix(line, []byte("From ")):
		return field, errors.New(`begins with "From ", as in an mbox file, and is no field`)
	case !s.any:
		return noField, nil
	}
	return field, s.endFieldLine(line)
}

// endFieldLine ends the last line, which is a field's first or a continuation.
func (s *section) endFieldLine(line []byte) error {
	switch {
	case s.removing:
		s.fields = s.fields[:s.start]
		return nil
	case !header.ASCII(line) && !utf8.Valid(line):
		return errors.New("has octets that are not UTF-8")
	case len(line) > maxLine:
		var ok bool
		if s.fields, ok = header.Fold(s.fields[:s.start], bytes.Clone(line)); !ok {
			return errTooLong
		}
	}
	s.fields = append(s.fields, "\r\n"...)
	s.start = len(s.fields)
	if s.current != nil {
		s.current[1] = s.start
	}
	return nil
}

// startField notes that the last line starts the field of this name.
func (s *section) startField(name []byte) {
	s.any, s.removing, s.current = true, false, nil
	is := func(word string) bool { return header.Is(name, word) }
	switch {
	case is("Bcc"), is("Resent-Bcc"), is("Return-Path"):
		s.removing = true
	case is("Date"):
		s.date = true
	case is("Message-ID"):
		s.id = true
	case is("From"):
		if s.from[1] == 0 {
			s.current = &s.from
			s.from[0] = s.start
		}
	case is("TLS-Required"):
		s.tls, s.current = s.tls+1, &s.tlsField
		s.tlsField[0] = s.start
	case is("Received"):
		s.received++
	}
}

// complete adds the fields that are missing, and makes ASCII of the section if it should and can be.
func (s *section) complete(o *Options) {
	if !s.date {
		s.fields = append(s.fields, "Date: "...)
		s.fields = append(o.Now.AppendFormat(s.fields, time.RFC1123Z), "\r\n"...)
	}
	if !s.id {
		s.fields = append(s.fields, "Message-ID: <"+o.ID+"@"+s.idDomain(o)+">\r\n"...)
	}
	if o.UTF8 || header.ASCII(s.fields) {
		return
	}
	if encoded := header.EncodeWords(s.fields); header.ASCII(encoded) {
		s.fields = encoded
	}
}

// idDomain is the domain of a Message-ID that is added: the author's if possible, who must answer for its being unique.
func (s *section) idDomain(o *Options) string {
	if domain := s.authorDomain(); domain != "" {
		return domain
	}
	if o.Domain != "" {
		return o.Domain
	}
	return o.Hostname
}

// authorDomain is the domain of the first address in the first From field, "" if there is none of sane form.
func (s *section) authorDomain() string {
	const worthIt = 8 << 10 // octets of a field that are read for this
	from := s.fields[s.from[0]:s.from[1]]
	if len(from) == 0 || len(from) > worthIt {
		return ""
	}
	domain, err := header.AuthorDomain(header.Value(from))
	if err != nil {
		return ""
	}
	a, err := address.Parse("x@" + domain)
	if err != nil {
		return ""
	}
	return a.Domain
}

// tlsOptional reports whether the section says "TLS-Required: No" (RFC 8689, section 3), once.
func (s *section) tlsOptional() bool {
	return s.tls == 1 && strings.EqualFold(strings.TrimSpace(header.Value(s.fields[s.tlsField[0]:s.tlsField[1]])), "No")
}
