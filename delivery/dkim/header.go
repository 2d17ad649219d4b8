package dkim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/postroad/postroad/delivery/internal/header"
)

// maxList bounds the list of signed fields, which is in one line, and lines have 998 octets at most.
const maxList = 900

// maxFrom is how many octets a From field may have: enough for a hundred authors.
const maxFrom = 16 << 10

// signed are the names of the fields that are signed; see the package comment. RFC 6376, section 5.4.1, has most of them. From is the
// first.
var signed = [...]signedField{
	{"From", true},
	{"Sender", false},
	{"Reply-To", true},
	{"Subject", true},
	{"Date", true},
	{"Message-ID", true},
	{"To", true},
	{"Cc", true},
	{"MIME-Version", true},
	{"Content-Type", true},
	{"Content-Transfer-Encoding", true},
	{"In-Reply-To", false},
	{"References", false},
	{"Auto-Submitted", false},
	{"List-Id", false},
	{"List-Help", false},
	{"List-Unsubscribe", false},
	{"List-Unsubscribe-Post", false},
	{"List-Subscribe", false},
	{"List-Post", false},
	{"List-Owner", false},
	{"List-Archive", false},
	{"CFBL-Address", false},
	{"CFBL-Feedback-ID", false},
	{"Feedback-ID", false},
}

type signedField struct {
	name   string
	always bool // signed as missing, too
}

// selection is what of a header section is signed.
type selection struct {
	fields []byte   // those that are signed, each on one line
	names  []string // once for each of them, and once more
	from   string   // the value of the From field
}

// selectFields picks what is to be signed out of a header section.
func selectFields(section []byte) (*selection, error) {
	s := &selection{}
	var count [len(signed)]int
	for name, field := range header.Fields(section) {
		i := slices.IndexFunc(signed[:], func(f signedField) bool { return header.Is(name, f.name) })
		if i < 0 {
			continue
		}
		count[i]++
		if err := s.add(field); err != nil {
			return nil, err
		}
		if i == 0 {
			s.from = header.Value(field)
		}
	}
	if count[0] != 1 {
		return nil, fmt.Errorf("%w: there are %d", ErrFrom, count[0])
	}
	size := 0
	for i, f := range signed {
		if count[i] == 0 && !f.always {
			continue
		}
		for range count[i] + 1 {
			s.names = append(s.names, f.name)
		}
		size += (count[i] + 1) * (len(f.name) + 1)
	}
	if size > maxList {
		return nil, fmt.Errorf("%w: fields are repeated too often", ErrHeader)
	}
	return s, nil
}

// add takes a field that is signed. Its lines become one: relaxed canonicalization makes the same of both, and go-msgauth takes time
// that grows with the square of the number of lines.
func (s *selection) add(field []byte) error {
	start := len(s.fields)
	for line := range bytes.SplitSeq(field, []byte("\r\n")) {
		s.fields = append(s.fields, line...)
	}
	if bytes.ContainsAny(s.fields[start:], "\r\n") {
		return fmt.Errorf("%w: a line ends otherwise than with CRLF", ErrHeader)
	}
	s.fields = append(s.fields, "\r\n"...)
	return nil
}

// authorDomain is the domain of the first address in a From field, "" if there is none.
func authorDomain(from string) (string, error) {
	if len(from) > maxFrom {
		return "", fmt.Errorf("%w: it has more than %d octets", ErrFrom, maxFrom)
	}
	domain, err := header.AuthorDomain(from)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrFrom, err)
	}
	if canonical, err := parseDomain(domain); err == nil {
		return canonical, nil
	}
	return strings.ToLower(domain), nil // mail can't go there, but it comes from there
}
