package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/postroad/postroad/delivery/dsn"
)

// TestPostfix has a real server behind the relay, and another time before it:
//
//	client, smtp-source -> relay -> Postfix -> mailbox
//	smtp-source -> Postfix -> relay -> smtp-sink
func TestPostfix(t *testing.T) {
	needPostfix(t)
	sink := startSink(t)
	out := startChild(t, queueFile(t), "-relay", "smtp://"+sink.addr)
	host, port, _ := strings.Cut(out.addr, ":")
	p := startPostfix(t, "["+host+"]:"+port)
	in := startChild(t, queueFile(t), "-relay", "smtp://"+p.addr, "-retry", "1s")

	t.Run("many", func(t *testing.T) { testMany(t, in, p) })
	t.Run("octets", func(t *testing.T) { testOctets(t, in, p) })
	t.Run("bounce", func(t *testing.T) { testBounce(t, in, p) })
	t.Run("client", func(t *testing.T) { testClient(t, p, out, sink) })
	in.stop()
	out.stop()
}

// sink is an smtp-sink that writes each message to a file.
type sink struct{ addr, dir string }

func startSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{dir: openDir(t)}
	if err := os.Chown(s.dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.addr = freeAddr(t)
		if startServer(t, s.addr, exec.Command("smtp-sink", "-u", "nobody", "-d", filepath.Join(s.dir, "%M."), s.addr, "100")) {
			return s
		}
	}
	t.Fatal("smtp-sink does not start")
	return nil
}

// source sends messages with smtp-source.
func source(t *testing.T, addr, from, to string, n int) {
	t.Helper()
	out, err := exec.Command("smtp-source", "-m", fmt.Sprint(n), "-s", "5", "-l", "3000", "-f", from, "-t", to, addr).CombinedOutput()
	if err != nil {
		t.Fatalf("smtp-source: %v: %s", err, out)
	}
}

// testMany sends several dozens of messages over several connections; each arrives once, encrypted on its way though
// nobody trusts the server's certificate.
func testMany(t *testing.T, in *child, p *postfix) {
	const n = 60
	source(t, in.addr, "alice@example.org", "bob@example.net", n)
	seen := map[string]bool{}
	for _, m := range p.take("bob@example.net", n) {
		id := traceID.FindStringSubmatch(m)
		if id == nil {
			t.Fatalf("no trace of the relay:\n%s", m)
		}
		if seen[id[1]] {
			t.Errorf("%s arrived twice", id[1])
		}
		seen[id[1]] = true
		if !strings.Contains(m, "(using TLSv1.") {
			t.Errorf("not encrypted:\n%s", m)
		}
	}
	for _, e := range in.wait(t, "queued", n) {
		if !seen[e["id"].(string)] {
			t.Errorf("%v did not arrive", e["id"])
		}
	}
	for _, e := range in.wait(t, "attempt", n) {
		if e["outcome"] != "delivered" {
			t.Error(e)
		}
	}
}

// traceID finds the ID in the relay's Received field.
var traceID = regexp.MustCompile(`by mx\.example with \w+ id (\w+);`)

// trace is what servers have put on top of a message: what Postfix adds at delivery and on arrival, and the relay's Received.
var trace = regexp.MustCompile(`^Return-Path: <alice@example\.org>\n` +
	`X-Original-To: bob@example\.net\n` +
	`Delivered-To: bob@example\.net\n` +
	`Received: from mx\.example (?:.*\n[ \t])+.*\n` +
	`Received: from client\.example \(\[127\.0\.0\.1\]\)\n\tby mx\.example with \w+ id \w+;\n\t.*\n`)

// added is what the relay puts at the end of a header section that lacks it.
var added = regexp.MustCompile(`\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\nMessage-ID: <\w+@example\.org>\n\n`)

// testOctets sends messages of which some server might want to change something; nobody does.
func testOctets(t *testing.T, in *child, p *postfix) {
	const full = "Date: Sat, 01 Feb 2025 10:00:00 +0000\r\nMessage-ID: <x@client.example>\r\n"
	for _, test := range []struct{ name, params, message string }{
		{"plain", "", full + "Subject: x\r\n\r\nHello.\r\n"},
		{"nothing but a body", "", "Subject: x\r\n\r\nHello.\r\n"},
		{"8-bit", " BODY=8BITMIME", full + "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße, 世界\r\n"},
		{"not even UTF-8", " BODY=8BITMIME", full + "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe\x80\xff\r\n"},
		{"UTF-8 header", " SMTPUTF8", full + "Subject: Grüße 世界\r\nFrom: Zoë <alice@example.org>\r\n\r\nHello.\r\n"},
		{"long lines", "", full + "\r\n" + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 20) + strings.Repeat("y", 997) + "\r\n"},
		{"long header line", "", full + "X-Long: " + strings.Repeat("x", 990) + "\r\n\r\nHello.\r\n"},
		{"dots", "", full + "\r\n.\r\n..\r\n...\r\n.x\r\nx.\r\n\r\n.\r\n\r\n"},
		{"folded", "", full + "Subject: one\r\n\ttwo\r\n  three \r\n\t \tfour\r\nTo: bob@example.net,\r\n carol@example.net\r\nX-Empty:\r\n\r\nHello.\r\n"},
		{"blanks", "", full + "Subject:  two blanks\t\r\n\r\n \r\n\t\r\ntrailing \t\r\n\r\n\r\n"},
		{"From and commands", "", full + "\r\nFrom here on\r\n>From there\r\nQUIT\r\nRSET\r\n"},
		{"controls", "", full + "\r\n\x01\x07\x0b\x0c\x1b[1m\x7f\r\n"},
		{"bare address", "", full + "From: alice\r\nTo: bob\r\nCc: undisclosed-recipients:;\r\n\r\nHello.\r\n"},
		{"large", "", full + "\r\n" + strings.Repeat("0123456789012345678901234567890123456789012345678901234567890123456789\r\n", 30_000)},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := hello(t, in.addr)
			c.say("250 ", "MAIL FROM:<alice@example.org>"+test.params)
			c.say("250 ", "RCPT TO:<bob@example.net>")
			c.say("354 ", "DATA")
			c.send(dotted(test.message))
			c.expect("250 2.0.0 ")
			checkOctets(t, p, test.message)
		})
	}
	t.Run("no end of the last line", func(t *testing.T) {
		c := hello(t, in.addr)
		c.say("250 ", "MAIL FROM:<alice@example.org>")
		c.say("250 ", "RCPT TO:<bob@example.net>")
		message := full + "\r\nHello."
		c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(message), message))
		c.expect("250 2.0.0 ")
		checkOctets(t, p, message+"\r\n")
	})
	t.Run("a lone LF", func(t *testing.T) {
		c := hello(t, in.addr)
		c.say("250 ", "MAIL FROM:<alice@example.org>")
		c.say("250 ", "RCPT TO:<bob@example.net>")
		c.say("354 ", "DATA")
		c.send(full + "\r\none\ntwo\n.\nMAIL FROM:<evil@example.com>\n.\r\nthree\r\n.\r\n")
		c.expect("250 2.0.0 ")
		checkOctets(t, p, full+"\r\none\r\ntwo\r\n.\r\nMAIL FROM:<evil@example.com>\r\n.\r\nthree\r\n")
	})
}

// dotted is a message as DATA wants it.
func dotted(message string) string {
	if strings.HasPrefix(message, ".") {
		message = "." + message
	}
	return strings.ReplaceAll(message, "\r\n.", "\r\n..") + ".\r\n"
}

// checkOctets compares what is in bob's mailbox with what was sent. A mailbox has lines that end in LF.
func checkOctets(t *testing.T, p *postfix, sent string) {
	t.Helper()
	got := p.take("bob@example.net", 1)[0]
	top := trace.FindString(got)
	if top == "" {
		t.Fatalf("unexpected trace:\n%.2000s", got)
	}
	got = got[len(top):]
	if !strings.Contains(sent, "Message-ID: ") {
		if got = added.ReplaceAllLiteralString(got, "\n\n"); strings.Contains(got, "Message-ID: ") {
			t.Errorf("added: %q", got)
		}
	}
	if want := strings.ReplaceAll(sent, "\r\n", "\n"); got != want {
		t.Errorf("stored: %.3000q\nsent:   %.3000q", got, want)
	}
}

// testBounce sends to an unknown user among good ones: those get the message, and the sender a report about that one.
func testBounce(t *testing.T, in *child, p *postfix) {
	c := hello(t, in.addr)
	c.say("250 ", "MAIL FROM:<alice@example.org> ENVID=envelope-7")
	for _, to := range []string{"bob", "unknown", "carol"} {
		c.say("250 ", "RCPT TO:<"+to+"@example.net>")
	}
	c.say("354 ", "DATA")
	c.say("250 2.0.0 ", "Message-ID: <original@client.example>\r\n"+simple("to three")+"\r\n.")
	p.take("bob@example.net", 1)
	p.take("carol@example.net", 1)
	report := p.take("alice@example.org", 1)[0]
	if !strings.HasPrefix(report, "Return-Path: <>\n") {
		t.Errorf("the report has a sender:\n%s", report)
	}
	r, err := dsn.Parse(strings.NewReader(report))
	if err != nil {
		t.Fatalf("%v:\n%s", err, report)
	}
	if len(r.Recipients) != 1 || r.Recipients[0].Final != "unknown@example.net" || r.Recipients[0].Status != "5.1.1" || r.Recipients[0].Action != dsn.Failed {
		t.Errorf("recipients: %+v", r.Recipients)
	}
	if r.OriginalEnvelopeID != "envelope-7" || r.OriginalMessageID != "<original@client.example>" || r.ReportingMTA != "mx.example" {
		t.Errorf("report: %+v", r)
	}
	if strings.Contains(report, "bob@") || strings.Contains(report, "carol@") {
		t.Errorf("the report names others:\n%s", report)
	}
}

// testClient has Postfix send through the relay.
func testClient(t *testing.T, p *postfix, out *child, s *sink) {
	const n = 20
	source(t, p.addr, "alice@example.org", "somebody@example.com", n)
	out.wait(t, "attempt", n)
	for _, m := range takeFiles(t, s.dir, n) {
		if !strings.Contains(m, "\nReceived: from postfix.example ([127.0.0.1])") || !strings.Contains(m, "\tby mx.example with ESMTP id ") {
			t.Errorf("did not come from Postfix through the relay:\n%s", m)
		}
	}
}
