package reencode

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// run returns what becomes of a message with CRLF line ends.
func run(message string) (string, error) {
	head, body, found := strings.Cut("\r\n"+message, "\r\n\r\n")
	if found {
		head += "\r\n"
	}
	b, section, err := New([]byte(head[2:]))
	if err != nil {
		return "", err
	}
	var out []byte
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\r\n")
		for i := 0; i == 0 || i < len(line); i += 700 { // long ones come in pieces
			if out, err = b.Text(out, []byte(line[i:min(i+700, len(line))])); err != nil {
				return "", err
			}
		}
		if out, err = b.EndLine(out); err != nil {
			return "", err
		}
	}
	return string(section) + "\r\n" + string(b.End(out)), nil
}

// Each file in testdata/messages has a message and, after a line of "=====", what becomes of it.
func TestMessages(t *testing.T) {
	files, _ := filepath.Glob("testdata/messages/*.txt")
	if len(files) == 0 {
		t.Fatal("there are none")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, want, _ := strings.Cut(strings.ReplaceAll(string(text), "\n", "\r\n"), "=====\r\n")
			got, err := run(in)
			if err != nil || got != want {
				t.Errorf("%v\n%s", err, got)
			}
			if again, err := run(got); err != nil || again != got {
				t.Errorf("the second time it becomes %v\n%s", err, again)
			}
		})
	}
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("abc=3D-", 300)
	for _, tt := range []struct{ name, in, want string }{
		{"text", "A: b\r\n\r\n" + strings.Repeat("a", 1000) + "\r\nb\r\n", "A: b\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
			strings.Repeat(strings.Repeat("a", 75)+"=\r\n", 13) + strings.Repeat("a", 25) + "\r\nb\r\n"},
		{"a break before a hyphen", "MIME-Version: 1.0\r\n\r\n" + strings.Repeat("a", 75) + "--b\r\n", "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
			strings.Repeat("a", 75) + "=\r\n=2D-b\r\n"},
		{"base64", "Content-Transfer-Encoding: Base64\r\n\r\n" + strings.Repeat("QUJD", 300) + "\r\nQUJD\r\n", "Content-Transfer-Encoding: Base64\r\n\r\n" +
			strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 15) + strings.Repeat("QUJD", 15) + "\r\nQUJD\r\n"},
		{"quoted-printable", "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("a", 76) + "\r\n" + strings.Repeat("a", 73) + long + "\r\n",
			"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("a", 76) + "\r\n" + strings.Repeat("a", 73) + "ab=\r\nc" + strings.Repeat(strings.Repeat("=3D-abc", 10)+"=\r\n", 29) + "=3D-abc\r\n"},
	} {
		got, err := run(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if tt.name == "quoted-printable" {
			for line := range strings.Lines(got) {
				if len(line) > 76+2 {
					t.Errorf("line %q", line)
				}
			}
			got, tt.want = strings.ReplaceAll(got, "=\r\n", ""), strings.ReplaceAll(tt.in, "=\r\n", "")
			got = strings.ReplaceAll(got, "=2D", "-")
		}
		if got != tt.want {
			t.Errorf("%s: %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

func TestRefused(t *testing.T) {
	long := strings.Repeat("x", 999)
	part := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
	nested := func(n int) string {
		var s strings.Builder
		for i := range n {
			s.WriteString("Content-Type: multipart/mixed; boundary=b" + strings.Repeat("x", i) + "\r\n\r\n--b" + strings.Repeat("x", i) + "\r\n")
		}
		return s.String()
	}
	for _, tt := range []struct{ in, want string }{
		{"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n", "more than one"},
		{"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\n", "more than one"},
		{"Content-Type: ;\r\n\r\n", "which is no type"},
		{"Content-Type: multipart; boundary=b\r\n\r\n", "which is no type"},
		{"Content-Type: multipart/mixed\r\n\r\n", "without a sound boundary"},
		{"Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n", "without a sound boundary"},
		{"Content-Type: multipart/mixed; boundary=\"a \"\r\n\r\n", "without a sound boundary"},
		{"Content-Type: multipart/mixed; boundary=\"ü\"\r\n\r\n", "without a sound boundary"},
		{"Content-Type: multipart/mixed; boundary=" + long + "\r\n\r\n", "more than 200 octets"},
		{part + "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "the boundary of the one around it"},
		{part + "Content-Type: multipart/mixed; boundary=\"b--\"\r\n\r\n", "the boundary of the one around it"},
		{nested(51), "more than 50 multiparts"},
		{part + "Content-Type: text/plain\r\nhello\r\n", "neither a field"},
		{part + " hello\r\n", "neither a field"},
		{part + "A: " + long + "\r\n", "more than 998 octets"},
		{part + strings.Repeat("A: b\r\n", 20_000), "longer than 65536 octets"},
		{part + "\r\n--b--\r\n" + long + "\r\n", "more than 998 octets"},
		{"Content-Type: multipart/signed; boundary=b\r\n\r\n" + long + "\r\n", "more than 998 octets"},
		{"Content-Type: message/partial\r\n\r\n" + long + "\r\n", "more than 998 octets"},
		{"Content-Transfer-Encoding: x-uuencode\r\n\r\n" + long + "\r\n", "more than 998 octets"},
		{"Content-Transfer-Encoding: base64\r\n\r\n" + long + "-\r\n", "more than 998 octets"},
	} {
		if _, err := run(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.200q: the error is %v, want %q", tt.in, err, tt.want)
		}
	}
	if _, err := run(nested(50)); err != nil {
		t.Errorf("50 multiparts in each other: %v", err)
	}
}

func TestMemoryDoesNotGrowWithTheBody(t *testing.T) {
	piece := []byte(strings.Repeat("x", 1000))
	for _, section := range []string{"", "Content-Type: a/b\r\n", "Content-Transfer-Encoding: quoted-printable\r\n", "Content-Transfer-Encoding: base64\r\n"} {
		b, _, err := New([]byte(section))
		if err != nil {
			t.Fatal(err)
		}
		out := make([]byte, 0, 1<<20)
		add := func() {
			for range 200 {
				if out, err = b.Text(out[:0], piece); err != nil {
					t.Fatal(err)
				}
			}
		}
		add()
		if n := testing.AllocsPerRun(10, add); n > 0 {
			t.Errorf("%q: %v allocations for a line that gets longer", section, n)
		}
	}
}

// A message in a message, and so on, costs nothing but the octets it has.
func TestMessagesInMessages(t *testing.T) {
	got, err := run(strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 10_000) + "A: b\r\n\r\nü\r\n")
	if err != nil || !strings.HasSuffix(got, "quoted-printable\r\n\r\n=C3=BC\r\n") {
		t.Errorf("%v, %.200q", err, got)
	}
}
