package delivery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/postroad/postroad/delivery/internal/intake"
	"github.com/postroad/postroad/queue"
)

// Signer signs messages as they are enqueued, reports included. The package dkim has one. Its methods may be called by several
// goroutines at once; a panic in it is the message's error. A report of failures that can't be signed is tried again until the
// message that it is about has expired, and then goes unsigned.
type Signer interface {
	// Sign begins to sign a message, whose header section, with CRLF line ends and without the empty line that ends it, is as it
	// will be stored. It returns nil if the message is not to be signed. An error refuses the message; it is a [*FieldError] if
	// that message will never be signed. header is neither kept nor changed.
	Sign(header []byte) (Signature, error)
}

// Signature is in the making while the body of a message is written to it: what comes after the empty line that ends the
// header section, as it will be stored, with CRLF line ends. If the message comes to nothing before Fields was called, a Signature that
// is an io.Closer is closed instead; one that isn't is left alone.
type Signature interface {
	io.Writer
	// Fields is called once, after the whole body was written. It returns the header fields to put before all others, each
	// ended with CRLF.
	Fields() ([]byte, error)
}

// sign is what begins the signature of a message on its way in, nil if none is signed.
func (s *Sender) sign() func(header []byte) (intake.Signature, error) {
	if s.config.Signer == nil {
		return nil
	}
	return func(header []byte) (intake.Signature, error) {
		var made Signature
		err := signing(func() (err error) { made, err = s.config.Signer.Sign(header); return err })
		if err != nil || made == nil {
			return nil, err
		}
		return guarded{made}, nil
	}
}

// signed returns a message with its signatures on top, or as it is if it is not to be signed or with an error.
func (s *Sender) signed(message []byte) ([]byte, error) {
	sign := s.sign()
	if sign == nil {
		return message, nil
	}
	head, body, _ := bytes.Cut(message, []byte("\r\n\r\n"))
	signature, err := sign(message[:min(len(head)+2, len(message))])
	if err != nil || signature == nil {
		return message, err
	}
	if _, err := signature.Write(body); err != nil {
		signature.(io.Closer).Close()
		return message, err
	}
	fields, err := signature.Fields()
	if err != nil {
		return message, err
	}
	return slices.Concat(fields, message), nil
}

// guarded is a Signature that doesn't panic.
type guarded struct{ Signature }

func (g guarded) Write(p []byte) (n int, err error) {
	err = signing(func() (err error) { n, err = g.Signature.Write(p); return err })
	return n, err
}

func (g guarded) Fields() (fields []byte, err error) {
	err = signing(func() (err error) { fields, err = g.Signature.Fields(); return err })
	return fields, err
}

func (g guarded) Close() error {
	c, ok := g.Signature.(io.Closer)
	if !ok {
		return nil
	}
	return signing(c.Close)
}

// signing is guard for what a Signer does.
func signing(f func() error) error {
	err := guard(f)
	if _, refused := errors.AsType[*FieldError](err); err == nil || refused {
		return err
	}
	return fmt.Errorf("signing: %w", err)
}

// closeBody gives up what is left of the entry's way in, once the queue is done with it.
func closeBody(e *queue.Entry) {
	if c, ok := e.Body.(io.Closer); ok {
		c.Close() // nothing depends on it
	}
}
