// Package reencode has the body of a message encoded so that any server takes it: with lines of 998 octets at most (RFC 5321,
// section 4.5.3.1.6), and in ASCII but for what is not up to a message's sender to change.
//
// The message streams past once, so what becomes of a part is decided by its own header section, before the first line of it:
//
//   - Text in 7bit, 8bit, binary or no encoding becomes quoted-printable, and anything else in these becomes base64 (RFC 2045,
//     section 6), whether or not this one has a line that needs it. Its Content-Transfer-Encoding says so.
//   - A part in quoted-printable or base64 stays as it is, except that lines of more than 998 octets are broken where the encoding
//     lets them be.
//   - The parts of a multipart, and of a message within the message, are looked at one by one. The boundaries and all there is
//     around them stay, and so does the Content-Transfer-Encoding of the whole, which says only what there may be.
//   - Others stay as they are: a multipart/signed, whose signature is over its octets (RFC 1847, section 2.1); parts that must be
//     in 7bit, such as a message/delivery-status; parts in an encoding that isn't of RFC 2045.
//
// What stays as it is and has a line of more than 998 octets is refused. Refused is also what nobody can tell the
// meaning of, since a wrong guess would damage it: two fields of one name, a Content-Type that isn't one, a multipart without a
// sound boundary, or with that of the multipart around it, a line in the header section of a part that isn't a field, multiparts
// in each other 50 deep.
//
// What is encoded decodes to the same octets, with CRLF line ends. Memory is bounded by the largest header section of a part, 64 KiB.
package reencode

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/postroad/postroad/delivery/internal/header"
)

const (
	maxLine    = header.MaxLine
	maxEncoded = 76       // octets of a line in quoted-printable or base64
	maxHeader  = 64 << 10 // octets of the header section of a part
	maxDepth   = 50       // multiparts in each other
)

var (
	errTooLong = fmt.Errorf("has more than %d octets, in what must not be encoded", maxLine)
	errNoField = errors.New("is neither a field nor the continuation of one, in the header section of a part")
)

// Body is the body of a message on its way. Its methods append what becomes of the lines they are given to out.
type Body struct {
	line     []byte      // the beginning of the current line, which may be a delimiter
	long     bool        // it is longer than any delimiter, and is given to leaf as it comes
	header   []byte      // the header section of a part that has not ended
	inHeader bool        // there is one
	message  bool        // it is that of a message
	digest   bool        // its Content-Type defaults to message/rfc822
	stack    []composite // the one that the current line is in, and those around it before it
	leaf     leaf        // what the current line is part of, unless inHeader
}

// leaf is what has no parts. Its methods append what becomes of it to out.
type leaf interface {
	// text takes octets of the current line, which is long if it has more than maxLine; if not, these are all of them.
	text(out, text []byte, long bool) ([]byte, error)
	endLine(out []byte) []byte
	// end comes after the last line, whose end is part of the delimiter that follows, if one does (RFC 2046, section 5.1.1).
	end(out []byte, delimiter bool) []byte
}

// New returns what encodes the body of a message, of which it is given the header section, and that section as it must be then.
func New(section []byte) (*Body, []byte, error) {
	b := &Body{message: true}
	section, err := b.begin(section)
	return b, section, err
}

// Text takes octets of the current line.
func (b *Body) Text(out, text []byte) ([]byte, error) {
	if !b.long {
		if len(b.line)+len(text) <= maxLine {
			b.line = append(b.line, text...)
			return out, nil
		}
		if b.inHeader {
			return out, errTooLong
		}
		b.long = true
		var err error
		out, err = b.leaf.text(out, b.line, true)
		b.line = b.line[:0]
		if err != nil {
			return out, err
		}
	}
	return b.leaf.text(out, text, true)
}

// EndLine ends the current line.
func (b *Body) EndLine(out []byte) ([]byte, error) {
	if b.long {
		b.long = false
		return b.leaf.endLine(out), nil
	}
	line := b.line
	b.line = b.line[:0]
	if i, last := b.delimiter(line); i >= 0 {
		out = append(append(b.endPart(out, true), line...), "\r\n"...)
		b.delimit(i, last)
		return out, nil
	}
	if b.inHeader {
		return b.headerLine(out, line)
	}
	out, err := b.leaf.text(out, line, false)
	if err != nil {
		return out, err
	}
	return b.leaf.endLine(out), nil
}

// End ends the body, at the end of a line.
func (b *Body) End(out []byte) []byte { return b.endPart(out, false) }

// endPart ends what the last line was part of. A header section without an empty line has no body to go with it.
func (b *Body) endPart(out []byte, delimiter bool) []byte {
	if b.inHeader {
		return append(out, b.header...)
	}
	return b.leaf.end(out, delimiter)
}

// headerLine takes a line of the header section of a part.
func (b *Body) headerLine(out, line []byte) ([]byte, error) {
	if len(line) == 0 {
		section, err := b.begin(b.header)
		if err != nil {
			return out, fmt.Errorf("ends the header section of a part: %w", err)
		}
		return append(append(out, section...), "\r\n"...), nil
	}
	continues := len(b.header) > 0 && (line[0] == ' ' || line[0] == '\t')
	if !continues && len(header.Name(line)) == 0 {
		return out, errNoField
	}
	if b.header = append(append(b.header, line...), "\r\n"...); len(b.header) > maxHeader {
		return out, fmt.Errorf("makes the header section of a part longer than %d octets", maxHeader)
	}
	return out, nil
}

// beginHeader says that what comes is the header section of a message, or of another part.
func (b *Body) beginHeader(message, digest bool) {
	b.header, b.inHeader, b.message, b.digest = b.header[:0], true, message, digest
}

// beginLeaf says that what comes is part of l.
func (b *Body) beginLeaf(l leaf) { b.leaf, b.inHeader = l, false }

// delimiter finds the multipart that line delimits a part of, -1 if there is none, and whether it was the last.
func (b *Body) delimiter(line []byte) (i int, last bool) {
	if len(b.stack) == 0 || !bytes.HasPrefix(line, []byte("--")) {
		return -1, false
	}
	line = bytes.TrimRight(line[2:], " \t")
	for i := len(b.stack) - 1; i >= 0; i-- {
		if rest, found := bytes.CutPrefix(line, b.stack[i].boundary); found && (len(rest) == 0 || string(rest) == "--") {
			return i, len(rest) > 0
		}
	}
	return -1, false
}

// delimit goes on after a delimiter of multipart i.
func (b *Body) delimit(i int, last bool) {
	if last {
		b.stack = b.stack[:i]
		b.beginLeaf(verbatim{})
		return
	}
	b.stack = b.stack[:i+1]
	b.beginHeader(false, b.stack[i].digest)
}
