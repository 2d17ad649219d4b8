package smtptest_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/smtp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/smtpclient/smtptest"
)

func talk(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, bufio.NewReader(conn)
}

func TestReply(t *testing.T) {
	for _, c := range []struct {
		name, verb, reply, say string
		want                   []string // beginnings of lines; then the end
	}{
		{"good", "", "", "HELO x\r\nMAIL FROM:<a@b> SIZE=1\r\nRCPT TO:<c@d>\r\nDATA\r\n..x\r\n.\r\nQUIT\r\n",
			[]string{"220", "250", "250", "250", "354", "250", "221"}},
		{"refused greeting", "CONNECT", "554 no", "", []string{"554 no"}},
		{"refused sender", "MAIL", "550 no", "HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nQUIT\r\n",
			[]string{"220", "250", "550 no", "503", "503", "221"}},
		{"refused message", ".", "552 no", "HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\nQUIT\r\n",
			[]string{"220", "250", "250", "250", "354", "552 no", "221"}},
		{"close", "RCPT", smtptest.Close, "HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", []string{"220", "250", "250"}},
		{"reply and close", "RCPT", "550 no" + smtptest.Close, "HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", []string{"220", "250", "250", "550"}},
		{"421", "RCPT", "421 bye", "HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", []string{"220", "250", "250", "421"}},
		{"several lines", "NOOP", "250-a\r\n250 b\r\n", "NOOP\r\nWHAT\r\nQUIT\r\n", []string{"220", "250-a", "250 b", "500", "221"}},
		{"syntax", "", "", "MAIL FROM:a@b\r\nMAIL\r\nRCPT TO:<\r\nQUIT\r\n", []string{"220", "501", "501", "501", "221"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := smtptest.NewServer(func(cmd smtptest.Command) string {
				if cmd.Verb == c.verb {
					return c.reply
				}
				return ""
			})
			defer srv.Close()
			conn, r := talk(t, srv.Addr)
			io.WriteString(conn, c.say)
			for _, want := range c.want {
				line, err := r.ReadString('\n')
				if err != nil || !strings.HasPrefix(line, want) {
					t.Fatalf("%q, %v, want %q", line, err, want)
				}
			}
			if line, err := r.ReadString('\n'); err == nil {
				t.Errorf("goes on with %q", line)
			}
			messages := srv.Messages()
			if c.name != "good" {
				if len(messages) > 0 {
					t.Errorf("messages: %+v", messages)
				}
				return
			}
			m := messages[0]
			if m.From != "a@b" || m.Params != "SIZE=1" || !slices.Equal(m.To, []smtptest.Recipient{{Address: "c@d"}}) || string(m.Data) != ".x\r\n" || m.Helo != "x" || m.Conn != 1 {
				t.Errorf("message: %+v", m)
			}
		})
	}
}

func TestConnections(t *testing.T) {
	srv := smtptest.NewServer(nil)
	defer srv.Close()
	var conns []net.Conn
	for range 3 {
		conn, r := talk(t, srv.Addr)
		r.ReadString('\n')
		conns = append(conns, conn)
	}
	for _, c := range conns {
		io.WriteString(c, "QUIT\r\n")
		io.Copy(io.Discard, c)
	}
	_, r := talk(t, srv.Addr)
	r.ReadString('\n')
	if total, parallel, _ := srv.Connections(); total != 4 || parallel < 3 {
		t.Errorf("%d in all, %d at once", total, parallel)
	}
}

// Close ends whatever a connection waits for.
func TestClose(t *testing.T) {
	srv := smtptest.NewServer(func(c smtptest.Command) string { return smtptest.Stall })
	_, idle := talk(t, srv.Addr)
	srv.Close()
	if _, err := idle.ReadByte(); err == nil {
		t.Error("still talks")
	}
	if _, err := net.Dial("tcp", srv.Addr); err == nil {
		t.Error("still listens")
	}
}

func TestWait(t *testing.T) {
	srv := smtptest.NewServer(nil)
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		for range 2 {
			if err := smtp.SendMail(srv.Addr, nil, "a@b", []string{"c@d"}, []byte("x\r\n")); err != nil {
				t.Error(err)
			}
		}
	})
	if m, err := srv.Wait(ctx, 2); len(m) != 2 || err != nil {
		t.Errorf("%d messages, %v", len(m), err)
	}
	wait.Wait()
	cancel()
	if m, err := srv.Wait(ctx, 3); len(m) != 2 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d messages, %v", len(m), err)
	}
}

func TestStartAgain(t *testing.T) {
	first := smtptest.NewServer(nil)
	defer first.Close()
	if err := (&smtptest.Server{Addr: first.Addr}).Start(); err == nil {
		t.Error("two servers on one port")
	}
}

// A script says where a client didn't keep to it.
func TestScriptErrors(t *testing.T) {
	for _, c := range []struct{ script, say, want string }{
		{"S: 220 hi\nC: EHLO x\n", "EHLO x\r\n", ""},
		{"S: 220 hi\nC: EHLO x\n", "EHLO y\r\n", "name:2: C: EHLO x"},
		{"S: 220 hi\nC: EHLO x\n", "", "name:2: C: EHLO x"},
		{"S: 220 hi\nC: EHLO x\n", "EHLO x\r\nNOOP\r\n", "after the end"},
		{"C: ...\nC: .\n", "a\r\n..\r\n.\r\n", ""},
		{"C: ...\nC: .\n", "a\r\n", "never said"},
		{"C: *\nclose\n", "anything\r\n", ""},
		{"octets 5\nC: x\n", "12\r\n3x\r\n", ""},
		{"octets 5\n", "1234", "name:1"},
		{"raw \"2\\x32\"\nsleep 1h\nslow 1m 0 x\n", "", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			script, err := smtptest.ParseScript("name", c.script)
			if err != nil {
				t.Fatal(err)
			}
			client, server := net.Pipe()
			played := make(chan error, 1)
			go func() { played <- script.Play(server, nil) }()
			go func() {
				io.WriteString(client, c.say)
				synctest.Wait()
				client.Close()
			}()
			io.Copy(io.Discard, client)
			err = <-played
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%q against %q: %v, want %q", c.say, c.script, err, c.want)
			}
		})
	}
}

func TestParseScriptErrors(t *testing.T) {
	for _, text := range []string{"X: what\n", "raw unquoted\n", "sleep long\n", "slow down\n", "close now\n", "tls works\n", "octets many\n"} {
		if _, err := smtptest.ParseScript("name", "# fine\n"+text); err == nil || !strings.Contains(err.Error(), "name:2") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := smtptest.ReadScript("testdata/none.txt"); err == nil {
		t.Error("no error for a missing file")
	}
}

// BDAT is taken where it is offered, octet by octet, and an LMTP server answers for each recipient.
func TestChunksAndLMTP(t *testing.T) {
	const hello = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\n"
	for _, c := range []struct {
		name       string
		lmtp       bool
		extensions []string
		refuse     string
		say        string
		want       []string // beginnings of lines after the greeting
		data       string
		to         int
	}{
		{"chunks", false, nil, "", "HELO x\r\n" + hello + "BDAT 3\r\n.\r\nBDAT 2 LAST\r\nxyQUIT\r\n",
			[]string{"250", "250", "250", "250", "250", "250", "221"}, ".\r\nxy", 2},
		{"nobody", false, nil, "", "HELO x\r\nMAIL FROM:<a@b>\r\nBDAT 5 LAST\r\n12345QUIT\r\n", []string{"250", "250", "503", "221"}, "", 0},
		{"refused", false, nil, "BDAT", "HELO x\r\n" + hello + "BDAT 1\r\nxBDAT 1 LAST\r\ny" + "RSET\r\n" + "QUIT\r\n",
			[]string{"250", "250", "250", "250", "452", "452", "250", "221"}, "", 0},
		{"not offered", false, []string{}, "", "HELO x\r\n" + hello + "BDAT 1 LAST\r\nyQUIT\r\n", []string{"250", "250", "250", "250", "502", "221"}, "", 0},
		{"size", false, nil, "", "BDAT x\r\nQUIT\r\n", []string{"501"}, "", 0},
		{"LMTP", true, nil, "c@d", "LHLO x\r\n" + hello + "DATA\r\n..\r\n.\r\nQUIT\r\n",
			[]string{"250-", "250-", "250-", "250-", "250-", "250-", "250-", "250 ", "250", "250", "250", "354", "452", "250", "221"}, ".\r\n", 1},
		{"LMTP with chunks", true, nil, "e@f", "HELO x\r\n" + hello + "BDAT 1 LAST\r\nxQUIT\r\n",
			[]string{"250", "250", "250", "250", "250", "452", "221"}, "x", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := &smtptest.Server{LMTP: c.lmtp, Extensions: c.extensions, Reply: func(cmd smtptest.Command) string {
				if c.refuse != "" && (cmd.Verb == c.refuse || cmd.Verb == "." && cmd.Address == c.refuse) {
					return "452 later"
				}
				return ""
			}}
			if err := srv.Start(); err != nil {
				t.Fatal(err)
			}
			defer srv.Close()
			conn, r := talk(t, srv.Addr)
			io.WriteString(conn, c.say)
			for _, want := range append([]string{"220"}, c.want...) {
				line, err := r.ReadString('\n')
				if err != nil || !strings.HasPrefix(line, want) {
					t.Fatalf("%q, %v, want %q", line, err, want)
				}
			}
			if line, err := r.ReadString('\n'); err == nil {
				t.Errorf("goes on with %q", line)
			}
			m := srv.Messages()
			if len(m) != min(c.to, 1) || len(m) > 0 && (len(m[0].To) != c.to || string(m[0].Data) != c.data) {
				t.Errorf("messages: %+v", m)
			}
		})
	}
}

// Through a proxy everything arrives late, and what is said together arrives together.
func TestProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &smtptest.Server{}
		defer srv.Close()
		proxy := &smtptest.Proxy{To: srv.Dial, Delay: time.Minute}
		defer proxy.Close()
		conn, err := proxy.Dial(t.Context(), "tcp", "192.0.2.1:25")
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		begin := time.Now()
		for i, say := range []string{"", "HELO x\r\n", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nNOOP\r\n"} {
			io.WriteString(conn, say)
			for range max(1, strings.Count(say, "\n")) {
				if line, err := r.ReadString('\n'); err != nil || line[0] != '2' {
					t.Fatal(line, err)
				}
			}
			if took := time.Since(begin); proxy.Flights() != i+1 || took != time.Duration(2*i+1)*time.Minute {
				t.Errorf("%d flights in %v", proxy.Flights(), took)
			}
		}
		conn.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, _, open := srv.Connections(); open != 0 {
			t.Error("the server still has the connection")
		}
	})
}
