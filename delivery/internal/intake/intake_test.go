package intake

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

const (
	addedDate = "Date: Wed, 04 Mar 2026 05:06:07 +0000\r\n"
	addedID   = "Message-ID: <new@example.com>\r\n"
	whole     = "Date: x\r\nMessage-ID: <a@b>\r\n" // nothing to add to
	trace     = "Received: by mx.example id new;\r\n\tWed, 04 Mar 2026 05:06:07 +0000\r\n"
)

func options() Options {
	return Options{ID: "new", Now: now, Hostname: "mx.example", Domain: "example.com"}
}

// read returns what becomes of a message, without the trace on top.

func read(src io.Reader, o Options) (head, body string, f Facts, err error) {
	r := New(src, o)
	b, err := io.ReadAll(r)
	if err != nil {
		return "", "", Facts{}, err
	}
	h, err := r.Head()
	head, found := strings.CutPrefix(string(h), trace)
	if err == nil && !found {
		err = errors.New("no trace")
	}
	return head, string(b), r.Facts(), err
}

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 996)
	tests := []struct{ name, in, head, body string }{
		{"as it should be", whole + "\r\nHi\r\n", whole, "\r\nHi\r\n"},
		{"LF", "Date: x\nMessage-ID: <a@b>\n\nHi\n\nyou\n", whole, "\r\nHi\r\n\r\nyou\r\n"},
		{"mixed line ends", "Date: x\r\nMessage-ID: <a@b>\n\r\nHi\nyou\r\n", whole, "\r\nHi\r\nyou\r\n"},
		{"no last line end", whole + "\r\nHi", whole, "\r\nHi\r\n"},
		{"dots", whole + "\r\n.\r\n..\r\n", whole, "\r\n.\r\n..\r\n"},
		{"added", "Subject: s\r\n\r\nHi\r\n", "Subject: s\r\n" + addedDate + addedID, "\r\nHi\r\n"},
		{"names in any case", "DATE: x\r\nmessage-id :<a@b>\r\n\r\n", "DATE: x\r\nmessage-id :<a@b>\r\n", "\r\n"},
		{"Resent-Date is not Date", "Resent-Date: x\r\n\r\n", "Resent-Date: x\r\n" + addedDate + addedID, "\r\n"},
		{"Bcc", "bcc: a@b,\r\n c@d\r\n\t e@f\r\n" + whole + "Resent-Bcc : a@b\r\nBCC:\r\n\r\nBcc: stays\r\n", whole, "\r\nBcc: stays\r\n"},
		{"Return-Path", "Return-Path: <a@b>\r\n" + whole + "\r\n", whole, "\r\n"},
		{"a From field in obsolete form", "From : a@b\r\n" + whole + "\r\n", "From : a@b\r\n" + whole, "\r\n"},
		{"a long field", whole + "S:" + long + " y" + "\r\n\r\n", whole + "S:" + long + "\r\n y\r\n", "\r\n"},
		{"a long removed field", "Bcc:" + long + long + "\r\n" + whole, whole, ""},
		{"raw UTF-8", whole + "Subject: ü\nX: b\n\n", whole + "Subject: =?utf-8?q?=C3=BC?=\r\nX: b\r\n", "\r\n"},
		{"raw UTF-8 that has to stay", whole + "Subject: ü\nKeywords: ü\n\n", whole + "Subject: ü\r\nKeywords: ü\r\n", "\r\n"},
		{"folding and odd fields stay", whole + "X:a \r\n \t\r\n\tb\r\nto: c\r\n\r\n", whole + "X:a \r\n \t\r\n\tb\r\nto: c\r\n", "\r\n"},
		{"only fields", whole, whole, ""},
		{"only fields, no last line end", "Date: x\r\nMessage-ID: <a@b>", whole, ""},
		{"only Bcc", "Bcc: a@b", addedDate + addedID, ""},
		{"no fields", "\r\nHi\r\n", addedDate + addedID, "\r\nHi\r\n"},
		{"no fields and no empty line", "Hi\r\nBcc: you\r\n", addedDate + addedID, "\r\nHi\r\nBcc: you\r\n"},
		{"a continuation first", " Date: x\r\n", addedDate + addedID, "\r\n Date: x\r\n"},
		{"a name with a space", "Dear Ann: hello\r\n", addedDate + addedID, "\r\nDear Ann: hello\r\n"},
		{"nothing", "", addedDate + addedID, ""},
		{"one LF", "\n", addedDate + addedID, "\r\n"},
		{"longest lines", whole + "S:" + long + "\r\n\r\nxx" + long + "\r\nxx" + long, whole + "S:" + long + "\r\n", "\r\nxx" + long + "\r\nxx" + long + "\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			head, body, f, err := read(strings.NewReader(tt.in), options())
			if err != nil || head != tt.head || body != tt.body {
				t.Errorf("got %q, %q, %v\nwant %q, %q", head, body, err, tt.head, tt.body)
			}
			if f.Digest != sha256.Sum256([]byte(tt.in)) {
				t.Errorf("Digest %x", f.Digest)
			}
		})
	}
}

func TestReaderRefuses(t *testing.T) {
	tests := []struct {
		name, in string
		want     Error
	}{
		{"bare CR in the header", "Subject: a\rBcc: b\r\n\r\n", Error{"header", 1, "has a CR without LF", ErrMalformed}},
		{"bare CR in the body", "\r\n\r\nHi\r.\r\n", Error{"body", 3, "has a CR without LF", ErrMalformed}},
		{"CR CR LF", "\r\nHi\r\r\n", Error{"body", 2, "has a CR without LF", ErrMalformed}},
		{"CR at the end", "\r\nHi\r", Error{"body", 2, "has a CR without LF", ErrMalformed}},
		{"NUL", "\r\nHi\x00\r\n", Error{"body", 2, "has a NUL", ErrMalformed}},
		{"NUL in a removed field", "Bcc: \x00\r\n\r\n", Error{"header", 1, "has a NUL", ErrMalformed}},
		{"long line", "\r\n" + strings.Repeat("x", 999), Error{"body", 2, "has more than 998 octets", ErrMalformed}},
		{"long first line", strings.Repeat("x", 999), Error{"body", 1, "has more than 998 octets", ErrMalformed}},
		{"long field line", "S:" + strings.Repeat("x", 997), Error{"header", 1, "has more than 998 octets", ErrMalformed}},
		{"no UTF-8 in the header", "A: b\r\nSubject: f\xfcnf\r\n\r\n", Error{"header", 2, "has octets that are not UTF-8", ErrMalformed}},
		{"mbox", "From ann@a.example Sat Jan  3 01:05:34 1996\r\nBcc: b\r\n\r\n", Error{"header", 1, `begins with "From ", as in an mbox file, and is no field`, ErrMalformed}},
		{"broken header", "A: b\r\nhello\r\nBcc: c\r\n\r\n", Error{"header", 2, "is neither a field nor the continuation of one", ErrMalformed}},
		{"size", "\r\n" + strings.Repeat("x\n", 100), Error{"body", 34, "message has more than 100 octets", ErrTooLarge}},
		{"header size", strings.Repeat("A: b\r\n", 10), Error{"header", 9, "header section has more than 50 octets", ErrTooLarge}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options()
			if tt.want.Err == ErrTooLarge {
				o.MaxSize, o.MaxHeader = 100, 50
			}
			for _, src := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				_, _, _, err := read(src, o)
				var got *Error
				if !errors.As(err, &got) || *got != tt.want || !errors.Is(err, tt.want.Err) {
					t.Errorf("got %v, want %v", err, &tt.want)
				}
			}
		})
	}
}

func TestSizeLimitIsExact(t *testing.T) {
	in := whole + "\r\nHi\r\n"
	o := options()
	o.MaxSize = int64(len(in))
	if _, _, _, err := read(strings.NewReader(in), o); err != nil {
		t.Error(err)
	}
	o.MaxSize--
	if _, _, _, err := read(strings.NewReader(in), o); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one octet more: %v", err)
	}
}

func TestFacts(t *testing.T) {
	tests := []struct {
		name, in string
		want     Facts
	}{
		{"ASCII", "Received: a\r\nReceived: b\r\n c\r\n\r\nReceived: d\r\n", Facts{Received: 2}},
		{"8-bit body", whole + "\r\nfünf\r\n", Facts{EightBit: true}},
		{"8-bit body, late", whole + "\r\n" + strings.Repeat("x\n", 100_000) + "f\xfcnf", Facts{EightBit: true}},
		{"UTF-8 in the header", whole + "Keywords: fünf\r\n\r\n", Facts{EightBit: true, UTF8: true}},
		{"encoded", whole + "Subject: fünf\r\n\r\n", Facts{}},
		{"removed", whole + "Bcc: fünf\r\n\r\n", Facts{}},
	}
	for _, tt := range tests {
		_, _, f, err := read(strings.NewReader(tt.in), options())
		f.Digest = [32]byte{}
		if err != nil || f != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, f, err, tt.want)
		}
	}
}

func TestHeadOnlyAtTheEnd(t *testing.T) {
	r := New(strings.NewReader(whole+"\r\nHi\r\n"), options())
	var b [2]byte
	if _, err := r.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Head(); err == nil {
		t.Error("Head before the end")
	}
}

func TestReadErrorsPassThrough(t *testing.T) {
	broken := errors.New("broken")
	for _, src := range []io.Reader{
		io.MultiReader(strings.NewReader(whole+"\r\nHi\r\n"), iotest.ErrReader(broken)),
		iotest.ErrReader(broken),
	} {
		r := New(src, options())
		if _, err := io.ReadAll(r); err != broken {
			t.Errorf("got %v", err)
		}
		if _, err := r.Read(make([]byte, 1)); err != broken {
			t.Errorf("then %v", err)
		}
		if _, err := r.Head(); err == nil {
			t.Error("Head of a message that was cut")
		}
	}
	if _, err := io.ReadAll(New(stuck{}, options())); err != io.ErrNoProgress {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestMemoryDoesNotGrowWithTheBody(t *testing.T) {
	line := []byte(strings.Repeat("x", 70) + "\n")
	allocated := func(size int64) float64 {
		return testing.AllocsPerRun(1, func() {
			if _, err := io.Copy(io.Discard, New(io.LimitReader(&forever{line: line}, size), options())); err != nil {
				t.Fatal(err)
			}
		})
	}
	small, large := allocated(1<<20), allocated(16<<20)
	if large > small+10 {
		t.Errorf("%v allocations for 1 MB, %v for 16 MB", small, large)
	}
}

type forever struct {
	line []byte
	at   int
}

func (f *forever) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c := copy(p[n:], f.line[f.at:])
		n += c
		f.at = (f.at + c) % len(f.line)
	}
	return n, nil
}

func BenchmarkReader(b *testing.B) {
	in := []byte(whole + "\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 100_000))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.Copy(io.Discard, New(bytes.NewReader(in), options())); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTLSRequired(t *testing.T) {
	for in, want := range map[string]bool{
		"TLS-Required: No\r\n\r\n":                              true,
		"tls-required:no\n\n":                                   true,
		"TLS-Required :\r\n NO \r\nSubject: hi\r\n\r\n":         true,
		"TLS-Required: No":                                      true,
		"Bcc: a@b\r\nTLS-Required: No\r\nBcc: c@d\r\n\r\n":      true,
		"TLS-Required: Yes\r\n\r\n":                             false,
		"TLS-Required: No way\r\n\r\n":                          false,
		"TLS-Required:\r\n\r\n":                                 false,
		"TLS-Required: No\r\nTLS-Required: No\r\n\r\n":          false, // RFC 8689, section 3, has one at most
		"TLS-Required: Yes\r\nTLS-Required: No\r\n\r\n":         false,
		"X-TLS-Required: No\r\n\r\n":                            false,
		"Subject: s\r\n TLS-Required: No\r\n\r\n":               false,
		"Subject: s\r\n\r\nTLS-Required: No\r\n":                false,
		"Message-ID: <a@b>\r\nTLS-Required: No\r\n\r\n":         true,
		"TLS-Required: Yes\r\nMessage-ID: <a@b>\r\n No\r\n\r\n": false,
	} {
		_, _, f, err := read(strings.NewReader(in), options())
		if err != nil || f.TLSOptional != want {
			t.Errorf("%q: %v, %v", in, f.TLSOptional, err)
		}
	}
}

// Readers that are read at the same time, or one after the other, don't disturb each other.
func TestReadersShareNothing(t *testing.T) {
	for range 3 {
		var readers [3]*Reader
		var bodies [3]strings.Builder
		for i := range readers {
			readers[i] = New(strings.NewReader(whole+"\n"+strings.Repeat(string(rune('a'+i))+"\n", 40_000)), options())
		}
		p := make([]byte, 1000)
		for open := len(readers); open > 0; {
			for i, r := range readers {
				if _, err := r.Head(); err == nil {
					continue
				}
				n, err := r.Read(p)
				bodies[i].Write(p[:n])
				if err == io.EOF {
					open--
				} else if err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, r := range readers {
			head, err := r.Head()
			if want := "\r\n" + strings.Repeat(string(rune('a'+i))+"\r\n", 40_000); bodies[i].String() != want || string(head) != trace+whole || err != nil {
				t.Errorf("reader %d: head %q, error %v, %d octets of %d", i, head, err, bodies[i].Len(), len(want))
			}
		}
	}
}

// A Reader that nobody reads costs next to nothing: addresses are checked by preparing a message that is never sent.
func TestUnreadReaderIsSmall(t *testing.T) {
	o, src := options(), strings.NewReader("")
	const n = 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		New(src, o)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 1<<10 {
		t.Errorf("it takes %d octets", each)
	}
}
