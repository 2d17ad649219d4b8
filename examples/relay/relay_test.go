package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

func TestOffers(t *testing.T) {
	r := startInside(t, memqueue.New(), nil, "-relay", "smtp://127.0.0.1:1", "-max-size", "12345")
	c := connect(t, r.addr)
	c.expect("220 mx.example ")
	c.send("EHLO client.example\r\n")
	offered := map[string]bool{}
	for more := true; more; {
		line, err := c.text.ReadLine()
		if err != nil || len(line) < 4 || line[:3] != "250" {
			t.Fatal(line, err)
		}
		more, offered[line[4:]] = line[3] == '-', true
	}
	for _, want := range []string{"PIPELINING", "SIZE 12345", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"} {
		if !offered[want] {
			t.Errorf("%s is not offered: %v", want, offered)
		}
	}
}

// The 250 says that the message is durable, so it must not come before the queue has said so.
func TestAnswersAfterCommit(t *testing.T) {
	entered, commit := make(chan queue.ID), make(chan bool)
	q := faultyQueue{memqueue.New(), func(e *queue.Entry) error {
		entered <- e.Message.ID
		<-commit
		return nil
	}}
	r := startInside(t, q, nil, "-relay", "smtp://127.0.0.1:1")
	c := hello(t, r.addr)
	c.send("MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
	c.expect("250 ")
	c.expect("250 ")
	c.expect("354 ")
	c.send(simple("hello") + "\r\n.\r\n")
	id := <-entered
	c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if line, err := c.reply(); err == nil {
		t.Fatalf("the relay said %q before the commit", line)
	}
	c.conn.SetReadDeadline(time.Now().Add(patience))
	close(commit)
	if got := c.expect("250 2.0.0 "); !strings.HasSuffix(got, "queued as "+string(id)) {
		t.Errorf("the relay said %q, and the ID is %s", got, id)
	}
}

// What the client says about the message and its recipients goes with it to the next server.
func TestEnvelope(t *testing.T) {
	next := target(t, nil)
	r := startInside(t, memqueue.New(), nil, "-relay", "smtp://"+next.Addr)
	c := hello(t, r.addr)
	c.say("250 ", "MAIL FROM:<\"a:b\"@example.org> RET=HDRS ENVID=QQ+3D123 SMTPUTF8 BODY=8BITMIME")
	c.say("250 ", "RCPT TO:<b@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bee+40example.net")
	c.say("250 ", "RCPT TO:<\"c\\\"d\"@example.net> NOTIFY=NEVER")
	c.say("354 ", "DATA")
	c.say("250 2.0.0 ", "Subject: Grüße\r\nDate: x\r\nMessage-ID: <y@z>\r\n\r\nHello.\r\n.")
	id := r.wait(t, "queued", 1)[0]["id"].(string)
	e := r.wait(t, "attempt", 2)
	messages := next.Messages()
	if len(messages) != 1 {
		t.Fatalf("no message: %v", e)
	}
	m := messages[0]
	if want := `"a:b"@example.org`; m.From != want {
		t.Errorf("from %q, want %q", m.From, want)
	}
	for _, want := range []string{"RET=HDRS", "ENVID=QQ+3D123", "SMTPUTF8", "BODY=8BITMIME"} {
		if !strings.Contains(m.Params, want) {
			t.Errorf("MAIL has %q, not %s", m.Params, want)
		}
	}
	want := []smtptest.Recipient{
		{Address: "b@example.net", Params: "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bee@example.net"},
		{Address: `"c\"d"@example.net`, Params: "NOTIFY=NEVER"},
	}
	if !strings.EqualFold(fmt.Sprint(m.To), fmt.Sprint(want)) { // the type of ORCPT may be written in either case
		t.Errorf("to %q, want %q", m.To, want)
	}
	trace, rest, _ := bytes.Cut(m.Data, []byte("\r\nSubject:"))
	if string(rest) != " Grüße\r\nDate: x\r\nMessage-ID: <y@z>\r\n\r\nHello.\r\n" {
		t.Errorf("message: %q", m.Data)
	}
	start := "Received: from client.example ([127.0.0.1])\r\n\tby mx.example with UTF8SMTP id " + id + ";\r\n\t"
	date, ok := strings.CutPrefix(string(trace), start)
	if _, err := time.Parse(time.RFC1123Z, date); err != nil || !ok {
		t.Errorf("trace: %q, %v", trace, err)
	}
}

func TestRefusals(t *testing.T) {
	q := memqueue.New()
	r := startInside(t, q, nil, "-relay", "smtp://127.0.0.1:1", "-max-size", "100000")
	for _, test := range []struct{ name, from, to, data, want string }{
		{"sender without domain", "<a>", "", "", "501 "},
		{"bad sender", "<a@b..c>", "", "", "553 5.1.7 "},
		{"sender with NUL", "<a\x00@example.org>", "", "", "553 5.1.7 "},
		{"sender needs SMTPUTF8", "<ä@example.org>", "", "", "553 5.6.7 "},
		{"announced too large", "<a@example.org> SIZE=100001", "", "", "552 5.3.4 "},
		{"recipient without domain", "<a@example.org>", "<b>", "", "501 "},
		{"two at signs", "<a@example.org>", "<b@c@example.net>", "", "553 5.1.3 "},
		{"two at signs, quoted", "<a@example.org>", `<"b@c"@example.net>`, "", "553 5.1.3 "},
		{"quoted parameter", "<a@example.org>", `<"b> NOTIFY=NEVER"@example.net>`, "", "553 5.1.3 "},
		{"long local part", "<a@example.org>", "<" + strings.Repeat("b", 65) + "@example.net>", "", "553 5.1.3 "},
		{"carriage return", "<a@example.org>", "<b\rc@example.net>", "", "553 5.1.3 "},
		{"recipient needs SMTPUTF8", "<a@example.org>", "<b@exämple.net>", "", "553 5.6.7 "},
		{"too large", "<a@example.org>", "<b@example.net>", "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 98)+"\r\n", 1000), "552 5.3.4 "},
		{"NUL", "<a@example.org>", "<b@example.net>", "Subject: x\r\n\r\nx\x00y\r\n", "554 5.6.0 "},
		{"carriage return in the body", "<a@example.org>", "<b@example.net>", "Subject: x\r\n\r\nx\ry\r\n", "554 5.6.0 "},
		{"long line", "<a@example.org>", "<b@example.net>", "Subject: x\r\n\r\n" + strings.Repeat("x", 999) + "\r\n", "554 5.6.0 "},
		{"very long line", "<a@example.org>", "<b@example.net>", "Subject: x\r\n\r\n" + strings.Repeat("x", 60000) + "\r\n", "554 5.6.0 "},
		{"broken header", "<a@example.org>", "<b@example.net>", "Subject: x\r\nfoo bar\r\n\r\nx\r\n", "554 5.6.0 "},
		{"header that isn't UTF-8", "<a@example.org>", "<b@example.net>", "Subject: f\xfcnf\r\n\r\nx\r\n", "554 5.6.0 "},
		{"mbox", "<a@example.org>", "<b@example.net>", "From a@example.org Sat Jan  3 01:05:34 1996\r\nSubject: x\r\n\r\nx\r\n", "554 5.6.0 "},
		{"loop", "<a@example.org>", "<b@example.net>", strings.Repeat("Received: from x by y; date\r\n", 51) + "\r\n", "554 5.4.6 "},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := hello(t, r.addr)
			if test.to == "" {
				c.say(test.want, "MAIL FROM:"+test.from)
			} else {
				c.say("250 ", "MAIL FROM:"+test.from)
			}
			if test.data != "" {
				c.say("250 ", "RCPT TO:"+test.to)
				c.say("354 ", "DATA")
				c.say(test.want, test.data+".")
			} else if test.to != "" {
				c.say(test.want, "RCPT TO:"+test.to)
			}
			c.say("250 ", "RSET")
			c.mail("a@example.org", "b@example.net", strings.Repeat("Received: from x by y; date\r\n", 50)+simple("after "+test.name))
		})
	}
	if n, want := len(stored(t, q, queue.Filter{})), 21; n != want {
		t.Errorf("%d messages were queued, want %d", n, want)
	}
}

// A second MAIL must not mix two envelopes.
func TestNestedMail(t *testing.T) {
	r := startInside(t, memqueue.New(), nil, "-relay", "smtp://127.0.0.1:1")
	c := hello(t, r.addr)
	c.say("250 ", "MAIL FROM:<a@example.org>")
	c.say("503 5.5.1 ", "MAIL FROM:<c@example.org>")
	c.say("250 ", "EHLO client.example")
	c.say("250 ", "MAIL FROM:<c@example.org>")
}

func TestQueueTrouble(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{queue.ErrFull, "452 4.3.1 "},
		{&os.PathError{Op: "write", Path: "mail.db", Err: syscall.ENOSPC}, "452 4.3.1 "},
		{queue.ErrInDoubt, "451 4.3.0 "},
		{queue.ErrClosed, "451 4.3.0 "},
		{errors.New("input/output error"), "451 4.3.0 "},
	} {
		q := faultyQueue{memqueue.New(), func(*queue.Entry) error { return test.err }}
		r := startInside(t, q, nil, "-relay", "smtp://127.0.0.1:1")
		c := hello(t, r.addr)
		for range 2 {
			c.say("250 ", "MAIL FROM:<a@example.org>")
			c.say("250 ", "RCPT TO:<b@example.net>")
			c.say("354 ", "DATA")
			c.say(test.want, simple("x")+"\r\n.")
		}
	}
}

// Half a message is never queued, however the connection ends in the middle of it.
func TestHalfMessage(t *testing.T) {
	q := memqueue.New()
	r := startInside(t, q, nil, "-relay", "smtp://127.0.0.1:1")
	for _, start := range []string{
		"DATA\r\nSubject: x\r\n\r\nHello",
		"DATA\r\nSubject: x\r\n\r\nHello\r\n.\r",
		"BDAT 100\r\nSubject: x\r\n\r\nHello",
		"BDAT 100 LAST\r\nSubject: x\r\n\r\nHello",
		"BDAT 12\r\nSubject: x\r\nBDAT 100 LAST\r\n\r\nHello",
	} {
		c := hello(t, r.addr)
		c.say("250 ", "MAIL FROM:<a@example.org>")
		c.say("250 ", "RCPT TO:<b@example.net>")
		c.send(start)
		if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := c.reply()
			if err != nil {
				break // the relay has hung up
			}
			if strings.Contains(line, "queued") {
				t.Errorf("%q: %s", start, line)
			}
		}
	}
	r.stop(t)
	if n := len(stored(t, q, queue.Filter{})); n != 0 {
		t.Errorf("%d messages were queued", n)
	}
}

func TestChunks(t *testing.T) {
	next := target(t, nil)
	r := startInside(t, memqueue.New(), nil, "-relay", "smtp://"+next.Addr)
	c := hello(t, r.addr)
	c.say("250 ", "MAIL FROM:<a@example.org>")
	c.say("250 ", "RCPT TO:<b@example.net>")
	c.send("BDAT 14\r\nSubject: x\r\n\r\n")
	c.expect("250 ")
	c.send("BDAT 7 LAST\r\nHello\r\n")
	c.expect("250 2.0.0 OK: queued as ")
	messages, err := next.Wait(newContext(t), 1)
	if err != nil || !bytes.Contains(messages[0].Data, []byte("\r\n\r\nHello\r\n")) {
		t.Error(err, messages)
	}
}

// foreign makes all connections come from elsewhere.
type foreign struct {
	net.Listener
	from net.Addr
}

func (f foreign) Accept() (net.Conn, error) {
	c, err := f.Listener.Accept()
	return foreignConn{c, f.from}, err
}

type foreignConn struct {
	net.Conn
	from net.Addr
}

func (c foreignConn) RemoteAddr() net.Addr { return c.from }

func TestOnlyThisMachine(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1":         "220 ",
		"127.9.9.9":         "220 ",
		"::1":               "220 ",
		"::ffff:127.0.0.1":  "220 ",
		"192.168.1.1":       "554 5.7.1 ",
		"203.0.113.9":       "554 5.7.1 ",
		"2001:db8::1":       "554 5.7.1 ",
		"::ffff:10.0.0.127": "554 5.7.1 ",
	} {
		from := &net.TCPAddr{IP: net.ParseIP(addr), Port: 12345}
		r := startInside(t, memqueue.New(), func(l net.Listener) net.Listener { return foreign{l, from} }, "-relay", "smtp://127.0.0.1:1")
		c := connect(t, r.addr)
		c.expect(want)
		if want != "220 " {
			if line, err := c.reply(); !closed(err) {
				t.Errorf("%s: the connection goes on: %q, %v", addr, line, err)
			}
		}
	}
}

func TestConnectionLimit(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(raw, 1)
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	connect(t, raw.Addr().String())
	one := <-accepted
	connect(t, raw.Addr().String()).expect("421 4.7.0 ")
	one.Close()
	connect(t, raw.Addr().String())
	(<-accepted).Close()
}

func TestTooManyRecipients(t *testing.T) {
	r := startInside(t, memqueue.New(), nil, "-relay", "smtp://127.0.0.1:1")
	c := hello(t, r.addr)
	c.say("250 ", "MAIL FROM:<a@example.org>")
	for i := range maxRecipients {
		c.say("250 ", fmt.Sprintf("RCPT TO:<b%d@example.net>", i))
	}
	c.say("452 4.5.3 ", "RCPT TO:<more@example.net>")
	c.say("354 ", "DATA")
	c.say("250 2.0.0 ", simple("to all")+"\r\n.")
}

// What -retry says bounds the waits that the library makes up.
func TestRetryBounds(t *testing.T) {
	for name, dot := range map[string]string{
		"uncertain": smtptest.Close,
		"hint":      "451 4.7.1 Greylisted, try again in 1 hour",
		"deferred":  "451 4.3.0 Not now",
	} {
		next := target(t, func(c smtptest.Command) string {
			if c.Verb == "." {
				return dot
			}
			return ""
		})
		q := memqueue.New()
		r := startInside(t, q, nil, "-relay", "smtp://"+next.Addr, "-retry", "20m,30m", "-expire", "2d")
		hello(t, r.addr).mail("a@example.org", "b@example.net", simple(name))
		e := r.wait(t, "attempt", 1)[0]
		want := 30 * time.Minute
		if name == "deferred" {
			want = 20 * time.Minute
		}
		j := stored(t, q, queue.Filter{})[0]
		a := j.Attempts[0]
		if wait := j.Due.Sub(a.Time.Add(a.Took)); wait != want {
			t.Errorf("%s: the next attempt is due after %v, want %v: %v", name, wait, want, e)
		}
		if life := j.Message.Expires.Sub(j.Message.Enqueued); life != 48*time.Hour {
			t.Errorf("%s: expires after %v", name, life)
		}
	}
}

func TestListenFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o, err := parseOptions([]string{"-listen", l.Addr().String(), "-queue", queueFile(t)}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(newContext(t), o, io.Discard); !errors.Is(err, syscall.EADDRINUSE) {
		t.Error(err)
	}
}
