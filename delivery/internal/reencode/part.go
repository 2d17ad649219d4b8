package reencode

import (
	"errors"
	"fmt"
	"mime"
	"strings"

	"github.com/postroad/postroad/delivery/internal/header"
)

// composite is a multipart that is open: a part that has parts.
type composite struct {
	boundary []byte
	digest   bool // the Content-Type of its parts defaults to message/rfc822 (RFC 2046, section 5.1.5)
}

// maxBoundary is how many octets a boundary may have. RFC 2046, section 5.1.1, has 70, but not all composers do.
const maxBoundary = 200

// fields are what the header section of a part says of the body that follows it.
type fields struct {
	kind     string // the Content-Type in lower case, without its parameters
	params   map[string]string
	encoding string // the Content-Transfer-Encoding in lower case
	version  bool   // there is a MIME-Version
}

// begin decides by its header section what becomes of a part, and returns that section as it must be then.
func (b *Body) begin(section []byte) ([]byte, error) {
	f, err := readFields(section, b.digest)
	if err != nil {
		return nil, err
	}
	switch f.encoding {
	case "", "7bit", "8bit", "binary":
		return b.beginPlain(section, f)
	case "quoted-printable":
		b.beginLeaf(&longQuoted{})
	case "base64":
		b.beginLeaf(&longBase64{})
	default:
		b.beginLeaf(verbatim{})
	}
	return section, nil
}

// beginPlain does the same for a part that has not been encoded.
func (b *Body) beginPlain(section []byte, f *fields) ([]byte, error) {
	class, _, _ := strings.Cut(f.kind, "/")
	switch {
	case f.kind == "message/rfc822" || f.kind == "message/global":
		b.beginHeader(true, false)
	case f.kind == "multipart/signed" || class == "message":
		b.beginLeaf(verbatim{})
	case class == "multipart":
		if err := b.push(f.params["boundary"], f.kind == "multipart/digest"); err != nil {
			return nil, err
		}
		b.beginLeaf(verbatim{})
	case class == "text":
		section = setEncoding(section, "quoted-printable", b.message && !f.version)
		b.beginLeaf(&quoted{})
	default:
		section = setEncoding(section, "base64", b.message && !f.version)
		b.beginLeaf(&encoded{})
	}
	return section, nil
}

// push goes into a multipart. Its boundary must be told from those of the multiparts around it, and so must the delimiter that is
// the last.
func (b *Body) push(boundary string, digest bool) error {
	foreign := func(r rune) bool { return r < ' ' || r > '~' }
	switch {
	case boundary == "" || strings.HasSuffix(boundary, " ") || strings.ContainsFunc(boundary, foreign):
		return errors.New("multipart without a sound boundary")
	case len(boundary) > maxBoundary:
		return fmt.Errorf("multipart with a boundary of more than %d octets", maxBoundary)
	case len(b.stack) == maxDepth:
		return fmt.Errorf("more than %d multiparts in each other", maxDepth)
	}
	for _, around := range b.stack {
		if strings.TrimSuffix(string(around.boundary), "--") == strings.TrimSuffix(boundary, "--") {
			return errors.New("multipart with the boundary of the one around it")
		}
	}
	b.stack = append(b.stack, composite{[]byte(boundary), digest})
	return nil
}

// readFields reads a header section. In a digest it is that of a message unless it says something else.
func readFields(section []byte, digest bool) (*fields, error) {
	f := &fields{}
	var kinds, encodings []string
	for name, field := range header.Fields(section) {
		switch {
		case header.Is(name, "Content-Type"):
			kinds = append(kinds, header.Value(field))
		case header.Is(name, "Content-Transfer-Encoding"):
			encodings = append(encodings, header.Value(field))
		case header.Is(name, "MIME-Version"):
			f.version = true
		}
	}
	switch {
	case len(kinds) > 1 || len(encodings) > 1:
		return nil, errors.New("more than one Content-Type or Content-Transfer-Encoding")
	case len(kinds) == 0 && digest:
		kinds = []string{"message/rfc822"}
	case len(kinds) == 0:
		kinds = []string{"text/plain"}
	}
	var err error
	f.kind, f.params, err = mime.ParseMediaType(kinds[0])
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || !strings.Contains(f.kind, "/") {
		return nil, fmt.Errorf("Content-Type is %.100q, which is no type", kinds[0])
	}
	if len(encodings) == 1 {
		f.encoding = strings.ToLower(encodings[0])
	}
	return f, nil
}

// setEncoding returns section with the name of another encoding, in place of the one it has, and with a MIME-Version if that is
// missing.
func setEncoding(section []byte, encoding string, version bool) []byte {
	out := make([]byte, 0, len(section)+100)
	line, found := "Content-Transfer-Encoding: "+encoding+"\r\n", false
	for name, field := range header.Fields(section) {
		if header.Is(name, "Content-Transfer-Encoding") {
			out, found = append(out, line...), true
		} else {
			out = append(out, field...)
		}
	}
	if version {
		out = append(out, "MIME-Version: 1.0\r\n"...)
	}
	if !found {
		out = append(out, line...)
	}
	return out
}
