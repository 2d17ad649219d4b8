package intake

import (
	"bytes"
	"errors"

	"github.com/postroad/postroad/delivery/internal/header"
	"github.com/postroad/postroad/delivery/internal/reencode"
)

// take takes the next octets of the message, line by line.
func (r *Reader) take(b []byte) error {
	if r.cr && len(b) > 0 {
		if b[0] != '\n' {
			return r.bareCR()
		}
		r.cr = false
	}
	b, _, nul := bytes.Cut(b, []byte{0})
	for {
		text, rest, found := bytes.Cut(b, []byte{'\n'})
		if l := len(text); l > 0 && text[l-1] == '\r' {
			text = text[:l-1]
			r.cr = !found
		}
		if err := r.takeText(text); err != nil {
			return err
		}
		if !found {
			break
		}
		if err := r.endLine(); err != nil {
			return err
		}
		b = rest
	}
	if nul {
		return r.refuse(ErrMalformed, errors.New("has a NUL"))
	}
	return nil
}

// takeText takes octets of the current line.
func (r *Reader) takeText(text []byte) error {
	if bytes.IndexByte(text, '\r') >= 0 {
		return r.bareCR()
	}
	r.column += len(text)
	r.size += int64(len(text))
	if !r.inBody {
		r.head.fields = append(r.head.fields, text...)
	} else if err := r.takeBody(text); err != nil {
		return err
	}
	return r.checkSize()
}

// takeBody takes octets of the current line, which is one of the body.
func (r *Reader) takeBody(text []byte) (err error) {
	switch {
	case r.parts != nil:
		r.out, err = r.parts.Text(r.out, text)
	case r.column > maxLine:
		err = errTooLong
	default:
		r.out = append(r.out, text...)
	}
	if err != nil {
		return r.refuse(ErrMalformed, err)
	}
	return nil
}

// endLine ends the current line, and with it perhaps the header section.
func (r *Reader) endLine() (err error) {
	r.size += 2
	if r.inBody {
		err = r.endBodyLine()
	} else {
		err = r.endHeaderLine()
	}
	if err == nil {
		err = r.checkSize()
	}
	r.line++
	r.column = 0
	return err
}

func (r *Reader) endBodyLine() (err error) {
	if r.parts == nil {
		r.out = append(r.out, "\r\n"...)
	} else if r.out, err = r.parts.EndLine(r.out); err != nil {
		return r.refuse(ErrMalformed, err)
	}
	return nil
}

func (r *Reader) endHeaderLine() error {
	h := &r.head
	kind, err := h.endLine()
	if err != nil {
		return r.refuse(ErrMalformed, err)
	}
	if kind == field {
		return nil
	}
	line := bytes.Clone(h.fields[h.start:])
	h.fields = h.fields[:h.start]
	if err := r.endHeader(); err != nil {
		return err
	}
	r.out = append(r.out, "\r\n"...)
	r.unsigned = len(r.out)
	if kind == empty {
		return nil
	}
	r.size += 2
	if err := r.takeBody(line); err != nil {
		return err
	}
	return r.endBodyLine()
}

// endHeader completes the header section: what comes now is the body.
func (r *Reader) endHeader() (err error) {
	h, f := &r.head, &r.facts
	f.Received, f.TLSOptional = h.received, h.tlsOptional()
	h.complete(&r.opts)
	if r.opts.Reencode {
		if r.parts, h.fields, err = reencode.New(h.fields); err != nil {
			return r.refuse(ErrMalformed, err)
		}
	}
	r.inBody = true
	f.UTF8 = !header.ASCII(h.fields)
	f.EightBit = f.UTF8
	if r.opts.Sign != nil {
		r.signature, err = r.opts.Sign(h.fields)
	}
	return err
}

// endMessage ends the last line, and the header section if no empty line did.
func (r *Reader) endMessage() error {
	if r.cr {
		return r.bareCR()
	}
	if r.column > 0 {
		if err := r.endLine(); err != nil {
			return err
		}
	}
	if !r.inBody {
		return r.endHeader()
	}
	if r.parts != nil {
		r.out = r.parts.End(r.out)
	}
	return nil
}
