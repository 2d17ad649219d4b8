package smtpclient

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
)

// readOnly is a connection from which octets come.
type readOnly struct {
	net.Conn
	r *bytes.Reader
}

func (c readOnly) Read(p []byte) (int, error)      { return c.r.Read(p) }
func (c readOnly) SetReadDeadline(time.Time) error { return nil }

var testLimits = Limits{LineBytes: 100, Lines: 10, ReplyBytes: 2000, JunkLines: 3}

// Whatever a server says, what is kept of it is bounded and printable.
func FuzzReply(f *testing.F) {
	for _, s := range []string{
		"250 2.0.0 ok\r\n", "250\n", "250-a\r\n550 b\r\n", "junk\r\n\r\n220 hi\r\n", "2500 x\r\n", "199 x\r\n", "250-",
		"550 \xff\x1b[0m\u202e\r\n", strings.Repeat("x", 3000), strings.Repeat("250-x\r\n", 20), "550 " + strings.Repeat("ü", 200) + "\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		w := newWire(readOnly{r: bytes.NewReader(in)}, testLimits)
		a, err := w.readReply(time.Minute)
		if err != nil {
			return
		}
		r := a.reply()
		if r.Code < 200 || r.Code > 599 {
			t.Errorf("code %d", r.Code)
		}
		if len(a.lines) > testLimits.Lines || len(r.Text) > maxText || !utf8.ValidString(r.Text) {
			t.Errorf("%d lines, text %q", len(a.lines), r.Text)
		}
		for _, c := range r.Text {
			if c != '\n' && !unicode.IsPrint(c) {
				t.Errorf("%q in %q", c, r.Text)
			}
		}
		if e := r.Enhanced; e != (smtp.EnhancedCode{}) && e[0] != r.class() {
			t.Errorf("%d with %v", r.Code, e)
		}
	})
}

func FuzzExtensions(f *testing.F) {
	f.Add("hi\nsize 0\nAUTH=LOGIN\nAUTH PLAIN login\n8bitmime \n\n=\nX\x00")
	f.Fuzz(func(t *testing.T, in string) {
		ext := parseExtensions(strings.Split(in, "\n"))
		for k, v := range ext {
			if !validKeyword(k) || k != strings.ToUpper(k) || v != strings.TrimSpace(v) {
				t.Errorf("%q: %q", k, v)
			}
		}
		if ext.maxSize() < 0 {
			t.Error("negative size")
		}
		if m := ext.mechanism("PLAIN", "LOGIN"); m != "" && !strings.Contains(strings.ToUpper(ext["AUTH"]), m) {
			t.Error(m)
		}
	})
}

func FuzzEnhanced(f *testing.F) {
	f.Add(550, "5.1.1 no such user")
	f.Add(550, "#5.1.1 no")
	f.Add(550, "5.1.1.1 is no code")
	f.Add(550, "5.1000.1")
	f.Add(250, "5.1.1")
	f.Fuzz(func(t *testing.T, code int, line string) {
		e, text, ok := cutEnhanced(code, line)
		if !ok {
			if e != (smtp.EnhancedCode{}) || text != line {
				t.Errorf("%v %q", e, text)
			}
			return
		}
		if e[0] != code/100 || e[1] > 999 || e[2] > 999 || !strings.HasSuffix(line, text) {
			t.Errorf("%v %q", e, text)
		}
	})
}

var commandForm = regexp.MustCompile(`^(MAIL FROM|RCPT TO):<[^<> [:cntrl:]]*>( (SIZE|BODY|RET|ENVID|NOTIFY|ORCPT|AUTH|MT-PRIORITY|BY)=([^<> =[:cntrl:]]+|<>)| SMTPUTF8)*$`)

// One argument can't become two, nor one command two, whether a server splits at spaces, brackets or line ends.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"a@b", "a@b> SIZE=1", "a@b\r\nQUIT", `"a> X=1"@b`, `"a b"@c`, `"a\"b"@c`, `"a\"@c`, "a@[1.2.3.4]", "a@[1.2.3.4] X", "@a:b@c", "a@b\x00",
		"a\u2028@b", "a\u0085@b", "ü@ü", "<>", "<a@b>", "a", "@", "a@", "@b", "a@b..c",
	} {
		f.Add(s, s, s)
		f.Add(s, s, "FULL")  // RET
		f.Add(s, s, "NEVER") // NOTIFY
	}
	f.Fuzz(func(t *testing.T, address, param, typ string) {
		e := &Envelope{From: address, Priority: len(param), DeliverBy: &smtp.DeliverByOptions{
			Time: time.Duration(len(address)) * time.Hour, Mode: smtp.DeliverByMode(typ), Trace: true,
		}, Mail: smtp.MailOptions{
			Body: smtp.BodyType(typ), Size: 1, Return: smtp.DSNReturn(typ), EnvelopeID: param, Auth: &param,
		}}
		m := &message{s: &Session{o: &Options{}}, e: e, ext: extensions{
			"DSN": "", "SMTPUTF8": "", "SIZE": "", "8BITMIME": "", "AUTH": "PLAIN", "MT-PRIORITY": "", "DELIVERBY": "",
		}}
		r := &Recipient{Address: address, Rcpt: smtp.RcptOptions{
			Notify: []smtp.DSNNotify{smtp.DSNNotify(typ)}, OriginalRecipient: param, OriginalRecipientType: smtp.DSNAddressType(typ),
		}}
		mail, mailErr := m.mailCommand(true)
		rcpt, rcptErr := m.rcptCommand(r)
		if mailErr == nil && !commandForm.MatchString(mail) {
			t.Errorf("%q", mail)
		}
		if n := len(parameters(mail)) + len(parameters(rcpt)); mailErr == nil && rcptErr == nil && n > strings.Count(mail+rcpt, " ") {
			t.Errorf("%d parameters in %q and %q", n, mail, rcpt)
		}
		if rcptErr == nil && !commandForm.MatchString(rcpt) {
			t.Errorf("%q", rcpt)
		}
		if max(len(mail), len(rcpt)) >= maxCommand {
			t.Errorf("%d and %d octets", len(mail), len(rcpt))
		}
	})
}

// A receiver gets back what was given, with every line end made CRLF, and no receiver, whatever it takes for a line end, sees
// the end of the data before the end.
func FuzzDots(f *testing.F) {
	for _, s := range []string{
		"", ".", "..", ".\r\n", "a\r\n.\r\nb", "a\n.\nb", "a\r.\rb", "a\n.\r\nb", "a\r.\r\nb", "a\r\n.\rb", "a\r\n.\nb", "\r\r\n.\r\r\n", "\r", "\n",
		"a\r\n..\r\nb", "\x00.\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		whole := stuff(t, bytes.NewReader(body))
		if split := stuff(t, iotest.OneByteReader(bytes.NewReader(body))); !bytes.Equal(whole, split) {
			t.Fatalf("in one piece %q, in many %q", whole, split)
		}
		want := lineEnds.ReplaceAllString(strings.ReplaceAll(string(body), "\x00", ""), "\r\n")
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		data, ok := strings.CutSuffix(string(whole), ".\r\n")
		if !ok {
			t.Fatalf("no end: %q", whole)
		}
		var got strings.Builder
		for line := range strings.Lines(data) {
			got.WriteString(strings.TrimPrefix(line, "."))
		}
		if got.String() != want {
			t.Errorf("got %q, want %q", got.String(), want)
		}
		for _, line := range lineEnds.Split(data, -1) {
			if line == "." {
				t.Errorf("%q ends early", whole)
			}
		}
	})
}

var lineEnds = regexp.MustCompile(`\r\n|\r|\n`)

func stuff(t *testing.T, body io.Reader) []byte {
	var out bytes.Buffer
	d := &dotWriter{w: bufio.NewWriter(&out)}
	for _, p := range pieces(t, body) {
		d.write(p)
	}
	d.end()
	if err := d.w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
