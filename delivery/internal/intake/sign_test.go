package intake

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// signature notes what it is given to sign.
type signature struct {
	header, body       string
	writeErr, fieldErr error
	done, closed       int
}

func (s *signature) Write(p []byte) (int, error) {
	s.body += string(p)
	return len(p), s.writeErr
}

func (s *signature) Fields() ([]byte, error) {
	s.done++
	return []byte("Signature: s\r\n"), s.fieldErr
}

func (s *signature) Close() error {
	s.closed++
	return nil
}

// sign has messages signed with s.
func (s *signature) sign(o Options) Options {
	o.Sign = func(header []byte) (Signature, error) {
		s.header += string(header)
		return s, nil
	}
	return o
}

func TestSignature(t *testing.T) {
	for name, in := range map[string]string{
		"whole":               whole + "\r\nHi\r\n",
		"repaired":            "Bcc: a@b\nSubject: s\n\nHi\nyou",
		"no empty line":       "Subject: s",
		"no fields":           "\r\nHi\r\n",
		"neither of them":     "Hi",
		"nothing":             "",
		"one empty line":      "\r\n",
		"several empty lines": whole + "\r\n\r\n\r\n",
		"large":               whole + "\r\n" + strings.Repeat("Hi\n", 6_000),
	} {
		for _, src := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in))} {
			s := &signature{}
			r := New(src, s.sign(options()))
			body, err := io.ReadAll(r)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			r.Close()
			head, err := r.Head()
			if want := "Signature: s\r\n" + s.header; string(head) != want || err != nil {
				t.Errorf("%s: the head is %q, not %q, %v", name, head, want, err)
			}
			if want := strings.TrimPrefix(string(body), "\r\n"); s.body != want {
				t.Errorf("%s: %q was signed, not %q", name, s.body, want)
			}
			if s.done != 1 || s.closed != 0 {
				t.Errorf("%s: Fields was called %d times, Close %d times", name, s.done, s.closed)
			}
		}
	}
}

func TestSignatureFails(t *testing.T) {
	broken := errors.New("broken")
	message := whole + "\r\nHi\r\n"
	for _, tt := range []struct {
		name         string
		in           io.Reader
		s            signature
		err          error
		done, closed int
	}{
		{"a read error", io.MultiReader(strings.NewReader(message), iotest.ErrReader(broken)), signature{}, broken, 0, 1},
		{"a refused line", strings.NewReader(message + "\x00"), signature{}, ErrMalformed, 0, 1},
		{"Write", strings.NewReader(message), signature{writeErr: broken}, broken, 0, 1},
		{"Fields", strings.NewReader(message), signature{fieldErr: broken}, broken, 1, 0},
	} {
		r := New(tt.in, tt.s.sign(options()))
		if _, err := io.ReadAll(r); !errors.Is(err, tt.err) {
			t.Errorf("%s: the error is %v", tt.name, err)
		}
		r.Close()
		if tt.s.done != tt.done || tt.s.closed != tt.closed {
			t.Errorf("%s: Fields was called %d times, Close %d times", tt.name, tt.s.done, tt.s.closed)
		}
		if _, err := r.Head(); err == nil {
			t.Errorf("%s: there is a head", tt.name)
		}
	}
	o := options()
	o.Sign = func([]byte) (Signature, error) { return nil, broken }
	if _, err := io.ReadAll(New(strings.NewReader(message), o)); err != broken {
		t.Errorf("Sign: the error is %v", err)
	}
}

func TestUnsigned(t *testing.T) {
	o := options()
	o.Sign = func([]byte) (Signature, error) { return nil, nil }
	if head, body, _, err := read(strings.NewReader(whole+"\r\nHi\r\n"), o); head != whole || body != "\r\nHi\r\n" || err != nil {
		t.Errorf("%q, %q, %v", head, body, err)
	}
}

func TestUnreadSignatureIsClosed(t *testing.T) {
	s := &signature{}
	r := New(iotest.OneByteReader(strings.NewReader("\r\nHi\r\n")), s.sign(options()))
	io.ReadFull(r, make([]byte, 3))
	r.Close()
	r.Close()
	if s.closed != 1 {
		t.Errorf("it was closed %d times", s.closed)
	}
}
