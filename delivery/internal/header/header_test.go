package header

import (
	"mime"
	"net/mail"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFields(t *testing.T) {
	var got []string
	for name, field := range Fields([]byte(" lost\r\nA: b\r\n c\r\n\td\r\nB :\r\nno field\r\nC:x")) {
		got = append(got, string(name), string(field))
	}
	want := []string{"", " lost\r\n", "A", "A: b\r\n c\r\n\td\r\n", "B", "B :\r\n", "", "no field\r\n", "C", "C:x"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := Value([]byte("A: b\r\n c\r\n\td \r\n")); got != "b c\td" {
		t.Errorf("the value is %q", got)
	}
}

func TestFold(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, tt := range []struct {
		name, in, want string
		ok             bool
	}{
		{"short", "A: b c", "A: b c", true},
		{"78 octets", "A: " + x(60) + " " + x(14), "A: " + x(60) + " " + x(14), true},
		{"79 octets", "A: " + x(60) + " " + x(15), "A: " + x(60) + "\r\n " + x(15), true},
		{"at the last", "A: b c " + x(80), "A: b c\r\n " + x(80), true},
		{"several times", "A:" + strings.Repeat(" "+x(38), 5), "A: " + x(38) + strings.Repeat("\r\n "+x(38)+" "+x(38), 2), true},
		{"late", "A:" + x(100) + " b", "A:" + x(100) + "\r\n b", true},
		{"at the limit", "A:" + x(996) + " b", "A:" + x(996) + "\r\n b", true},
		{"over the limit", "A:" + x(997) + " b", "A:" + x(997) + " b", false},
		{"no white space", "A:" + x(996), "A:" + x(996), true},
		{"a tab", "A:" + x(80) + "\tb", "A:" + x(80) + "\r\n\tb", true},
		{"a run of it", "A:" + x(60) + "   " + x(80), "A:" + x(60) + "\r\n   " + x(80), true},
		{"at the start", " " + x(100), " " + x(100), true},
		{"at the end", "A:" + x(100) + "  ", "A:" + x(100) + "  ", true},
		{"nothing else", strings.Repeat(" ", 2000), strings.Repeat(" ", 2000), false},
	} {
		out, ok := Fold([]byte("Z: z\r\n"), []byte(tt.in))
		if got := strings.TrimPrefix(string(out), "Z: z\r\n"); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %q, %v; want %q, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestEncodeWords(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"text", "Subject: Grüße\r\n", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"},
		{"spaces", "subject:Grüße  aus Köln \r\n", "subject: =?utf-8?q?Gr=C3=BC=C3=9Fe__aus_K=C3=B6ln?=\r\n"},
		{"folded", "Subject: Grüße\r\n aus Köln\r\n", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=\r\n"},
		{"encoded already", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= ü\r\n", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_=C3=BC?=\r\n"},
		{"long", "Subject: " + strings.Repeat("ü", 20) + "\r\n", "Subject:\r\n =?utf-8?q?=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC?=\r\n" +
			" =?utf-8?q?=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC?=\r\n"},
		{"an extension", "X-Mood: schön\r\n", "X-Mood: =?utf-8?q?sch=C3=B6n?=\r\n"},
		{"ASCII beside it", "A:  b\r\n c \r\nComments: ü\r\n", "A:  b\r\n c \r\nComments: =?utf-8?q?=C3=BC?=\r\n"},
		{"names", "To: Zoë <zoe@a.example>, \"Müller, Jörg\" <j@a.example>, ann@a.example\r\n",
			"To: =?utf-8?q?Zo=C3=AB?= <zoe@a.example>, =?utf-8?b?TcO8bGxlciwgSsO2cmc=?=\r\n <j@a.example>, <ann@a.example>\r\n"},
		{"resent", "Resent-From: Zoë <zoe@a.example>\r\n", "Resent-From: =?utf-8?q?Zo=C3=AB?= <zoe@a.example>\r\n"},
		{"an address", "From: Zoë <zoë@a.example>\r\n", ""},
		{"a domain", "From: <zoe@bücher.example>\r\n", ""},
		{"a group", "To: Freunde: Zoë <zoe@a.example>;\r\n", ""},
		{"a comment", "From: zoe@a.example (Zoë)\r\n", ""},
		{"no address", "From: Zoë\r\n", ""},
		{"parameters", "Content-Disposition: attachment; filename=\"Grüße.txt\"\r\n", ""},
		{"identifiers", "Message-ID: <ü@a.example>\r\n", ""},
		{"too long", "From: Zoë <zoe@" + strings.Repeat("a", 1000) + ">\r\n", ""},
	} {
		if tt.want == "" {
			tt.want = tt.in
		}
		if got := string(EncodeWords([]byte(tt.in))); got != tt.want {
			t.Errorf("%s: %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

func FuzzEncodeWords(f *testing.F) {
	for _, s := range []string{
		"Grüße aus Köln", " ü\r\n\tü", "=?utf-8?q?=0D=0A?= ü", "=?x?q?y?= ü", strings.Repeat("ü ", 300), "Zoë <zoe@a.example>, b@c",
		"\"ü\\\"\" <\"a b\"@c>", "ü <a@[b]>", strings.Repeat(",", 500) + "ü <a@b>", "ü\r\n \r\n ü",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !utf8.ValidString(value) || strings.ContainsAny(strings.NewReplacer("\r\n ", "", "\r\n\t", "").Replace(value), "\r\n\x00") {
			return
		}
		for line := range strings.SplitSeq(value, "\r\n") {
			if len(line) > 900 {
				return
			}
		}
		for _, name := range []string{"Subject", "To"} {
			in := name + ":" + value + "\r\n"
			out := EncodeWords([]byte(in))
			n := 0
			for range Fields(out) {
				n++
			}
			if n != 1 || strings.Contains(string(out), "\r\n\r\n") {
				t.Fatalf("%q became %d fields: %q", in, n, out)
			}
			for line := range strings.SplitSeq(string(out), "\r\n") {
				if len(line) > MaxLine || strings.ContainsAny(line, "\r\n\x00") {
					t.Fatalf("%q became %q", in, out)
				}
			}
			if string(out) == in {
				continue
			}
			if !ASCII(out) {
				t.Errorf("%q became %q", in, out)
			}
			if name == "To" {
				before, _ := mail.ParseAddressList(Value([]byte(in)))
				after, err := mail.ParseAddressList(Value(out))
				if err != nil || len(before) != len(after) {
					t.Fatalf("%q became %q: %v", in, out, err)
				}
				for i := range before {
					if *before[i] != *after[i] {
						t.Errorf("%q became %q", before[i], after[i])
					}
				}
				continue
			}
			before := Value([]byte(in))
			if decoded, err := new(mime.WordDecoder).DecodeHeader(before); err == nil {
				before = decoded
			}
			if after, err := new(mime.WordDecoder).DecodeHeader(Value(out)); err != nil || after != before {
				t.Errorf("%q became %q, %v", before, after, err)
			}
		}
	})
}
