package smtpclient_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// TestTranscripts plays the servers in testdata, whose names begin with the number of a row in testdata/README.md. As many
// connections as a transcript has must be made, and closed by the client, and nothing of the client may run afterwards.
// Comments of the form "key: value" say what is sent and what must become of it:
//
//	tls          opportunistic (if not given), required, verified
//	plaintext    allowed: as the last rung of the ladder
//	ignore       keywords of extensions not to be used
//	lmtp         yes
//	login        name and password, or name and "token:" and a token
//	to           local parts at example.org, or addresses; "one" if not given
//	size         what MAIL declares
//	dsn          yes: with the parameters of DSN
//	urgent       yes: with those of MT-PRIORITY and DELIVERBY
//	body         "big", 11 MB; "large", 160 KiB; "large once", which can't be read again; "8bit"
//	dial         phase and beginning of the reply, or part of the error's text
//	want         the same for each recipient, separated by " | ", after "uncertain", or "delivered" instead of the phase
//	stream       how often the message is sent, by SendAll; want has the recipients of all of them
//	again        the same for a second message on the session; "stale" at the end
//	idle         how long the session is idle before it, or lost: until what the server does has made it useless
//	session      reusable, dirty, or lost and the phase, after the first message
//	refused      extensions, after the last message
//	certificate  unverified
//	rung         old, plaintext: where the ladder has ended
//
// A comment "next connection" stands between the scripts of several connections.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	config, _, err := smtptest.NewTLSConfig("mx.example.org")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			c := readTranscript(t, file)
			c.config = config
			if slices.ContainsFunc(c.scripts, (*smtptest.Script).Slow) {
				synctest.Test(t, c.inMemory)
			} else {
				c.overTCP(t)
				nothingRuns(t)
			}
		})
	}
}

// transcript is one file.
type transcript struct {
	want    map[string]string
	scripts []*smtptest.Script // one for each connection
	config  *tls.Config
}

func readTranscript(t *testing.T, file string) *transcript {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &transcript{want: make(map[string]string)}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimPrefix(line, "# "), ": "); ok && strings.HasPrefix(line, "# ") {
			c.want[key] = strings.TrimSpace(value)
		}
	}
	lines := 0
	for part := range strings.SplitSeq(string(text), "# next connection\n") {
		script, err := smtptest.ParseScript(file, strings.Repeat("\n", lines)+part)
		if err != nil {
			t.Fatal(err)
		}
		c.scripts = append(c.scripts, script)
		lines += strings.Count(part, "\n") + 1
	}
	return c
}

// inMemory runs in a bubble, where minutes take no time and everything started must end.
func (c *transcript) inMemory(t *testing.T) { c.run(t, net.Pipe) }

func (c *transcript) overTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.run(t, func() (client, server net.Conn) {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if server, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		return client, server
	})
}

func (c *transcript) run(t *testing.T, connect func() (client, server net.Conn)) {
	played := make(chan error, len(c.scripts))
	var clients []net.Conn
	o := &smtpclient.Options{
		LocalName:         "client.example.com",
		ServerName:        "mx.example.net",
		TLS:               map[string]smtpclient.TLS{"": smtpclient.Opportunistic, "required": smtpclient.RequiredTLS, "verified": smtpclient.VerifiedTLS}[c.want["tls"]],
		PlaintextFallback: c.want["plaintext"] == "allowed",
		Ignore:            strings.Fields(c.want["ignore"]),
		LMTP:              c.want["lmtp"] == "yes",
		Dial: func(context.Context, string, string) (net.Conn, error) {
			if len(clients) == len(c.scripts) {
				t.Error("one connection too many")
				return nil, errors.New("nobody listens any more")
			}
			client, server := connect()
			script := c.scripts[len(clients)]
			clients = append(clients, client)
			go func() { played <- script.Play(server, c.config) }()
			return client, nil
		},
	}
	if user, secret, ok := strings.Cut(c.want["login"], " "); ok {
		o.Auth = credentials(user, secret)
	}
	c.converse(t, o)
	if len(clients) != len(c.scripts) {
		t.Errorf("dialled %d times", len(clients))
	}
	for _, client := range clients {
		if err := <-played; err != nil { // a script without an end waits for the client to close
			t.Error(err)
		}
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the connection is not closed: %v", err)
		}
	}
}

// credentials are a name and a password, or a name and a token if the secret begins with "token:".
func credentials(user, secret string) *smtpclient.Credentials {
	c := &smtpclient.Credentials{Username: user, Password: secret, AllowPlaintext: true}
	if token, ok := strings.CutPrefix(secret, "token:"); ok {
		c.Password, c.Token = "", func(context.Context) (string, error) { return token, nil }
	}
	return c
}

func (c *transcript) converse(t *testing.T, o *smtpclient.Options) {
	s, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", o)
	if err != nil {
		e, ok := errors.AsType[*smtpclient.Error](err)
		if !ok {
			t.Fatalf("%T: %v", err, err)
		}
		match(t, "dial", outcome(smtpclient.Result{Phase: e.Phase, Err: e}), c.want["dial"])
		c.checkTrace(t, e.Transcript+e.Error())
		return
	}
	defer s.Close()
	if want := c.want["dial"]; want != "" {
		t.Fatalf("dialled, want %s", want)
	}
	c.send(t, s, "want")
	c.beIdle(s)
	if c.want["again"] != "" {
		c.send(t, s, "again")
	}
	if got := strings.Join(s.Refused(), " "); got != c.want["refused"] {
		t.Errorf("refused %q, want %q", got, c.want["refused"])
	}
	c.checkTrace(t, s.Transcript())
	rung := map[string]smtpclient.Rung{"": smtpclient.BestTLS, "old": smtpclient.OldTLS, "plaintext": smtpclient.Plaintext}[c.want["rung"]]
	if got := s.Rung(); got != rung {
		t.Errorf("Rung() = %v, want %v", got, rung)
	}
	if got := s.CertificateError() != nil; got != (c.want["certificate"] == "unverified") {
		t.Errorf("CertificateError() = %v", s.CertificateError())
	}
}

func (c *transcript) beIdle(s *smtpclient.Session) {
	if c.want["idle"] != "lost" {
		idle, _ := time.ParseDuration(c.want["idle"])
		time.Sleep(idle)
		return
	}
	for end := time.Now().Add(time.Minute); s.Reusable() && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // until what the server does has come through the network
	}
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// checkTrace sees to it that a session's own transcript has no secrets, and no more than it should.
func (c *transcript) checkTrace(t *testing.T, trace string) {
	t.Helper()
	_, secret, _ := strings.Cut(c.want["login"], " ")
	secret = strings.TrimPrefix(secret, "token:")
	for line := range strings.Lines(trace) {
		word := line[strings.LastIndex(strings.TrimSpace(line), " ")+1:]
		decoded, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(word))
		if secret != "" && (strings.Contains(line, secret) || strings.Contains(string(decoded), secret)) {
			t.Errorf("the transcript has the secret: %s", line)
		}
		if strings.Contains(line, "Hello") {
			t.Errorf("the transcript has the message: %s", line)
		}
	}
	if len(trace) > 5<<10 {
		t.Errorf("a transcript of %d octets", len(trace))
	}
}

func (c *transcript) send(t *testing.T, s *smtpclient.Session, key string) {
	e := c.envelope()
	var results []smtpclient.Result
	var err error
	if n, _ := strconv.Atoi(c.want["stream"]); n > 0 {
		results, err = c.stream(t, s, n)
		e.To = slices.Repeat(e.To, n)
	} else {
		results, err = s.Send(t.Context(), e, c.body())
	}
	want := strings.Split(c.want[key], " | ")
	if len(results) != len(want) {
		t.Fatalf("%d results, want %d", len(results), len(want))
	}
	for i, r := range results {
		match(t, e.To[i].Address, outcome(r), want[i])
	}
	if want := c.want["session"]; want != "" && key == "want" {
		match(t, "session", condition(s, err), want)
	}
}

func (c *transcript) stream(t *testing.T, s *smtpclient.Session, n int) (all []smtpclient.Result, lost error) {
	messages := func(yield func(*smtpclient.Envelope, io.Reader) bool) {
		for range n {
			if !yield(c.envelope(), c.body()) {
				return
			}
		}
	}
	for results, err := range s.SendAll(t.Context(), messages) {
		all = append(all, results...)
		lost = cmp.Or(lost, err)
	}
	return all, lost
}

func (c *transcript) envelope() *smtpclient.Envelope {
	e := &smtpclient.Envelope{From: "sender@example.com", Mail: smtp.MailOptions{Body: smtp.Body8BitMIME}}
	e.Mail.Size, _ = strconv.ParseInt(c.want["size"], 10, 64)
	if c.want["dsn"] == "yes" {
		e.Mail.Return, e.Mail.EnvelopeID = smtp.DSNReturnHeaders, "1A2B"
	}
	if c.want["urgent"] == "yes" {
		e.Priority, e.DeliverBy = 3, &smtp.DeliverByOptions{Time: time.Hour, Mode: smtp.DeliverByReturn}
	}
	for to := range strings.FieldsSeq(cmp.Or(c.want["to"], "one")) {
		if !strings.Contains(to, "@") {
			to += "@example.org"
		}
		r := smtpclient.Recipient{Address: to}
		if c.want["dsn"] == "yes" {
			r.Rcpt.Notify = []smtp.DSNNotify{smtp.DSNNotifyFailure}
		}
		e.To = append(e.To, r)
	}
	return e
}

func (c *transcript) body() io.Reader {
	const hello = "Subject: hello\r\n\r\n"
	switch c.want["body"] {
	case "big":
		return strings.NewReader(hello + strings.Repeat("All work and no play makes Jack a dull boy.\r\n", 1<<18))
	case "large":
		return strings.NewReader(large)
	case "large once":
		return io.MultiReader(strings.NewReader(large))
	case "8bit":
		return strings.NewReader(hello + "Grüße.\r\n")
	}
	return strings.NewReader(hello + "Hello.\r\n")
}

// large is a body of two chunks and a half.
var large = strings.Repeat("All work and no play makes Jack a dull, dull, dull, dull boy..\r\n", 2560)

func outcome(r smtpclient.Result) string {
	if r.Err == nil {
		return "delivered " + r.Reply.String()
	}
	text := string(r.Phase) + " " + r.Err.Reply.String()
	if r.Err.Code == 0 {
		text = fmt.Sprintf("%s %v", r.Phase, r.Err.Err)
	}
	if r.Err.Uncertain {
		text = "uncertain " + text
	}
	if r.Err.Stale {
		text += " stale"
	}
	return text
}

func condition(s *smtpclient.Session, err error) string {
	if e, ok := errors.AsType[*smtpclient.Error](err); ok {
		return fmt.Sprintf("lost %s", e.Phase)
	}
	if s.Reusable() {
		return "reusable"
	}
	return "dirty"
}

// match compares phases word for word, and what is after them by a part.
func match(t *testing.T, what, got, want string) {
	t.Helper()
	words := 1
	if strings.HasPrefix(want, "uncertain ") {
		words = 2
	}
	g, w := strings.SplitN(got, " ", words+1), strings.SplitN(want, " ", words+1)
	same := len(g) == len(w)
	for i := range w {
		same = same && (g[i] == w[i] || i == words && strings.Contains(g[i], w[i]))
	}
	if same && strings.HasSuffix(got, " stale") != strings.HasSuffix(want, " stale") {
		same = false
	}
	if !same {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
