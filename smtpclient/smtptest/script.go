package smtptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Script is one connection as a server sees it, to be played word for word. Each line of its text is one of these:
//
//	S: 250 text     the server says this and CRLF
//	C: MAIL ...     the client must say exactly this and CRLF, or LF
//	C: *            the client says any one line
//	C: ...          the client says any number of lines, up to the one that the next line, a "C: text", has
//	raw "250 x\n"   the server sends these octets, a quoted string as in Go
//	slow 1s 220 hi  the server says this, one octet each second
//	sleep 5m        nothing happens for a while: the server doesn't even read
//	octets          the client says anything, such as the beginning of TLS
//	octets 65536    the client says so many octets, such as those of a chunk
//	tls             TLS begins
//	tls fails       TLS begins, and the client must not like it
//	close           the server closes the connection
//	reset           the server drops the connection with a TCP reset, where there is one
//	stall           the server says nothing more, until the client goes away
//	# text          is a comment, as is an empty line
//
// A script that doesn't close the connection ends with the client closing it.
type Script struct {
	name  string
	steps []step
}

type step struct {
	line int // in the text
	verb string
	arg  string
	wait time.Duration
	size int
}

// ParseScript reads a script. The name, such as a file's, is for errors.
func ParseScript(name, text string) (*Script, error) {
	s := &Script{name: name}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		st, err := parseStep(line)
		if err != nil {
			return nil, fmt.Errorf("smtptest: %s:%d: %w", name, i+1, err)
		}
		st.line = i + 1
		s.steps = append(s.steps, st)
	}
	return s, nil
}

// ReadScript reads a script from a file.
func ReadScript(path string) (*Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("smtptest: %w", err)
	}
	return ParseScript(path, string(text))
}

func parseStep(line string) (step, error) {
	verb, arg, _ := strings.Cut(line, " ")
	s := step{verb: verb, arg: arg}
	var err error
	switch verb {
	case "S:", "C:":
	case "raw":
		s.arg, err = strconv.Unquote(arg)
	case "sleep":
		s.wait, err = time.ParseDuration(arg)
	case "slow":
		each, text, _ := strings.Cut(arg, " ")
		s.arg = text
		s.wait, err = time.ParseDuration(each)
	case "tls":
		if arg != "" && arg != "fails" {
			err = fmt.Errorf("unknown step %q", line)
		}
	case "octets":
		if arg != "" {
			s.size, err = strconv.Atoi(arg)
		}
	case "close", "reset", "stall":
		if arg != "" {
			err = fmt.Errorf("%s takes no argument", verb)
		}
	default:
		err = fmt.Errorf("unknown step %q", verb)
	}
	return s, err
}

// Slow reports whether playing the script takes time, of which a test in a testing/synctest bubble has plenty.
func (s *Script) Slow() bool {
	for _, st := range s.steps {
		if st.wait > 0 || st.verb == "stall" {
			return true
		}
	}
	return false
}

// Play plays the script as the server on conn, which it closes. The error names the first line of the script that the client
// did not keep to. The config is that of the line "tls".
func (s *Script) Play(conn net.Conn, config *tls.Config) error {
	defer conn.Close()
	p := &player{raw: conn, config: config}
	p.use(conn)
	for i, st := range s.steps {
		var next string
		if i+1 < len(s.steps) {
			next = s.steps[i+1].arg
		}
		over, err := p.play(st, next)
		if err != nil {
			return fmt.Errorf("smtptest: %s:%d: %s %s: %w", s.name, st.line, st.verb, st.arg, err)
		}
		if over {
			return nil
		}
	}
	if rest, err := io.ReadAll(p.r); len(rest) > 0 && err == nil {
		return fmt.Errorf("smtptest: %s: after the end the client said %.200q", s.name, rest)
	}
	return nil
}

type player struct {
	raw, conn net.Conn
	config    *tls.Config
	r         *bufio.Reader
}

func (p *player) use(c net.Conn) { p.conn, p.r = c, bufio.NewReader(c) }

// play plays one step, and reports whether it was the last.
func (p *player) play(st step, next string) (over bool, err error) {
	switch st.verb {
	case "S:":
		_, err = io.WriteString(p.conn, st.arg+"\r\n")
	case "raw":
		_, err = io.WriteString(p.conn, st.arg)
	case "C:":
		err = p.expect(st.arg, next)
	case "sleep":
		time.Sleep(st.wait)
	case "slow":
		return p.slow(st)
	case "octets":
		err = p.octets(st.size)
	case "tls":
		return p.startTLS(st.arg == "fails")
	case "close":
		return true, nil
	case "reset":
		if tcp, ok := p.raw.(*net.TCPConn); ok {
			err = tcp.SetLinger(0)
		}
		return true, err
	case "stall":
		io.Copy(io.Discard, p.conn)
		return true, nil
	}
	return false, err
}

func (p *player) octets(size int) error {
	if size > 0 {
		_, err := io.CopyN(io.Discard, p.r, int64(size))
		return err
	}
	_, err := p.r.Read(make([]byte, 4096))
	return err
}

func (p *player) startTLS(fails bool) (over bool, err error) {
	conn := tls.Server(p.conn, p.config)
	err = conn.Handshake()
	if fails && err == nil {
		// With TLS 1.3 the server is done before the client has looked at the certificate.
		if _, err = conn.Read(make([]byte, 1)); err == nil {
			return true, errors.New("the client goes on")
		}
	}
	if fails {
		return true, nil
	}
	p.use(conn)
	return false, err
}

// expect reads what the client must say. After "..." it leaves the line next to be read.
func (p *player) expect(want, next string) error {
	if want == "..." {
		return p.skip(next + "\r\n")
	}
	got, err := readLine(p.r)
	if err != nil {
		return fmt.Errorf("the client said %q: %w", got, err)
	}
	if want != "*" && got != want {
		return fmt.Errorf("the client said %q", got)
	}
	return nil
}

func (p *player) skip(next string) error {
	for {
		line, err := p.r.Peek(len(next))
		if err != nil {
			return fmt.Errorf("the client never said %q: %w", next, err)
		}
		if bytes.Equal(line, []byte(next)) {
			return nil
		}
		if _, err := readLine(p.r); err != nil {
			return err
		}
	}
}

// slow says a line octet by octet, until the client has had enough of it.
func (p *player) slow(st step) (over bool, err error) {
	for _, c := range []byte(st.arg + "\r\n") {
		time.Sleep(st.wait)
		if _, err := p.conn.Write([]byte{c}); err != nil {
			return true, nil
		}
	}
	return false, nil
}
