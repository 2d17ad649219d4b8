package reencode

// quoted makes quoted-printable (RFC 2045, section 6.7) of a leaf.
type quoted struct {
	line    softLine
	blank   byte // white space that may turn out to be at the end of its line, where it must be encoded; 0 if there is none
	pending bool // the last line has ended
}

func (q *quoted) text(out, text []byte, _ bool) ([]byte, error) {
	if q.pending {
		out, q.pending = q.line.end(out), false
	}
	for _, c := range text {
		if q.blank != 0 {
			out, q.blank = q.line.literal(out, q.blank), 0
		}
		switch {
		case c == ' ' || c == '\t':
			q.blank = c
		case c < ' ' || c > '~' || c == '=':
			out = q.line.escaped(out, c)
		default:
			out = q.line.literal(out, c)
		}
	}
	return out, nil
}

func (q *quoted) endLine(out []byte) []byte {
	if q.blank != 0 {
		out, q.blank = q.line.escaped(out, q.blank), 0
	}
	q.pending = true
	return out
}

func (q *quoted) end(out []byte, _ bool) []byte {
	if !q.pending {
		return out
	}
	return q.line.end(out)
}

// longQuoted is a leaf that is in quoted-printable already. Its long lines are broken.
type longQuoted struct {
	verbatim
	line softLine
}

func (l *longQuoted) text(out, text []byte, long bool) ([]byte, error) {
	if !long {
		return append(out, text...), nil
	}
	for _, c := range text {
		if c == '=' {
			out = l.line.room(out, 3) // for the two digits, too
		}
		out = l.line.literal(out, c)
	}
	return out, nil
}

func (l *longQuoted) endLine(out []byte) []byte { return l.line.end(out) }

// softLine is a line in quoted-printable that is broken where it gets too long.
type softLine struct{ column int }

// literal appends c as it is, unless that could make a delimiter of what follows a soft line break.
func (l *softLine) literal(out []byte, c byte) []byte {
	out = l.room(out, 1)
	if l.column == 0 && c == '-' {
		return l.escaped(out, c)
	}
	l.column++
	return append(out, c)
}

func (l *softLine) escaped(out []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	out = l.room(out, 3)
	l.column += 3
	return append(out, '=', digits[c>>4], digits[c&15])
}

// room sees to it that n more octets fit on the line, beside the "=" that breaks it.
func (l *softLine) room(out []byte, n int) []byte {
	if l.column+n < maxEncoded {
		return out
	}
	l.column = 0
	return append(out, "=\r\n"...)
}

func (l *softLine) end(out []byte) []byte {
	l.column = 0
	return append(out, "\r\n"...)
}
