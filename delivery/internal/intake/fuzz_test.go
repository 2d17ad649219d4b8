package intake

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func FuzzReader(f *testing.F) {
	for _, s := range []string{
		"", "\n", "\r", "A: b", "A: b\nBcc: c\n d\n\nHi\r\n.\r\n", "Hi", whole + "\r\nHi", "A\r\n", "Date: x\r\n y\r\r\n", "A: \x00",
		"Message-ID: <\xff>\n\n\xff", strings.Repeat("x", 999), "A: b\r\n \r\n\r\n", "From x\nA: b\n", "From: Zoë <a@b>, c@d:;\nSubject: ü\n\nü",
		"Subject: ü\n ü\nKeywords: ü\n\n", "A: " + strings.Repeat("b c ", 400) + "\n " + strings.Repeat("d ", 600) + "\n\n" + strings.Repeat("e", 2000),
		"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nü\n--b--", "From: a@[1.2.3.4]\nReceived: x\nTLS-Required: No\n\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		for _, o := range []Options{{}, {UTF8: true}, {Reencode: true}} {
			o.ID, o.Now, o.Hostname, o.MaxSize, o.MaxHeader = "new", now, "mx.example", 20_000, 5_000
			checkMessage(t, in, o)
		}
	})
}

// checkMessage checks what becomes of a message.
func checkMessage(t *testing.T, in string, o Options) {
	head, body, facts, err := readSigned(t, strings.NewReader(in), o)
	head1, body1, facts1, err1 := readSigned(t, iotest.OneByteReader(strings.NewReader(in)), o)
	if head != head1 || body != body1 || facts != facts1 || (err == nil) != (err1 == nil) {
		t.Fatalf("in one: %q, %q, %+v, %v\noctet by octet: %q, %q, %+v, %v", head, body, facts, err, head1, body1, facts1, err1)
	}
	if err != nil {
		return
	}
	lines, found := strings.CutSuffix(head+body, "\r\n")
	if !found {
		t.Errorf("%q doesn't end with CRLF", head+body)
	}
	for line := range strings.SplitSeq(lines, "\r\n") {
		if len(line) > maxLine || strings.ContainsAny(line, "\r\n\x00") {
			t.Errorf("line %q", line)
		}
	}
	o.MaxSize, o.MaxHeader = 0, 0
	head2, body2, facts2, err := readSigned(t, strings.NewReader(head+body), o)
	if err != nil || head2 != head || body2 != body {
		t.Errorf("again: %q, %q, %v\nfirst: %q, %q", head2, body2, err, head, body)
	}
	if facts.Digest, facts2.Digest = [32]byte{}, [32]byte{}; facts2 != facts {
		t.Errorf("again: %+v, first: %+v", facts2, facts)
	}
}

// readSigned is read for a message that is signed. It checks that what is signed is what is stored.
func readSigned(t *testing.T, src io.Reader, o Options) (head, body string, f Facts, err error) {
	s := &signature{}
	r := New(src, s.sign(o))
	b, err := io.ReadAll(r)
	if err != nil {
		return "", "", Facts{}, err
	}
	h, err := r.Head()
	head, found := strings.CutPrefix(string(h), "Signature: s\r\n")
	if err != nil || !found || head != s.header || strings.TrimPrefix(string(b), "\r\n") != s.body {
		t.Errorf("head %q, body %q, %v\nsigned: %q, %q", h, b, err, s.header, s.body)
	}
	if head, found = strings.CutPrefix(head, trace); !found {
		t.Errorf("no trace in %q", h)
	}
	return head, string(b), r.Facts(), nil
}
