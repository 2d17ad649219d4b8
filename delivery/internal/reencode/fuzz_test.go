package reencode

import (
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad/postroad/delivery/internal/header"
)

// FuzzBody compares what Go's own packages find in a message before and after.
func FuzzBody(f *testing.F) {
	files, _ := filepath.Glob("testdata/messages/*.txt")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		in, _, _ := strings.Cut(string(text), "=====\n")
		f.Add(in)
	}
	for _, in := range []string{
		"A: b\n\n" + strings.Repeat("grün ", 300) + "\n" + strings.Repeat("-", 1000),
		"Content-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("gr=C3=BCn ", 200) + "=\nx",
		"Content-Transfer-Encoding: base64\n\n" + strings.Repeat("QUJD", 500) + "\nQQ==",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: a/b\n\n" + strings.Repeat("x", 2000) + "\n\n--b--",
	} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		in = strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n", "\r", "", "\x00", "").Replace(in)
		if !strings.HasSuffix(in, "\r\n") {
			in += "\r\n"
		}
		head, _, _ := strings.Cut(in, "\r\n\r\n")
		for name := range header.Fields([]byte(head)) {
			if len(name) == 0 {
				return
			}
		}
		out, err := run(in)
		if err != nil {
			return
		}
		_, body, _ := strings.Cut(out, "\r\n\r\n")
		for line := range strings.SplitSeq(body, "\r\n") {
			if len(line) > maxLine || strings.ContainsAny(line, "\r\n") {
				t.Errorf("line %q", line)
			}
		}
		if again, err := run(out); err != nil || again != out {
			t.Errorf("%q\nbecomes %q, %v", out, again, err)
		}
		before, err := leaves(strings.NewReader(in))
		if err != nil {
			return
		}
		after, err := leaves(strings.NewReader(out))
		if err != nil || strings.Join(before, "\n") != strings.Join(after, "\n") {
			t.Errorf("%q\nbecomes %q\nleaves are %q\nnot        %q, %v", in, out, after, before, err)
		}
	})
}

// leaves returns what the leaves of a message are, decoded.
func leaves(r io.Reader) ([]string, error) {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return nil, err
	}
	return entity(m.Header.Get, m.Body)
}

func entity(get func(name string) string, body io.Reader) (list []string, err error) {
	kind, params, err := mime.ParseMediaType(get("Content-Type"))
	if err != nil && get("Content-Type") == "" {
		kind, err = "text/plain", nil
	}
	if err != nil {
		return nil, err
	}
	switch encoding := strings.ToLower(get("Content-Transfer-Encoding")); encoding {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "", "7bit", "8bit", "binary":
		switch {
		case kind == "message/rfc822" || kind == "message/global":
			return leaves(body)
		case kind == "multipart/digest":
			return nil, fmt.Errorf("what has no type in it is a message")
		case strings.HasPrefix(kind, "multipart/") && kind != "multipart/signed":
			return parts(multipart.NewReader(body, params["boundary"]))
		}
	}
	octets, err := io.ReadAll(body)
	return []string{kind, string(octets)}, err
}

func parts(r *multipart.Reader) (list []string, err error) {
	list = append(list, "multipart")
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		more, err := entity(p.Header.Get, p)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
}
