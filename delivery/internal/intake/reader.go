package intake

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/postroad/postroad/delivery/internal/header"
	"github.com/postroad/postroad/delivery/internal/reencode"
)

// Reader reads a message and gives its body part: the empty line after the header section and the body. The header
// section is held back for Head. Its memory is bounded by Options.MaxHeader and a few blocks, whatever the size of the body.
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
	head   section
	parts  *reencode.Body // nil: the body stays as it is
	facts  Facts

	signature Signature // nil: none, or none any more
	unsigned  int       // where in out the body begins that signature has not seen
}

// blocks are the memory of a Reader between its first Read and its last. Made anew for each message they were two
// fifths of all octets that its way in and out allocated, most of it for an out that grows line by line.
type blocks struct {
	block [blockSize]byte
	out   []byte // what block gave of the body part
}

var spareBlocks = sync.Pool{New: func() any { return &blocks{out: make([]byte, 0, blockSize+blockSize/16)} }}

var errTooLong = fmt.Errorf("has more than %d octets", maxLine)

// New returns a Reader for the message that r gives.
func New(r io.Reader, o Options) *Reader {
	if o.MaxHeader <= 0 {
		o.MaxHeader = DefaultMaxHeader
	}
	return &Reader{src: r, opts: o, digest: sha256.New(), line: 1}
}

// Read gives the body part. It ends in io.EOF after the message was read and checked to its end; in an [*Error] if the
// message is refused; in the error of the underlying reader or of the signature, as it is, if that fails.
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
		r.head = newSection(&r.opts)
	}
	for r.given == len(r.out) {
		if r.err != nil {
			spareBlocks.Put(r.blocks)
			r.blocks = nil
			return 0, r.err
		}
		if r.err = r.fill(); r.err != nil && r.err != io.EOF {
			r.Close()
		}
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

// Close gives up the signature of a message that is not read to its end. It does nothing after that end.
func (r *Reader) Close() error {
	signature := r.signature
	r.signature = nil
	if c, ok := signature.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Facts returns what was learned. It is complete once Read has returned io.EOF.
func (r *Reader) Facts() Facts { return r.facts }

// fill reads and takes a block; io.EOF means that everything was taken.
func (r *Reader) fill() error {
	r.out, r.given, r.unsigned = r.out[:0], 0, 0
	n, err := r.readBlock()
	r.digest.Write(r.block[:n])
	if takeErr := r.take(r.block[:n]); takeErr != nil {
		return takeErr
	}
	if err == io.EOF {
		if err := r.endMessage(); err != nil {
			return err
		}
	}
	if signErr := r.pass(); signErr != nil {
		return signErr
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

// pass has a look at what is about to be given, and has it signed.
func (r *Reader) pass() error {
	if !r.facts.EightBit {
		r.facts.EightBit = !header.ASCII(r.out)
	}
	if r.signature == nil {
		return nil
	}
	_, err := r.signature.Write(r.out[r.unsigned:])
	return err
}

// finish puts the signature on top, once everything is signed.
func (r *Reader) finish() error {
	r.digest.Sum(r.facts.Digest[:0])
	signature := r.signature
	if signature == nil {
		return nil
	}
	r.signature = nil
	fields, err := signature.Fields()
	r.head.fields = append(fields[:len(fields):len(fields)], r.head.fields...)
	return err
}

// refuse says what is wrong with the current line.
func (r *Reader) refuse(kind, reason error) error {
	field := "header"
	if r.inBody {
		field = "body"
	}
	return &Error{Field: field, Line: r.line, Reason: reason.Error(), Err: kind}
}

func (r *Reader) bareCR() error { return r.refuse(ErrMalformed, errors.New("has a CR without LF")) }

func (r *Reader) checkSize() error {
	if r.opts.MaxSize > 0 && r.size > r.opts.MaxSize {
		return r.refuse(ErrTooLarge, fmt.Errorf("message has more than %d octets", r.opts.MaxSize))
	}
	if !r.inBody && len(r.head.fields)-r.head.trace > r.opts.MaxHeader {
		return r.refuse(ErrTooLarge, fmt.Errorf("header section has more than %d octets", r.opts.MaxHeader))
	}
	return nil
}
