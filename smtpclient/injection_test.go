package smtpclient_test

import (
	"bytes"
	"context"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/postroad/postroad/smtpclient"
)

// cannedConn is a server that says a list of replies, and then 250, whatever it hears, and keeps what it hears.
type cannedConn struct {
	net.Conn
	replies []string
	heard   bytes.Buffer
}

func (c *cannedConn) Read(p []byte) (int, error) {
	if len(c.replies) == 0 {
		return copy(p, "250 ok\r\n"), nil
	}
	n := copy(p, c.replies[0])
	c.replies = c.replies[1:]
	return n, nil
}

func (c *cannedConn) Write(p []byte) (int, error)      { return c.heard.Write(p) }
func (c *cannedConn) Close() error                     { return nil }
func (c *cannedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *cannedConn) SetWriteDeadline(time.Time) error { return nil }

// say sends a message to a server that accepts everything, and returns what it has heard of the transaction.
func say(t *testing.T, extensions []string, e *smtpclient.Envelope, body string) (heard string, results []smtpclient.Result) {
	t.Helper()
	c := &cannedConn{replies: []string{"220 hi\r\n", "250-hi\r\n250-" + strings.Join(extensions, "\r\n250-") + "\r\n250 X\r\n"}}
	s, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", &smtpclient.Options{
		TLS:  smtpclient.NoTLS,
		Dial: func(context.Context, string, string) (net.Conn, error) { return c, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	c.heard.Reset()
	if !slices.Contains(extensions, "CHUNKING") {
		c.replies = append(slices.Repeat([]string{"250 ok\r\n"}, len(e.To)+1), "354 go\r\n")
	}
	results, _ = s.Send(t.Context(), e, strings.NewReader(body))
	heard = c.heard.String()
	s.Close()
	return heard, results
}

// everything is what a server can offer that gives an argument a place in a command.
var everything = []string{"PIPELINING", "DSN", "SMTPUTF8", "SIZE", "8BITMIME", "AUTH PLAIN", "DELIVERBY", "MT-PRIORITY", "REQUIRETLS"}

// However a server takes what it hears apart, it finds one MAIL and one RCPT for each recipient that was not refused, each with
// one address and no parameter that nobody has asked for.
func FuzzArguments(f *testing.F) {
	for _, s := range []string{
		"a@b.example", "a@b> SIZE=1", "a@b>\r\nRCPT TO:<c@d", "a@b\nDATA", "a@b\rDATA", `"a> X=1"@b`, `"a>b"@c`, `"a<b"@c`, `"a b"@c`, `"a\"b"@c`, `"a\" X=Y"@c`,
		"a@b\x00X", "a@b\vDATA", "a@b\u2028DATA", "a@b\u0085DATA", "ü@ü.example", "a@[1.2.3.4]", "a@[x] X=1", "<a@b>", "@x:a@b", "a@b SIZE=9",
		"+0D+0AX", `\x{0D}`, "rfc822", "FULL", "NEVER", "8BITMIME", "",
	} {
		f.Add("me@example.com", s, s, s, byte(0))
		f.Add(s, "you@example.org", "id", "", byte(0))
		for where := range 5 {
			f.Add("me@example.com", "you@example.org", "id", s, byte(1)<<where)
		}
	}
	f.Fuzz(func(t *testing.T, from, to, param, word string, where byte) {
		at := func(bit int, usual string) string {
			if where&(1<<bit) > 0 {
				return word
			}
			return usual
		}
		e := &smtpclient.Envelope{
			From: from, Priority: len(word), DeliverBy: &smtp.DeliverByOptions{Time: time.Hour, Mode: smtp.DeliverByMode(at(0, "N"))},
			To: []smtpclient.Recipient{
				{Address: to, Rcpt: smtp.RcptOptions{
					Notify:            []smtp.DSNNotify{smtp.DSNNotify(at(1, "DELAY"))},
					OriginalRecipient: param, OriginalRecipientType: smtp.DSNAddressType(at(2, "rfc822")),
				}},
				{Address: "second@example.org", Rcpt: smtp.RcptOptions{OriginalRecipient: param}},
			},
			Mail: smtp.MailOptions{
				Size: 7, Body: smtp.BodyType(at(3, "8BITMIME")), Return: smtp.DSNReturn(at(4, "FULL")), EnvelopeID: param, Auth: &param,
			},
		}
		heard, results := say(t, everything, e, "x\r\n")
		for _, r := range results {
			if r.Err == nil && r.Reply.Code != 250 {
				t.Errorf("%+v", r)
			}
		}
		commands, _, _ := strings.Cut(heard, "\r\nDATA\r\n")
		var mails, rcpts []string
		for line := range strings.SplitSeq(strings.TrimSuffix(commands, "\r\n"), "\r\n") {
			if line == "" && heard == "" {
				break // all was refused here
			}
			if anyLineEnd.MatchString(line) {
				t.Fatalf("line ends within a command: %q", commands)
			}
			switch verb, path, _ := strings.Cut(line, ":"); verb {
			case "MAIL FROM":
				mails = append(mails, oneReading(t, path, []string{"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH", "BY", "MT-PRIORITY"}))
			case "RCPT TO":
				rcpts = append(rcpts, oneReading(t, path, []string{"NOTIFY", "ORCPT"}))
			default:
				t.Fatalf("a command of its own: %q", line)
			}
		}
		want := []string{}
		for i, r := range results {
			if r.Err == nil {
				want = append(want, e.To[i].Address)
			}
		}
		if len(want) > 0 && (!slices.Equal(mails, []string{from}) || !slices.Equal(rcpts, want)) {
			t.Errorf("MAIL %q, RCPT %q, want %q and %q", mails, rcpts, from, want)
		}
	})
}

// anyLineEnd is what anybody takes for the end of a line, or of a text.
var anyLineEnd = regexp.MustCompile("[\r\n\v\f\x00\x1a\x1c-\x1e\u0085\u2028\u2029]")

// oneReading takes "<address> parameters" apart in all the ways that servers do, and returns the address that all find.
func oneReading(t *testing.T, path string, allowed []string) string {
	t.Helper()
	type reading struct{ address, parameters string }
	var readings []reading
	add := func(address, parameters string) {
		readings = append(readings, reading{strings.TrimSuffix(strings.TrimPrefix(address, "<"), ">"), strings.TrimSpace(parameters)})
	}
	word, rest, _ := strings.Cut(path, " ") // words
	add(word, rest)
	word, rest, _ = strings.Cut(path, ">") // to the first bracket
	add(word, rest)
	bracket := strings.Index(path, "> ") // to the first bracket that ends a word
	if bracket < 0 {
		bracket = len(path) - 1
	}
	add(path[:bracket], path[bracket+1:])
	quoted := 0 // a quoted string hides brackets
	for inside := false; quoted < len(path) && (inside || path[quoted] != '>'); quoted++ {
		switch path[quoted] {
		case '\\':
			quoted++
		case '"':
			inside = !inside
		}
	}
	if quoted >= len(path) {
		t.Fatalf("no end of the path: %q", path)
	}
	add(path[:quoted], path[quoted+1:])
	if pairs := 1 + strings.Count(path, " AUTH=<>"); path[0] != '<' || strings.Count(path, "<") > pairs || strings.Count(path, ">") > pairs {
		t.Fatalf("brackets: %q", path)
	}
	for _, r := range readings[1:] {
		if r != readings[0] {
			t.Fatalf("%q can be read as %q", path, readings)
		}
	}
	var seen []string
	for _, p := range strings.Split(readings[0].parameters, " ") {
		keyword, _, _ := strings.Cut(p, "=")
		if p != "" && (!slices.Contains(allowed, keyword) || slices.Contains(seen, keyword)) {
			t.Fatalf("a parameter of its own: %q", path)
		}
		seen = append(seen, keyword)
	}
	return readings[0].address
}

// falseEnds are the octets that one server or another takes for the end of the data, although they aren't.
var falseEnds = []string{
	"\n.\n", "\n.\r", "\r.\r", "\r.\n", "\r\r\n.\r\r\n", // and whatever contains one of them, such as LF.CRLF
}

// Whatever a body has in it, no server sees the end of the data before it, and those that keep to the rules get what was given.
func FuzzSmuggle(f *testing.F) {
	for _, s := range []string{
		"", ".", "\r\n.\r\n", "a\r\n.\r\nMAIL FROM:<x@y>\r\n", "a\n.\nb", "a\n.\r\nb", "a\r.\rb", "a\r.\r\nb", "a\r\n.\rb", "a\r\n.\nb", "a\r.\nb", "a\n.\rb",
		"a\r\r\n.\r\r\nb", "a\r\n\r.\r\nb", "a\n\r.\n\rb", "a\r\n..\r\nb", "a\r\n.", "a\r\n.\r", "a\r", ".\r", "a\r\n .\r\nb", "a\r\n.\t\r\nb",
		"a\r\n\x00.\r\nb", "a\r\n.\x00\r\nb", "a\r\n.\r\x00\nb", "a\r\x00\n.\r\nb", "\x00.\x00\r\nb",
		strings.Repeat("x", 16<<10-1) + "\n.\nb", strings.Repeat("x", 16<<10-1) + "\r.\r\nb", strings.Repeat("x", 64<<10-1) + "\r\n.\r\nb",
	} {
		for offered := range byte(4) {
			f.Add(s, offered)
		}
	}
	f.Fuzz(func(t *testing.T, body string, offered byte) {
		extensions := []string{"8BITMIME"}
		if offered&1 > 0 {
			extensions = append(extensions, "PIPELINING")
		}
		if offered&2 > 0 {
			extensions = append(extensions, "CHUNKING")
		}
		heard, results := say(t, extensions, envelope("one@example.org"), body)
		if results[0].Err != nil {
			t.Fatal(results[0].Err)
		}
		want := lineEnd.ReplaceAllString(strings.ReplaceAll(body, "\x00", ""), "\r\n")
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		_, rest, _ := strings.Cut(heard, "RCPT TO:<one@example.org>\r\n")
		var got string
		if offered&2 > 0 {
			got = receiveChunks(t, rest)
		} else {
			got = receive(t, strings.TrimPrefix(rest, "DATA\r\n"))
			checkEnd(t, strings.TrimPrefix(rest, "DATA"))
		}
		if got != want {
			t.Errorf("arrived: %q, want %q", got, want)
		}
	})
}

// checkEnd looks for the end of the data, which begin with a line end, as lenient servers do.
func checkEnd(t *testing.T, data string) {
	t.Helper()
	if !strings.HasSuffix(data, "\r\n.\r\n") {
		t.Fatalf("no end: %q", data)
	}
	for _, reading := range []string{data, strings.ReplaceAll(data, "\x00", "")} {
		for _, end := range falseEnds {
			if i := strings.Index(reading, end); i >= 0 && i < len(reading)-len("\r\n.\r\n") {
				t.Fatalf("%q has %q before its end", reading, end)
			}
		}
	}
}

var lineEnd = regexp.MustCompile("\r\n|\r|\n")

// receive reads data as RFC 5321, section 4.5.2 has it.
func receive(t *testing.T, data string) string {
	t.Helper()
	var text strings.Builder
	for {
		line, rest, ok := strings.Cut(data, "\r\n")
		switch {
		case !ok:
			t.Fatal("no end of the data")
		case line == "." && rest != "":
			t.Fatalf("ends before %q", rest)
		case line == ".":
			return text.String()
		}
		text.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
		data = rest
	}
}

// receiveChunks reads chunks as RFC 3030 has them.
func receiveChunks(t *testing.T, chunks string) string {
	t.Helper()
	var text strings.Builder
	for last := false; !last; {
		line, rest, _ := strings.Cut(chunks, "\r\n")
		line, last = strings.CutSuffix(line, " LAST")
		n, err := strconv.Atoi(strings.TrimPrefix(line, "BDAT "))
		if err != nil || n > len(rest) {
			t.Fatalf("not a chunk: %.100q", line)
		}
		text.WriteString(rest[:n])
		chunks = rest[n:]
	}
	if chunks != "" {
		t.Fatalf("goes on with %.100q", chunks)
	}
	return text.String()
}
