package dsn

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// literals are the addresses of hosts, as reports name them.
var literals = strings.NewReplacer("192.0.2.1", "[192.0.2.1]", "2001:db8::1", "[IPv6:2001:db8::1]")

func TestRoundTrip(t *testing.T) {
	for name, r := range golden() {
		if name == "hostile" || name == "template" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			b, err := Compose(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Parse(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			want := *r
			want.From = "MAILER-DAEMON@" + r.ReportingMTA
			for i := range want.Recipients {
				p := &want.Recipients[i]
				p.Reason, p.Status = "", p.statusOr()
				p.RemoteMTA = literals.Replace(p.RemoteMTA)
				p.Diagnostic.Text = words(p.Diagnostic.Text)
			}
			if original, _, found := bytes.Cut(want.Original, []byte("\r\n\r\n")); found {
				want.OriginalHeader, want.Original = append(original, "\r\n"...), nil
			}
			if inUTC(got); !reflect.DeepEqual(got, &want) {
				t.Errorf("got  %+v\nwant %+v", got, &want)
			}
		})
	}
}

// inUTC lets reports be compared whatever names their time zones have.
func inUTC(r *Report) {
	for _, t := range []*time.Time{&r.Date, &r.ArrivalDate} {
		*t = t.UTC()
	}
	for i := range r.Recipients {
		p := &r.Recipients[i]
		p.LastAttempt, p.WillRetryUntil = p.LastAttempt.UTC(), p.WillRetryUntil.UTC()
	}
}

func TestHostileTextAddsNothing(t *testing.T) {
	b, err := Compose(golden()["hostile"])
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Recipients) != 2 || r.Recipients[0].Final != "nobody@example.com" || r.Recipients[0].Action != Failed {
		t.Errorf("recipients %+v", r.Recipients)
	}
	if n := bytes.Count(b, []byte("\r\nX: ")); n != 1 { // the one in the returned header
		t.Errorf("%d fields were added", n-1)
	}
	if len(b) > 20_000 {
		t.Errorf("%d octets", len(b))
	}
}

func TestTextStandsAloneAndIsClean(t *testing.T) {
	b, err := Compose(golden()["template"])
	if err != nil {
		t.Fatal(err)
	}
	_, human, _ := strings.Cut(string(b), "8bit\r\n\r\n--")
	_, human, _ = strings.Cut(human, "\r\n\r\n")
	human, _, _ = strings.Cut(human, "\r\n--=_")
	if !strings.HasPrefix(human, "Hallo,\r\n\r\n\tno\r\n") || strings.Contains(human, "automatic message") {
		t.Errorf("the text is %.200q", human)
	}
	if strings.ContainsAny(human, "\x00\x1b\u202a\u202b\u202c\u202d\u202e") || !strings.Contains(human, "\u0645\u06cc\u200c\u062e") {
		t.Errorf("the text has what can't be shown, or lacks what can:\n%q", human)
	}
	long := &Report{Text: strings.Repeat("\xff ü\n", MaxProse)}
	if n := len(long.humanPart().content); n > 2*MaxProse {
		t.Errorf("the text has %d octets", n)
	}
}

func TestParseReceived(t *testing.T) {
	cet := time.Date(2026, 3, 4, 5, 7, 7, 0, time.UTC)
	tests := map[string]*Report{
		"postfix": {
			From: "MAILER-DAEMON@mail.example.net", To: "bob@example.org", Date: cet.Add(time.Second),
			MessageID: "<20260304050708.4F1B2C3D4E@mail.example.net>", ReportingMTA: "mail.example.net",
			OriginalEnvelopeID: "QQ314159", OriginalMessageID: "<lunch@example.org>", ArrivalDate: cet,
			Recipients: []Recipient{
				{Original: "rfc822;Nobody@example.com", Final: "nobody@example.com", Action: Failed, Status: "5.1.1", RemoteMTA: "mx.example.com",
					Diagnostic: Diagnostic{550, "5.1.1", "<nobody@example.com>: Recipient address rejected: User unknown in virtual mailbox table"}},
				{Final: "ann@gone.example", Action: Failed, Status: "5.4.4",
					Diagnostic: Diagnostic{Text: "Host or domain name not found. Name service error for name=gone.example type=AAAA: Host not found"}},
			},
			OriginalHeader: []byte("Return-Path: <bob@example.org>\r\nFrom: Bob <bob@example.org>\r\nMessage-ID: <lunch@example.org>\r\nSubject: Lunch\r\n"),
		},
		"exim": {
			From: "Mailer-Daemon@mail.example.net", To: "bob@example.org", Date: cet.Add(time.Second),
			MessageID: "<E1abcDE-0001Ab-Cd@mail.example.net>", ReportingMTA: "mail.example.net", OriginalMessageID: "<lunch@example.org>",
			Recipients: []Recipient{{Final: "nobody@example.com", Action: Failed, Status: "5.0.0", RemoteMTA: "mx.example.com",
				Diagnostic: Diagnostic{Code: 550, Text: "No such user"}}},
			OriginalHeader: []byte("Received: from bob by mail.example.net with local (Exim)\r\n\tid 1abcDE-0001Aa-Bc\r\n" +
				"Message-Id: <lunch@example.org>\r\nFrom: Bob <bob@example.org>\r\n"),
		},
		"odd": {
			From: "postmaster@example.net", To: "bob@example.org", ReportingMTA: "mx.example.net",
			Recipients: []Recipient{{Final: "ann@example.com", Action: Failed, Status: "5.2.2", Diagnostic: Diagnostic{552, "5.2.2", "full"}}},
		},
		"xtext": {
			From: "postmaster@example.net", To: "bob@example.org", ReportingMTA: "mx.example.net",
			Recipients: []Recipient{{Final: "jürgen  @example.com", Action: Failed, Status: "5.1.1"}},
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join("testdata", "received", name+".eml"))
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range [][]byte{b, bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))} {
				got, err := Parse(bytes.NewReader(in))
				if err != nil {
					t.Fatal(err)
				}
				if inUTC(got); !reflect.DeepEqual(got, want) {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const top = "Content-Type: multipart/report; boundary=b\r\n\r\n"
	tests := map[string]string{
		"nothing":         "",
		"no header":       "Hi",
		"other content":   "Content-Type: text/plain\r\n\r\nHi\r\n",
		"no boundary":     "Content-Type: multipart/report\r\n\r\nHi\r\n",
		"no parts":        top,
		"no status":       top + "--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b--\r\n",
		"no recipients":   top + "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\r\n--b--\r\n",
		"endless header":  strings.Repeat("A: b\r\n", 100_000),
		"many parts":      top + strings.Repeat("--b\r\n\r\n\r\n", 100_000),
		"broken encoding": top + "--b\r\nContent-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!\r\n--b--\r\n",
	}
	for name, in := range tests {
		if r, err := Parse(strings.NewReader(in)); !errors.Is(err, ErrNotReport) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestParseIsBounded(t *testing.T) {
	const top = "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\r\n"
	in := top + strings.Repeat("\r\nFinal-Recipient: rfc822; a@b\r\n", MaxRecipients+10) + "\r\n--b--\r\n"
	r, err := Parse(strings.NewReader(in))
	if err != nil || len(r.Recipients) != MaxRecipients {
		t.Errorf("%d recipients, %v", len(r.Recipients), err)
	}
	in = top + "\r\nFinal-Recipient: rfc822; " + strings.Repeat("a", 4096-25) + "Action: delayed\r\nAction: failed\r\n" +
		"Diagnostic-Code: smtp; 550" + strings.Repeat(" word\r\n", 100_000) + "\r\n--b--\r\n"
	r, err = Parse(strings.NewReader(in))
	if err != nil || len(r.Recipients) != 1 || len(r.Recipients[0].Final) != MaxText || r.Recipients[0].Action != Failed ||
		len(r.Recipients[0].Diagnostic.Text) > MaxText {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestParseReturnsReadErrors(t *testing.T) {
	b, err := Compose(golden()["full"])
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for _, n := range []int{0, 100, 700, 1200} {
		_, err := Parse(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || errors.Is(err, ErrNotReport) {
			t.Errorf("broken after %d octets: %v", n, err)
		}
	}
}
