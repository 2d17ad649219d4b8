package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// foreignServer doesn't know DSN, and treats recipients by their names.
func foreignServer(t *testing.T) *smtptest.Server {
	t.Helper()
	s := &smtptest.Server{Extensions: []string{"PIPELINING", "SMTPUTF8", "8BITMIME"}, Reply: func(c smtptest.Command) string {
		switch {
		case c.Verb == "RCPT" && strings.HasPrefix(c.Address, "grey"):
			return "450 4.2.1 come back"
		case c.Verb == "RCPT" && !strings.HasPrefix(c.Address, "ann") && !strings.HasPrefix(c.Address, "bob"):
			return "550 5.1.1 no such user"
		}
		return ""
	}}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// reportTo waits for the first message that the server has taken for an address.
func reportTo(t *testing.T, s *smtptest.Server, address string) (*dsn.Report, []byte) {
	t.Helper()
	for n := 1; ; n++ {
		messages, err := s.Wait(newContext(t), n)
		if err != nil {
			t.Fatal(err)
		}
		m := messages[n-1]
		if m.To[0].Address != address {
			continue
		}
		r, err := dsn.Parse(bytes.NewReader(m.Data))
		if err != nil || m.From != "" {
			t.Fatalf("from <%s>, %v:\n%s", m.From, err, m.Data)
		}
		return r, m.Data
	}
}

// What a client wants to be told about is told, in terms of what it said.
func TestReports(t *testing.T) {
	const yours = "RCPT TO:<%s@example.net> NOTIFY=%s ORCPT=rfc822;%s"
	for name, c := range map[string]struct {
		mail  string
		rcpts []string
		want  []string // of the report: action, recipient, original recipient
		full  bool
		id    string
	}{
		"success and delay": {
			"RET=FULL ENVID=QQ+3D314+20159",
			[]string{
				fmt.Sprintf(yours, "ann", "SUCCESS,DELAY", "Ann+2Blist@example.net"), fmt.Sprintf(yours, "grey", "SUCCESS,DELAY", "grey@example.net"),
				fmt.Sprintf(yours, "nobody", "SUCCESS,DELAY", "nobody@example.net"), fmt.Sprintf(yours, "greyer", "FAILURE", "greyer@example.net"),
			},
			[]string{"relayed ann@example.net rfc822;Ann+list@example.net", "delayed grey@example.net rfc822;grey@example.net"}, false, "QQ=314 159",
		},
		"failure, full": {
			"RET=FULL",
			[]string{fmt.Sprintf(yours, "nobody", "FAILURE", "Nobody@example.net"), "RCPT TO:<ann@example.net>", "RCPT TO:<nil@example.net> NOTIFY=NEVER"},
			[]string{"failed nobody@example.net rfc822;Nobody@example.net"}, true, "",
		},
		"failure, header": {
			"RET=HDRS ENVID=x", []string{"RCPT TO:<nobody@example.net>"}, []string{"failed nobody@example.net "}, false, "x",
		},
		"UTF-8": {
			"SMTPUTF8", []string{"RCPT TO:<jürgen@example.net> NOTIFY=FAILURE ORCPT=utf-8;j\\x{FC}rgen@example.net"},
			[]string{"failed jürgen@example.net utf-8;jürgen@example.net"}, false, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			next := foreignServer(t)
			r := startInside(t, memqueue.New(), nil, "-relay", "smtp://"+next.Addr, "-delay", "1ns")
			client := hello(t, r.addr)
			client.say("250 ", "MAIL FROM:<bob@example.org> "+c.mail)
			for _, rcpt := range c.rcpts {
				client.say("250 ", rcpt)
			}
			client.say("354 ", "DATA")
			client.say("250 2.0.0 ", "Subject: Lunch\r\nMessage-ID: <lunch@example.org>\r\n\r\nOnly the body says so.\r\n.")
			report, text := reportTo(t, next, "bob@example.org")
			var got []string
			for _, p := range report.Recipients {
				got = append(got, strings.Join([]string{string(p.Action), p.Final, p.Original}, " "))
				if p.RemoteMTA != "[127.0.0.1]" || p.LastAttempt.IsZero() || p.WillRetryUntil.After(time.Now()) != (p.Action == dsn.Delayed) {
					t.Errorf("%+v", p)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("the report says %q, want %q", got, c.want)
			}
			if report.OriginalEnvelopeID != c.id || report.OriginalMessageID != "<lunch@example.org>" || report.ReportingMTA != "mx.example" {
				t.Errorf("the report is %+v", report)
			}
			if full := bytes.Contains(text, []byte("Only the body says so.")); full != c.full {
				t.Errorf("the report has the message: %v\n%s", full, text)
			}
		})
	}
}

// To a relay that wants to know everybody, reports come from somebody it knows.
func TestNullSender(t *testing.T) {
	next := target(t, func(c smtptest.Command) string {
		switch {
		case c.Verb == "MAIL" && c.Address == "":
			return "550 5.7.1 who are you?"
		case strings.HasPrefix(c.Address, "nobody"):
			return "550 5.1.1 no such user"
		}
		return ""
	})
	r := startInside(t, memqueue.New(), nil, "-relay", "smtp://"+next.Addr, "-null-sender", "reports@mx.example")
	hello(t, r.addr).mail("bob@example.org", "nobody@example.net", simple("hello"))
	messages, err := next.Wait(newContext(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if m := messages[0]; m.From != "reports@mx.example" || m.To[0] != (smtptest.Recipient{Address: "bob@example.org", Params: "NOTIFY=NEVER"}) {
		t.Errorf("the report comes from %q for %+v", m.From, m.To)
	}
}
