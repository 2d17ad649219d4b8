package smtpclient

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// wire is a connection on which lines are written and replies are read, all within bounds.
type wire struct {
	raw    net.Conn // what was dialled; closing it ends every wait
	conn   net.Conn // raw, or TLS on it
	r      *bufio.Reader
	w      *bufio.Writer
	in     timedReader
	out    timedWriter
	limits Limits
	parser replyParser
	junk   bool   // the server has said something that was no reply
	abort  func() // ends the connection at once; it may be called while others read and write

	idle    idle
	trace   trace
	secrets secrets // while they are being said
}

const writeSize = 16 << 10 // octets per write, as many as a TLS record has

func newWire(raw net.Conn, limits Limits) *wire {
	w := &wire{raw: raw, limits: limits, abort: func() { raw.Close() }}
	w.idle.watch(raw)
	w.use(raw)
	return w
}

// use goes on with conn, forgetting whatever was buffered.
func (w *wire) use(conn net.Conn) {
	w.conn = conn
	w.in = timedReader{conn: conn}
	w.out.conn = conn
	w.r = bufio.NewReader(&w.in)
	w.w = bufio.NewWriterSize(&w.out, writeSize)
}

// timedReader reads until a deadline, of which the connection is told when there is something to wait for: the answers to commands
// that go out together mostly come together, too.
type timedReader struct {
	conn  net.Conn
	until time.Time
	told  bool
}

func (t *timedReader) Read(p []byte) (int, error) {
	if !t.told {
		if err := t.conn.SetReadDeadline(t.until); err != nil {
			return 0, err
		}
		t.told = true
	}
	return t.conn.Read(p)
}

// timedWriter gives each write of up to writeSize its own deadline, so that progress is what counts.
type timedWriter struct {
	conn    net.Conn
	timeout time.Duration
}

func (t *timedWriter) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 {
		if err := t.conn.SetWriteDeadline(time.Now().Add(t.timeout)); err != nil {
			return 0, err
		}
		n, err := t.conn.Write(p[:min(len(p), writeSize)])
		if err != nil {
			return 0, err
		}
		p = p[n:]
	}
	return size, nil
}

// err is why something that was buffered could not be sent.
func (w *wire) err() error {
	_, err := w.w.Write(nil)
	return err
}

// startTLS shakes hands on the raw connection.
func (w *wire) startTLS(c *tls.Config, timeout time.Duration) (*tls.ConnectionState, error) {
	conn := tls.Client(w.raw, c)
	if err := w.raw.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if err := conn.Handshake(); err != nil {
		return nil, err
	}
	w.use(conn)
	state := conn.ConnectionState()
	return &state, nil
}

// answer is a reply as it was read: its lines without codes and line ends. They are there until the next one is read.
type answer struct {
	code  int
	lines []string
}

// ErrProtocol is wrapped by errors about a server that doesn't speak SMTP, or says more than [Limits] allow.
var ErrProtocol = errors.New("protocol error")

func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// readReply reads one reply, all of it within timeout.
func (w *wire) readReply(timeout time.Duration) (answer, error) {
	w.in.until, w.in.told = time.Now().Add(timeout), false
	p := &w.parser
	*p = replyParser{limits: w.limits, line: p.line, answer: answer{lines: p.answer.lines[:0]}}
	for {
		line, err := p.readLine(w.r)
		if err != nil {
			p.firstJunk = w.secrets.mask(p.firstJunk)
			return answer{}, p.explain(err)
		}
		line = w.secrets.maskReply(line)
		w.heard(line)
		done, err := p.add(line)
		if p.junk > 0 {
			w.junk = true
		}
		if err != nil {
			return answer{}, err
		}
		if done {
			return p.answer, nil
		}
	}
}

// replyParser collects the lines of one reply.
type replyParser struct {
	limits    Limits
	line      []byte
	answer    answer
	bytes     int
	junk      int
	firstJunk string
}

// readLine reads a line without its end, CRLF or LF, and keeps the first limits.LineBytes of it.
func (p *replyParser) readLine(r *bufio.Reader) (string, error) {
	p.line = p.line[:0]
	for {
		part, err := r.ReadSlice('\n')
		p.bytes += len(part)
		if p.bytes > p.limits.ReplyBytes {
			return "", protocolError("reply of more than %d octets", p.limits.ReplyBytes)
		}
		if room := p.limits.LineBytes - len(p.line); room > 0 {
			p.line = append(p.line, part[:min(room, len(part))]...)
		}
		if err == nil {
			return string(bytes.TrimRight(p.line, "\r\n")), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if len(p.line) > 0 && p.firstJunk == "" {
				p.firstJunk = string(p.line)
			}
			return "", err
		}
	}
}

// add takes the next line, and reports whether it was the last one.
//
// A line is three digits, the first from 2 to 5, and then a hyphen, a space or nothing. Lines that don't begin with a
// digit are skipped, a few of them; one that does is a reply gone wrong, on which nothing can be built.
func (p *replyParser) add(line string) (done bool, err error) {
	code, more, text, ok := parseLine(line)
	switch {
	case !ok && line != "" && line[0] >= '0' && line[0] <= '9':
		return false, protocolError("not a reply: %.80q", line)
	case !ok:
		if p.firstJunk == "" {
			p.firstJunk = line
		}
		if p.junk++; p.junk > p.limits.JunkLines {
			return false, protocolError("not a reply: %.80q", p.firstJunk)
		}
		return false, nil
	case len(p.answer.lines) == p.limits.Lines:
		return false, protocolError("reply of more than %d lines", p.limits.Lines)
	}
	p.answer.code = code
	p.answer.lines = append(p.answer.lines, text)
	return !more, nil
}

// explain adds to err what was seen instead of a reply.
func (p *replyParser) explain(err error) error {
	if p.firstJunk == "" {
		return err
	}
	return fmt.Errorf("%w, after %.80q", err, p.firstJunk)
}

func parseLine(line string) (code int, more bool, text string, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' {
		return 0, false, "", false
	}
	for i := range 3 {
		if line[i] < '0' || line[i] > '9' {
			return 0, false, "", false
		}
		code = code*10 + int(line[i]-'0')
	}
	if len(line) == 3 {
		return code, false, "", true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", false
	}
	return code, line[3] == '-', line[4:], true
}
