package reencode

import (
	"bytes"
	"encoding/base64"
)

// encoded makes base64 (RFC 2045, section 6.8) of a leaf.
type encoded struct {
	octets  [maxEncoded / 4 * 3]byte // of the next line
	n       int                      // how many of them there are
	pending bool                     // the last line has ended
}

func (e *encoded) text(out, text []byte, _ bool) ([]byte, error) {
	if e.pending {
		out, e.pending = e.add(out, []byte("\r\n")), false
	}
	return e.add(out, text), nil
}

func (e *encoded) add(out, b []byte) []byte {
	for len(b) > 0 {
		n := copy(e.octets[e.n:], b)
		e.n += n
		b = b[n:]
		if e.n == len(e.octets) {
			out = e.flush(out)
		}
	}
	return out
}

func (e *encoded) flush(out []byte) []byte {
	out = base64.StdEncoding.AppendEncode(out, e.octets[:e.n])
	e.n = 0
	return append(out, "\r\n"...)
}

func (e *encoded) endLine(out []byte) []byte {
	e.pending = true
	return out
}

func (e *encoded) end(out []byte, delimiter bool) []byte {
	if e.pending && !delimiter {
		out = e.add(out, []byte("\r\n"))
	}
	if e.n > 0 {
		out = e.flush(out)
	}
	return out
}

// longBase64 is a leaf that is in base64 already. Its long lines are broken.
type longBase64 struct {
	verbatim
	column int
}

func (l *longBase64) text(out, text []byte, long bool) ([]byte, error) {
	if !long {
		return append(out, text...), nil
	}
	if bytes.IndexByte(text, '-') >= 0 {
		return out, errTooLong // that isn't base64, and could look like a delimiter at the start of a line
	}
	for _, c := range text {
		if l.column == maxEncoded {
			out, l.column = append(out, "\r\n"...), 0
		}
		l.column++
		out = append(out, c)
	}
	return out, nil
}

func (l *longBase64) endLine(out []byte) []byte {
	l.column = 0
	return append(out, "\r\n"...)
}
