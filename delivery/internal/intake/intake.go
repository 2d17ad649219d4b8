// Package intake is the way of a message into the queue: it streams past once, is checked, brought to the form in which it
// is stored, and hashed.
//
// # Line ends
//
// LF and CRLF both end a line, and each becomes one CRLF. A CR that no LF follows is refused: read as a line end it would
// let a field's text begin a new field, and left alone it is what SMTP smuggling is made of. NUL is refused, and so are
// lines of more than 998 octets without their line end (RFC 5322, section 2.1.1). A last line without an end gets one. So
// CR and LF leave a [Reader] only as CRLF.
//
// # Header section
//
// The header section ends before the first empty line; that line and what follows are the body part. A message that ends
// without an empty line is all header section. One that starts with an empty line has no fields. One whose first line is
// not a field has no fields either: it is a body whose empty line was left out, and gets it. A later line that is neither a
// field nor a continuation is refused, since nobody can tell whether the fields after it, a Bcc perhaps, are meant as such.
//
// Bcc and Resent-Bcc fields are removed with their continuation lines; Date and Message-ID are added at the end if the
// section has none (RFC 6409, section 8). All else stays octet for octet.
package intake

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"
	"unicode/utf8"
)

// DefaultMaxHeader is the limit of a header section unless Options has another.
const DefaultMaxHeader = 256 << 10

const (
	maxLine     = 998 // octets without the line end
	blockSize   = 16 << 10
	usualHeader = 1 << 10
)

// Reasons of an [*Error], which wraps one of them.
var (
	ErrTooLarge  = errors.New("too large")
	ErrMalformed = errors.New("malformed")
)

// Error says what is wrong with a message.
type Error struct {
	Field  string // "header" or "body"
	Line   int    // where in the message, from 1
	Reason string
	Err    error // ErrTooLarge or ErrMalformed
}

// Error names the part, the line and the reason.
func (e *Error) Error() string { return fmt.Sprintf("%s, line %d: %s", e.Field, e.Line, e.Reason) }

// Unwrap returns ErrTooLarge or ErrMalformed.
func (e *Error) Unwrap() error { return e.Err }

// Options say what to add to a message and how large it may be.
type Options struct {
	// Now is the value of a Date field that is added.
	Now time.Time
	// MessageID is the value, with its angle brackets, of a Message-ID field that is added. If it is empty none is.
	MessageID string
	// MaxSize is how many octets the message may have, line ends counted as CRLF, before fields are added and removed.
	// Defaults to no limit.
	MaxSize int64
	// MaxHeader is how many octets of header fields are held in memory. Defaults to DefaultMaxHeader.
	MaxHeader int
}

// Facts are what was learned about a message while it went by.
type Facts struct {
	Digest         [32]byte // SHA-256 of exactly the octets that were read
	Size           int64    // octets of the message as stored: head and body part
	EightBit       bool     // the message has octets above 127, in its header section or its body
	HeaderUTF8     bool     // the header section has octets above 127, and is UTF-8
	MessageID      string   // with its angle brackets, the added one included; "" if there is none of sane form
	Received       int      // number of Received fields
	TLSOptional    bool     // there is one TLS-Required field, and it says No (RFC 8689)
	AddedDate      bool
	AddedMessageID bool
}

// Reader reads a message and gives its body part: the empty line after the header section and the body. The header
// section is held back for Head. Its memory is bounded by Options.MaxHeader and two blocks, whatever the size of the body.
type Reader struct {
	src     io.Reader
	opts    Options
	digest  hash.Hash
	*blocks       // nil before the first Read, and after the last
	given   int   // octets of out that Read has given
	err     error // sticky, once out is given

	inBody bool
	line   int   // number of the line that is being read
	column int   // octets of it that were taken
	cr     bool  // the last octet was a CR whose LF has not come yet
	size   int64 // octets so far, line ends counted as CRLF
	head   header
	facts  Facts
}

// blocks are the memory of a Reader between its first Read and its last. Made anew for each message they were two
// fifths of all octets that its way in and out allocated, most of it for an out that grows line by line.
type blocks struct {
	block [blockSize]byte
	out   []byte // what block gave of the body part
}

var spareBlocks = sync.Pool{New: func() any { return &blocks{out: make([]byte, 0, blockSize+blockSize/16)} }}

// New returns a Reader for the message that r gives.
func New(r io.Reader, o Options) *Reader {
	if o.MaxHeader <= 0 {
		o.MaxHeader = DefaultMaxHeader
	}
	return &Reader{src: r, opts: o, digest: sha256.New(), line: 1}
}

// Read gives the body part. It ends in io.EOF after the message was read and checked to its end; in an [*Error] if the
// message is refused; in the error of the underlying reader, as it is, if that fails.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.blocks == nil {
		if r.err != nil {
			return 0, r.err
		}
		r.blocks = spareBlocks.Get().(*blocks)
		r.out = r.out[:0]
		r.head.fields = make([]byte, 0, usualHeader)
	}
	for r.given == len(r.out) {
		if r.err != nil {
			spareBlocks.Put(r.blocks)
			r.blocks = nil
			return 0, r.err
		}
		r.err = r.fill()
	}
	n := copy(p, r.out[r.given:])
	r.given += n
	return n, nil
}

// Head returns the header section as it is to be stored before the body part. It is there once Read has returned io.EOF.
func (r *Reader) Head() ([]byte, error) {
	if r.err != io.EOF || r.blocks != nil {
		return nil, errors.New("intake: the message was not read to its end")
	}
	return r.head.fields, nil
}

// Facts returns what was learned. It is complete once Read has returned io.EOF.
func (r *Reader) Facts() Facts { return r.facts }

// fill reads and takes a block; io.EOF means that everything was taken.
func (r *Reader) fill() error {
	r.out, r.given = r.out[:0], 0
	n, err := r.readBlock()
	r.digest.Write(r.block[:n])
	if takeErr := r.take(r.block[:n]); takeErr != nil {
		return takeErr
	}
	if err == io.EOF {
		if err := r.finish(); err != nil {
			return err
		}
	}
	return err
}

func (r *Reader) readBlock() (n int, err error) {
	for range 100 {
		n, err = r.src.Read(r.block[:])
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// take takes the next octets of the message, line by line.
func (r *Reader) take(b []byte) error {
	if !r.facts.EightBit {
		r.facts.EightBit = eightBit(b)
	}
	if r.cr && len(b) > 0 {
		if b[0] != '\n' {
			return r.bareCR()
		}
		r.cr = false
	}
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
			return nil
		}
		if err := r.endLine(); err != nil {
			return err
		}
		b = rest
	}
}

// takeText takes octets of the current line.
func (r *Reader) takeText(text []byte) error {
	r.column += len(text)
	r.size += int64(len(text))
	switch {
	case bytes.IndexByte(text, '\r') >= 0:
		return r.bareCR()
	case bytes.IndexByte(text, 0) >= 0:
		return r.refuse(ErrMalformed, "has a NUL")
	case r.column > maxLine:
		return r.refuse(ErrMalformed, "has more than %d octets", maxLine)
	}
	if r.inBody {
		r.out = append(r.out, text...)
	} else {
		r.head.fields = append(r.head.fields, text...)
	}
	return r.checkSize()
}

// endLine ends the current line, and with it perhaps the header section.
func (r *Reader) endLine() error {
	r.size += 2
	if r.inBody {
		r.out = append(r.out, "\r\n"...)
	} else {
		r.head.fields = append(r.head.fields, "\r\n"...)
		switch r.head.endLine() {
		case broken:
			return r.refuse(ErrMalformed, "is neither a field nor the continuation of one")
		case noField:
			r.size += 2
			r.out = append(r.out, "\r\n"...)
			r.endHeader()
		case empty:
			r.endHeader()
		}
	}
	if err := r.checkSize(); err != nil {
		return err
	}
	r.line++
	r.column = 0
	return nil
}

// endHeader moves the line that ended the header section to the body part.
func (r *Reader) endHeader() {
	r.inBody = true
	r.out = append(r.out, r.head.fields[r.head.start:]...)
	r.head.fields = r.head.fields[:r.head.start]
}

// finish ends the message: its last line, its head and the facts about it.
func (r *Reader) finish() error {
	if r.cr {
		return r.bareCR()
	}
	if r.column > 0 {
		if err := r.endLine(); err != nil {
			return err
		}
	}
	h, f := &r.head, &r.facts
	f.HeaderUTF8 = eightBit(h.fields) && utf8.Valid(h.fields)
	f.Received = h.received
	f.MessageID = h.messageID()
	f.TLSOptional = h.tlsOptional()
	stored := r.size - int64(h.removed)
	before := len(h.fields)
	if !h.date {
		f.AddedDate = true
		h.fields = append(h.fields, "Date: "+r.opts.Now.Format(time.RFC1123Z)+"\r\n"...)
	}
	if !h.id && r.opts.MessageID != "" {
		f.AddedMessageID = true
		f.MessageID = r.opts.MessageID
		h.fields = append(h.fields, "Message-ID: "+r.opts.MessageID+"\r\n"...)
	}
	f.Size = stored + int64(len(h.fields)-before)
	r.digest.Sum(f.Digest[:0])
	return nil
}

func (r *Reader) checkSize() error {
	if r.opts.MaxSize > 0 && r.size > r.opts.MaxSize {
		return r.refuse(ErrTooLarge, "message has more than %d octets", r.opts.MaxSize)
	}
	if len(r.head.fields) > r.opts.MaxHeader {
		return r.refuse(ErrTooLarge, "header section has more than %d octets", r.opts.MaxHeader)
	}
	return nil
}

func (r *Reader) bareCR() error { return r.refuse(ErrMalformed, "has a CR without LF") }

func (r *Reader) refuse(kind error, format string, args ...any) error {
	field := "header"
	if r.inBody {
		field = "body"
	}
	return &Error{Field: field, Line: r.line, Reason: fmt.Sprintf(format, args...), Err: kind}
}

// eightBit reports whether b has octets above 127.
func eightBit(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint64(b)&0x8080808080808080 != 0 {
			return true
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return true
		}
	}
	return false
}
