package dsn

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestComposeIsDeterministic(t *testing.T) {
	a, err := Compose(golden()["several"])
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := Compose(golden()["several"]); !bytes.Equal(a, b) {
		t.Error("the same report gives other octets")
	}
}

func TestComposeNeeds(t *testing.T) {
	tests := map[string]func(*Report){
		"To":                   func(r *Report) { r.To = "" },
		"Date":                 func(r *Report) { r.Date = time.Time{} },
		"ReportingMTA":         func(r *Report) { r.ReportingMTA = "" },
		"Recipients":           func(r *Report) { r.Recipients = nil },
		"Recipients[0].Final":  func(r *Report) { r.Recipients[0].Final = "" },
		"Recipients[0].Action": func(r *Report) { r.Recipients[0].Action = "failed\r\nX: y" },
	}
	for field, clear := range tests {
		r := golden()["failed"]
		clear(r)
		if _, err := Compose(r); err == nil || !strings.Contains(err.Error(), "Report."+field+" ") {
			t.Errorf("without %s: %v", field, err)
		}
	}
}

func TestOriginalStaysAsItIs(t *testing.T) {
	r := golden()["full"]
	b, err := Compose(r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, append(append([]byte("8bit\r\n\r\n"), r.Original...), "\r\n--=_"...)) {
		t.Errorf("the original was changed:\n%s", b)
	}
}

func TestReturnedHeaderIsBounded(t *testing.T) {
	r := report(golden()["failed"].Recipients...)
	field := "X-Long: " + strings.Repeat("a", 60) + "\r\n " + strings.Repeat("b", 60) + "\r\n"
	r.OriginalHeader = []byte(strings.Repeat(field, 2000))
	b, err := Compose(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > MaxHeader+4096 {
		t.Errorf("%d octets", len(b))
	}
	back, err := Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if h := string(back.OriginalHeader); len(h) < MaxHeader-200 || strings.ReplaceAll(h, field, "") != "" {
		t.Errorf("%d octets, not of whole fields", len(h))
	}
}

func TestBoundaryIsNotInTheContent(t *testing.T) {
	r := golden()["full"]
	parts := func() []part {
		p, _ := r.originalPart()
		return []part{p}
	}
	p := parts()
	first := boundaryFor("", p)
	p[0].content = append(p[0].content, "--"+first...)
	if second := boundaryFor("", p); bytes.Contains(p[0].content, []byte(second)) {
		t.Errorf("boundary %q is in the content", second)
	}
}

func TestClean(t *testing.T) {
	tests := []struct{ in, want string }{
		{" a  b ", "a  b"},
		{"a\r\nb\x00c\td", "a  b c d"},
		{"\xffa\xfe", "\uFFFDa\uFFFD"},
		{"a\u202eb\u2028", "a b"},
		{"Grüße", "Grüße"},
		{strings.Repeat("x", MaxText-1) + "ü", strings.Repeat("x", MaxText-1)},
	}
	for _, tt := range tests {
		if got := clean(tt.in); got != tt.want {
			t.Errorf("clean(%.50q) = %.50q", tt.in, got)
		}
	}
	for _, in := range []string{strings.Repeat("\xff", 10_000), strings.Repeat("ü", 10_000)} {
		if got := clean(in); len(got) > MaxText || !utf8.ValidString(got) {
			t.Errorf("clean(%.10q) has %d octets", in, len(got))
		}
	}
}

func TestLines(t *testing.T) {
	x := strings.Repeat("x", 997)
	tests := []struct{ in, want string }{
		{"a\r\n.\r\n", "a\r\n.\r\n"},
		{"a\nb\rc\r\r\nd", "a\r\nb\r\nc\r\n\r\nd\r\n"},
		{"a\x00b", "a b\r\n"},
		{x + "y", x + "y\r\n"},
		{x + "yz", x + "\r\n yz\r\n"},
		{x + x + "y", x + "\r\n " + x + "\r\n y\r\n"},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		if lines(&b, []byte(tt.in)); b.String() != tt.want {
			t.Errorf("lines(%.50q) = %.50q", tt.in, b.String())
		}
	}
}
