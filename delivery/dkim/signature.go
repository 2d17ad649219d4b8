package dkim

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/emersion/go-msgauth/dkim"
)

// go-msgauth keeps the empty lines that it has read until it knows whether something follows, so that there has to be an end to
// them, and to how much it gets at once.
const (
	maxBlank = 256 << 10
	maxWrite = 32 << 10
)

// signature is the signatures of a message in the making.
type signature struct {
	streams streams
	cleanup runtime.Cleanup
	whole   *atomic.Bool // the message has been written to its end
	blank   int          // octets of white space that were written last
}

// newSignature begins a signature with each of keys.
func newSignature(selected *selection, keys []*key) (*signature, error) {
	s := &signature{whole: new(atomic.Bool)}
	for _, k := range keys {
		stream, err := dkim.NewSigner(&dkim.SignOptions{
			Domain:                 k.Domain,
			Selector:               k.Selector,
			Signer:                 &pen{k, s.whole},
			HeaderCanonicalization: dkim.CanonicalizationRelaxed,
			BodyCanonicalization:   dkim.CanonicalizationRelaxed,
			HeaderKeys:             selected.names,
		})
		if err == nil {
			s.streams = append(s.streams, stream)
			_, err = stream.Write(selected.fields)
		}
		if err == nil {
			_, err = io.WriteString(stream, "\r\n")
		}
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("dkim: %s: %w", k.name(), err)
		}
	}
	// Nobody closes the signature of an entry that a host program has prepared and doesn't store.
	s.cleanup = runtime.AddCleanup(s, func(ss streams) { ss.close() }, s.streams)
	return s, nil
}

// Write takes more of the body.
func (s *signature) Write(p []byte) (n int, err error) {
	for n < len(p) {
		part := p[n:min(n+maxWrite, len(p))]
		if text := bytes.TrimRight(part, " \t\r\n"); len(text) > 0 {
			s.blank = len(part) - len(text)
		} else {
			s.blank += len(part)
		}
		if s.blank > maxBlank {
			return n, refuse(ErrBlank)
		}
		for _, stream := range s.streams {
			if _, err := stream.Write(part); err != nil {
				return n, fmt.Errorf("dkim: %w", err)
			}
		}
		n += len(part)
	}
	return n, nil
}

// Fields signs, with all keys at once.
func (s *signature) Fields() ([]byte, error) {
	if s.streams == nil {
		return nil, fmt.Errorf("dkim: %w", errGivenUp)
	}
	s.whole.Store(true)
	s.cleanup.Stop()
	if err := s.streams.close(); err != nil {
		return nil, fmt.Errorf("dkim: %w", err)
	}
	var fields []byte
	for _, stream := range s.streams {
		fields = append(fields, stream.Signature()...)
	}
	return fields, nil
}

// Close gives up what isn't signed yet.
func (s *signature) Close() error {
	s.cleanup.Stop()
	s.streams.close()
	s.streams = nil
	return nil
}

// streams are the writers that sign, each with a goroutine behind it.
type streams []*dkim.Signer

// close ends them all. A second time it does nothing.
func (ss streams) close() error {
	errs := make([]error, len(ss))
	var all sync.WaitGroup
	for i, stream := range ss {
		all.Go(func() { errs[i] = stream.Close() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// pen is a key in the hand of go-msgauth, which signs whatever it has got when its Signer is closed.
type pen struct {
	key   *key
	whole *atomic.Bool
}

var errGivenUp = errors.New("given up")

// Public returns the key that [New] has seen.
func (p *pen) Public() crypto.PublicKey { return p.key.public }

// Sign signs if the message is whole.
func (p *pen) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	if !p.whole.Load() {
		return nil, errGivenUp
	}
	return p.key.sign(digest)
}
