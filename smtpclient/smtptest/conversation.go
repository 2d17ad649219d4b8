package smtptest

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"io"
	"net"
	"strings"
)

// conversation is one connection.
type conversation struct {
	s    *Server
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	m    Message
	mail bool // a transaction is open
	bad  bool // a chunk of it was refused
}

func newConversation(s *Server, c net.Conn, n int) *conversation {
	v := &conversation{s: s, m: Message{Conn: n}}
	v.use(c)
	return v
}

func (v *conversation) use(c net.Conn) {
	v.conn, v.r, v.w = c, bufio.NewReader(c), bufio.NewWriter(c)
}

func (v *conversation) run() {
	if v.s.Implicit && !v.startTLS() {
		return
	}
	if code, ok := v.reply(Command{Verb: "CONNECT"}, "220 "+v.s.Name+" ESMTP"); !ok || code != '2' {
		v.w.Flush()
		return
	}
	for {
		line, err := v.readLine()
		if err != nil || !v.command(line) {
			v.w.Flush()
			return
		}
	}
}

// Bounds of what a client can make the server keep; more ends the connection.
const (
	maxLine = 64 << 10
	maxData = 64 << 20
)

// readLine reads a command. What was answered goes out before the server waits.
func (v *conversation) readLine() (string, error) {
	if v.r.Buffered() == 0 {
		if err := v.w.Flush(); err != nil {
			return "", err
		}
	}
	return readLine(v.r)
}

func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			return strings.TrimRight(string(line), "\r\n"), nil
		}
		if err != bufio.ErrBufferFull || len(line) > maxLine {
			return "", err
		}
	}
}

// reply answers c, with what Reply says or with own. It returns the first digit of the answer; ok is false if the
// connection is over.
func (v *conversation) reply(c Command, own string) (class byte, ok bool) {
	return v.say(cmp.Or(v.ask(c), own))
}

// ask returns what Reply says to c.
func (v *conversation) ask(c Command) string {
	if v.s.Reply == nil {
		return ""
	}
	c.Conn, c.Message = v.m.Conn, &v.m
	return v.s.Reply(c)
}

func (v *conversation) say(text string) (class byte, ok bool) {
	text, over, _ := strings.Cut(text, "\x00")
	if text != "" {
		v.w.WriteString(text)
		if !strings.HasSuffix(text, "\n") {
			v.w.WriteString("\r\n")
		}
		class = text[0]
	}
	if over == "stall" {
		v.w.Flush()
		io.Copy(io.Discard, v.conn)
	}
	return class, over == "" && !strings.HasPrefix(text, "421")
}

// command answers one line, and reports whether the conversation goes on.
func (v *conversation) command(line string) bool {
	verb, arg, _ := strings.Cut(line, " ")
	c := Command{Verb: strings.ToUpper(verb), Arg: arg}
	switch c.Verb {
	case "EHLO", "HELO", "LHLO":
		v.m.Helo = arg
		return v.hello(c)
	case "STARTTLS":
		return v.upgrade(c)
	case "AUTH":
		return v.auth(c)
	case "MAIL":
		return v.mailFrom(c)
	case "RCPT":
		return v.rcptTo(c)
	case "DATA":
		return v.data(c)
	case "BDAT":
		return v.bdat(c)
	case "RSET":
		v.reset()
		_, ok := v.reply(c, "250 2.0.0 forgotten")
		return ok
	case "NOOP":
		_, ok := v.reply(c, "250 2.0.0 still here")
		return ok
	case "QUIT":
		v.reply(c, "221 2.0.0 bye")
		return false
	}
	_, ok := v.reply(c, "500 5.5.2 what?")
	return ok
}

func (v *conversation) reset() {
	v.mail, v.bad = false, false
	v.m.From, v.m.Params, v.m.To, v.m.Data = "", "", nil, nil
}

func (v *conversation) hello(c Command) bool {
	v.reset()
	lines := []string{v.s.Name}
	if c.Verb != "HELO" {
		lines = append(lines, v.s.Extensions...)
		if v.s.StartTLS && v.m.TLS == nil {
			lines = append(lines, "STARTTLS")
		}
		if len(v.s.Users) > 0 {
			lines = append(lines, "AUTH "+strings.Join(v.s.Mechanisms, " "))
		}
	}
	last := len(lines) - 1
	own := ""
	for _, l := range lines[:last] {
		own += "250-" + l + "\r\n"
	}
	_, ok := v.reply(c, own+"250 "+lines[last])
	return ok
}

func (v *conversation) upgrade(c Command) bool {
	own := "220 2.0.0 go"
	if !v.s.StartTLS || v.m.TLS != nil {
		own = "502 5.5.1 no TLS"
	}
	class, ok := v.reply(c, own)
	if !ok || class != '2' {
		return ok
	}
	if v.w.Flush() != nil {
		return false
	}
	v.reset()
	v.m.Helo = ""
	return v.startTLS()
}

func (v *conversation) startTLS() bool {
	conn := tls.Server(v.conn, v.s.tls)
	if conn.Handshake() != nil {
		return false
	}
	state := conn.ConnectionState()
	v.m.TLS = &state
	v.use(conn)
	return true
}

func (v *conversation) mailFrom(c Command) bool {
	address, params, ok := cutPath(c.Arg, "FROM:")
	c.Address = address
	own := "250 2.1.0 sender ok"
	switch {
	case !ok:
		own = "501 5.5.4 syntax"
	case v.mail:
		own = "503 5.5.1 one at a time"
	case len(v.s.Users) > 0 && v.m.User == "":
		own = "530 5.7.0 log in first"
	}
	class, ok := v.reply(c, own)
	if class == '2' {
		v.reset()
		v.mail = true
		v.m.From, v.m.Params = address, params
	}
	return ok
}

func (v *conversation) rcptTo(c Command) bool {
	address, params, ok := cutPath(c.Arg, "TO:")
	c.Address = address
	own := "250 2.1.5 recipient ok"
	switch {
	case !ok:
		own = "501 5.5.4 syntax"
	case !v.mail:
		own = "503 5.5.1 MAIL first"
	}
	class, ok := v.reply(c, own)
	if class == '2' {
		v.m.To = append(v.m.To, Recipient{address, params})
	}
	return ok
}

// cutPath splits "FROM:<a@b> X=Y" into address and parameters.
func cutPath(arg, prefix string) (address, params string, ok bool) {
	if len(arg) < len(prefix) || !strings.EqualFold(arg[:len(prefix)], prefix) {
		return "", "", false
	}
	path, params, _ := strings.Cut(strings.TrimLeft(arg[len(prefix):], " "), " ")
	if len(path) < 2 || path[0] != '<' || path[len(path)-1] != '>' {
		return "", "", false
	}
	return path[1 : len(path)-1], params, true
}
