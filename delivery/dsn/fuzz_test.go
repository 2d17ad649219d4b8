package dsn

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"composed", "received"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern, "*.eml"))
		if err != nil || len(files) == 0 {
			f.Fatal("no seeds", err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := Parse(bytes.NewReader(in))
		if err != nil {
			if !errors.Is(err, ErrNotReport) {
				t.Errorf("%v", err)
			}
			return
		}
		again := recompose(t, r)
		if again == nil {
			return
		}
		if len(again.Recipients) != len(r.Recipients) {
			t.Errorf("%d recipients became %d: %+v, %+v", len(r.Recipients), len(again.Recipients), r, again)
		}
		third := recompose(t, again)
		if third == nil || !reflect.DeepEqual(third.Recipients, again.Recipients) || !bytes.Equal(third.OriginalHeader, again.OriginalHeader) {
			t.Errorf("recomposed: %+v\nand again: %+v", again, third)
		}
	})
}

// recompose composes r and parses the result; nil if r lacks what Compose needs.
func recompose(t *testing.T, r *Report) *Report {
	b, err := Compose(r)
	if err != nil {
		return nil
	}
	checkForm(t, b)
	again, err := Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("composed, it doesn't parse: %v\n%s", err, b)
	}
	inUTC(again)
	return again
}

// FuzzCompose has a report whose strings are all from strangers. It must come out in form, with just the fields and the parts
// that it should have, and be read as what it was.
func FuzzCompose(f *testing.F) {
	evil := golden()["hostile"]
	p := evil.Recipients[0]
	f.Add(uint8(0), evil.To, evil.ReportingMTA, evil.OriginalEnvelopeID, p.Original, p.Final, p.RemoteMTA, p.Diagnostic.Text, "", "", evil.OriginalHeader)
	evil = golden()["template"]
	f.Add(uint8(9), "a@b", "localhost", "", "utf-8;ü", "ü@b", "192.0.2.1", p.Diagnostic.Text, evil.Subject, evil.Text, []byte("\r\n\r\n"))
	f.Fuzz(func(t *testing.T, bits uint8, to, host, envelope, original, final, remote, said, subject, text string, message []byte) {
		r := &Report{
			To: to, Date: arrival, MessageID: subject, ReportingMTA: host, OriginalEnvelopeID: envelope, OriginalMessageID: remote,
			Subject: subject, Text: text,
			Recipients: []Recipient{{
				Original: original, Final: final, Action: actions[int(bits>>1)%len(actions)], Status: envelope, RemoteMTA: remote,
				Diagnostic: Diagnostic{Code: int(bits), Text: said}, Reason: text, WillRetryUntil: arrival,
			}, {Final: "last@example.com", Action: Failed, Diagnostic: Diagnostic{Code: 550, Enhanced: said, Text: said}}},
		}
		if bits&1 == 0 {
			r.OriginalHeader = message
		} else {
			r.Original = message
		}
		b, err := Compose(r)
		if err != nil {
			return
		}
		checkForm(t, b)
		checkShape(t, r, b)
		back, err := Parse(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("composed, it doesn't parse: %v\n%s", err, b)
		}
		n := len(back.Recipients)
		if last := back.Recipients[n-1]; last.Final != "last@example.com" || last.Action != Failed || last.Diagnostic.Code != 550 {
			t.Errorf("the last recipient became %+v\n%s", last, b)
		}
		if n > 2 || n < 2 && clean(final) != "" || n == 2 && back.Recipients[0].Action != r.Recipients[0].Action {
			t.Errorf("the recipients became %+v\n%s", back.Recipients, b)
		}
	})
}

// checkShape holds a report to the fields and the parts that it should have.
func checkShape(t *testing.T, r *Report, b []byte) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	known := []string{"From", "To", "Subject", "Date", "Message-Id", "In-Reply-To", "References", "Auto-Submitted", "Mime-Version",
		"Content-Type", "Content-Transfer-Encoding"}
	for name, values := range m.Header {
		if !slices.Contains(known, name) || len(values) != 1 {
			t.Errorf("it has %q: %q", name, values)
		}
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		got = append(got, p.Header.Get("Content-Type"))
	}
	want := []string{humanType, r.statusPart().contentType}
	if original, found := r.originalPart(); found {
		want = append(want, original.contentType)
	}
	if !slices.Equal(got, want) {
		t.Errorf("its parts are %q, not %q", strings.Join(got, ", "), want)
	}
}
