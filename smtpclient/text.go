package smtpclient

import (
	"bytes"
	"io"
	"slices"
)

// pieceSize is how much of a text is kept: one that isn't larger can go out together with the commands, and once more in
// another transaction without being read again. What is larger is sent in chunks of that size.
const pieceSize = 64 << 10

// text is a body on its way out, piece by piece.
//
// A CR or an LF that stands alone becomes CRLF, and so does the end of an unfinished last line. So there is nothing in it
// that one server takes for the end of a line and another doesn't: no text can end the data early on a server that is
// lenient about line ends. A body that consists of CRLF lines without a NUL stays as it is.
type text struct {
	r      io.Reader
	start  int64  // where r was at the beginning, -1 if it can't be set back
	buf    []byte // the piece, and what has been read behind it
	size   int    // of the piece
	pieces int    // read so far
	held   bool   // the piece has been looked at, and is still to be taken
	ended  bool   // r is
	err    error  // why r can't be read
	inLine bool   // something has been written since the last line end
	cr     bool   // a CR is held back until what follows is known
}

// begin makes x the text of r, which may be nil.
func (x *text) begin(r io.Reader) {
	*x = text{r: r, buf: x.buf[:0], start: -1}
}

// piece is what next has read.
func (x *text) piece() []byte { return x.buf[:x.size] }

// last reports whether nothing follows the piece. A piece that is the last is empty only if all of the text is.
func (x *text) last() bool { return x.ended && x.size == len(x.buf) }

// next reads the next piece, all of it, and enough to know whether it is the last.
func (x *text) next() error {
	if x.held {
		x.held = false
		return nil
	}
	x.buf = append(x.buf[:0], x.buf[x.size:]...)
	x.size = 0
	if x.pieces == 0 {
		x.mark()
	}
	for len(x.buf) <= pieceSize && !x.ended {
		if x.err == nil {
			x.err = x.read()
		}
		if x.err != nil {
			return x.err
		}
	}
	x.pieces++
	x.size = min(len(x.buf), pieceSize)
	return nil
}

// small reads the first piece, which is still to be taken, and reports whether it is the whole text.
func (x *text) small() (bool, error) {
	if x.pieces == 0 {
		if err := x.next(); err != nil {
			return false, err
		}
		x.held = true
	}
	return x.pieces == 1 && x.last(), nil
}

func (x *text) mark() {
	if s, ok := x.r.(io.Seeker); ok {
		if at, err := s.Seek(0, io.SeekCurrent); err == nil {
			x.start = at
		}
	}
}

// rewind begins the text once more, and reports whether that can be done.
func (x *text) rewind() bool {
	if x.pieces <= 1 { // the first is still there
		x.held = x.pieces == 1
		return true
	}
	if x.start < 0 {
		return false
	}
	if _, err := x.r.(io.Seeker).Seek(x.start, io.SeekStart); err != nil {
		return false
	}
	x.begin(x.r)
	return true
}

const maxEmptyReads = 100

func (x *text) read() error {
	if x.r == nil {
		x.end()
		return nil
	}
	for range maxEmptyReads {
		if len(x.buf) == cap(x.buf) {
			x.buf = slices.Grow(x.buf, writeSize)
		}
		room := x.buf[len(x.buf):min(len(x.buf)+writeSize, cap(x.buf))]
		n, err := x.r.Read(room)
		x.add(withoutNUL(room[:n]))
		switch {
		case err == io.EOF:
			x.end()
			return nil
		case err != nil:
			return err
		case n > 0:
			return nil
		}
	}
	return io.ErrNoProgress
}

// withoutNUL removes each NUL from p. Servers that do so themselves, and only then look for the end of the data, would
// find it where there is a dot behind a NUL.
func withoutNUL(p []byte) []byte {
	if bytes.IndexByte(p, 0) < 0 {
		return p
	}
	return slices.DeleteFunc(p, func(c byte) bool { return c == 0 })
}

// add appends p, which was read behind what there is in buf, with its line ends made CRLF. Most texts have no others: they
// stay where they are, and are not taken line by line.
func (x *text) add(p []byte) {
	if !x.cr && len(p) > 0 && onlyCRLF(p) {
		x.buf = x.buf[:len(x.buf)+len(p)]
		x.inLine = p[len(p)-1] != '\n'
		return
	}
	for p = bytes.Clone(p); len(p) > 0; {
		if x.cr {
			if p[0] == '\n' {
				p = p[1:]
			}
			x.endLine()
			continue
		}
		end := bytes.IndexByte(p, '\n')
		line := p
		if end >= 0 {
			line = p[:end]
		}
		cr := bytes.IndexByte(line, '\r')
		switch {
		case cr >= 0 && cr == end-1:
			x.buf = append(x.buf, p[:end+1]...)
			x.inLine = false
			p = p[end+1:]
		case cr >= 0:
			x.line(line[:cr])
			x.cr = true
			p = p[cr+1:]
		case end >= 0:
			x.line(line)
			x.endLine()
			p = p[end+1:]
		default:
			x.line(line)
			p = nil
		}
	}
}

// onlyCRLF reports whether each CR in p is followed by an LF, and each LF comes after a CR.
func onlyCRLF(p []byte) bool {
	left := bytes.Count(p, []byte{'\n'})
	for ; ; left-- {
		cr := bytes.IndexByte(p, '\r')
		if cr < 0 {
			return left == 0
		}
		if cr+1 == len(p) || p[cr+1] != '\n' {
			return false
		}
		p = p[cr+2:]
	}
}

func (x *text) line(p []byte) {
	x.buf = append(x.buf, p...)
	x.inLine = x.inLine || len(p) > 0
}

func (x *text) endLine() {
	x.buf = append(x.buf, "\r\n"...)
	x.cr, x.inLine = false, false
}

// end ends the last line, if that is still to be done.
func (x *text) end() {
	x.ended = true
	if x.cr || x.inLine {
		x.endLine()
	}
}
