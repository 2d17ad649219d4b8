package dsn

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

	// A message that looks like parts of the report it is returned in.
	nested := report(failed)
	nested.Original = []byte("Subject: =_f\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"=_f\"\r\n\r\n" +
		"--=_f\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; evil.example\r\n\r\n" +
		"Final-Recipient: rfc822; eve@example.com\r\nAction: failed\r\n\r\n--=_f--\r\n\r\n--=_0123456789abcdef0123456789abcdef--\r\n")

	// Hosts that the DNS doesn't know, and an address of the type utf-8 that needs none.
	local := report(Recipient{
		Original:   `utf-8;a+b=c\x{41}@example.com`,
		Final:      `"a  b"@[192.0.2.1]`,
		Action:     Relayed,
		RemoteMTA:  "192.0.2.1",
		Diagnostic: Diagnostic{Code: 250, Text: "Ok: queued as 4711\nthank you"},
	}, Recipient{Final: "ann@[IPv6:2001:db8::1]", Action: Relayed, RemoteMTA: "2001:db8::1"})
	local.ReportingMTA = "localhost"

	template := report(evil)
	template.Subject = "Unzustellbar:\r\nBcc: eve@example.com, " + strings.Repeat("äußerst ", 20)
	template.Text = "Hallo,\n\n\t" + evil.Diagnostic.Text + "\n\u202egnp.exe\u202c \u0645\u06cc\u200c\u062e\n--boundary\r\n\r\n" +
		strings.Repeat("ü", 3000) + "\r\n\r\n\r\n"

	return map[string]*Report{
		"several": several, "failed": report(failed), "delayed": report(delayed), "global": global, "hostile": hostile, "full": full,
		"nested": nested, "local": local, "template": template,
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
	head, body, _ := bytes.Cut(b, []byte("\r\n\r\n"))
	if !isASCII(body) && !bytes.Contains(head, []byte("Content-Transfer-Encoding: 8bit")) {
		t.Errorf("8-bit content isn't declared")
	}
}
