package dsn

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	arrival = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	header  = "From: Bob <bob@example.org>\r\nTo: Ann <ann@example.com>\r\nSubject: Lunch\r\nMessage-ID: <lunch@example.org>\r\n"
)

func report(recipients ...Recipient) *Report {
	return &Report{
		To:                 "bob@example.org",
		Date:               arrival.Add(time.Hour),
		MessageID:          "<report@mx.example.org>",
		ReportingMTA:       "mx.example.org",
		OriginalEnvelopeID: "QQ314159",
		OriginalMessageID:  "<lunch@example.org>",
		ArrivalDate:        arrival,
		Recipients:         recipients,
		OriginalHeader:     []byte(header),
	}
}

// golden are the reports in testdata/composed.
func golden() map[string]*Report {
	failed := Recipient{
		Original:    "rfc822;Nobody@example.com",
		Final:       "nobody@example.com",
		Action:      Failed,
		Status:      "5.1.1",
		RemoteMTA:   "mx.example.com",
		Diagnostic:  Diagnostic{Code: 550, Enhanced: "5.1.1", Text: "No such user here"},
		LastAttempt: arrival.Add(time.Minute),
	}
	delayed := Recipient{
		Final:          "ann@slow.example",
		Action:         Delayed,
		Status:         "4.4.1",
		Diagnostic:     Diagnostic{Text: "mx.slow.example: connection timed out"},
		LastAttempt:    arrival.Add(30 * time.Minute),
		WillRetryUntil: arrival.Add(5 * 24 * time.Hour),
	}
	several := report(failed,
		Recipient{Final: "ann@example.com", Action: Delivered, Status: "2.1.5", RemoteMTA: "mx.example.com", LastAttempt: arrival},
		Recipient{Final: "old@example.com", Original: "rfc822;list@example.com", Action: Failed, Status: "5.4.7", Reason: "Its server was away for five days."},
		Recipient{Final: "eve@example.net", Action: Relayed},
		Recipient{Final: "all@example.net", Action: Expanded})

	global := report(Recipient{
		Original:   "utf-8;jürgen@bücher.example",
		Final:      "jürgen@xn--bcher-kva.example",
		Action:     Failed,
		Status:     "5.6.7",
		RemoteMTA:  "mx.xn--bcher-kva.example",
		Diagnostic: Diagnostic{Code: 553, Enhanced: "5.6.7", Text: "Zeichen im Namen nicht unterstützt"},
	})
	global.OriginalHeader = []byte("From: Bob <bob@example.org>\r\nTo: Jürgen <jürgen@bücher.example>\r\nSubject: Grüße\r\n")

	evil := failed
	evil.RemoteMTA = "mx.example.com\r\nAction: delivered"
	evil.Diagnostic.Text = "no\r\n\r\nFinal-Recipient: rfc822; eve@example.com\r\nAction: failed\x00\x1b[31m\u202e\xff\xfe" +
		"\r\n.\r\nQUIT\r\n" + strings.Repeat("spam eggs ", 500) + strings.Repeat("x", 5000)
	evil.Original = "rfc822;a\r\nb@example.com"
	hostile := report(evil, Recipient{Final: strings.Repeat("y", 5000) + "\n@example.com", Action: Failed, Status: "5.1.1\r\nX: y"})
	hostile.ReportingMTA = "mx.example.org\r\nX: y"
	hostile.OriginalEnvelopeID = "a\r\n\r\nb"
	hostile.MessageID = "<a@b>\r\nX: y"
	hostile.OriginalMessageID = "<a@b>\r\nX: y"
	hostile.To = "bob@example.org>\r\nBcc: <eve@example.com"
	hostile.OriginalHeader = []byte("Subject: " + strings.Repeat("y", 3000) + "\nX: a\rb\x00\n\r\n--boundary\r\n")

	full := report(failed)
	full.Original = []byte(header + "\r\nMahlzeit, Jürgen!\r\n.\r\n")

	return map[string]*Report{
		"several": several, "failed": report(failed), "delayed": report(delayed), "global": global, "hostile": hostile, "full": full,
	}
}

func TestComposeGolden(t *testing.T) {
	for name, r := range golden() {
		t.Run(name, func(t *testing.T) {
			got, err := Compose(r)
			if err != nil {
				t.Fatal(err)
			}
			checkForm(t, got)
			file := filepath.Join("testdata", "composed", name+".eml")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs; got:\n%s", file, got)
			}
		})
	}
}

// checkForm holds a composed report to what every mail server may demand.
func checkForm(t *testing.T, b []byte) {
	t.Helper()
	text, found := bytes.CutSuffix(b, []byte("\r\n"))
	if !found {
		t.Errorf("it doesn't end with CRLF")
	}
	for line := range bytes.SplitSeq(text, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
			t.Errorf("line %.200q of %d octets", line, len(line))
		}
	}
	if head, _, _ := bytes.Cut(b, []byte("\r\n\r\n")); !isASCII(b) && !bytes.Contains(head, []byte("Content-Transfer-Encoding: 8bit")) {
		t.Errorf("8-bit content isn't declared")
	}
}

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
