package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxSize     = 64 << 20         // octets of a message that the sink takes
	idleTimeout = 30 * time.Minute // the one who asks may have a queue to fill before
	// countVerb is a command of the sink's own, by which another process asks what has arrived:
	//
	//	XCOUNT BEGIN n          forget everything, and expect the messages with numbers below n
	//	XCOUNT WAIT n millis    answered with the number of messages that have arrived, once it is n or the time is over
	//	XCOUNT TIMES            answered with the numbers of messages and duplicates, and 8 octets for each message
	countVerb = "XCOUNT"
)

// sink is an SMTP server that takes all mail, keeps none and counts it. It does as little as it can, since it shares the
// machine with what is measured.
type sink struct {
	ledger ledger

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]bool
}

// serve takes mail from l until ctx ends.
func (s *sink) serve(ctx context.Context, l net.Listener) error {
	s.conns = make(map[net.Conn]bool)
	var dialogues sync.WaitGroup
	defer dialogues.Wait()
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		s.hangUp()
	})
	defer stop()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		dialogues.Go(func() { s.talk(ctx, conn) })
	}
}

func (s *sink) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// talk is one connection.
func (s *sink) talk(ctx context.Context, conn net.Conn) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
		conn.Close()
	}()
	d := &dialogue{ctx: ctx, ledger: &s.ledger, out: bufio.NewWriterSize(conn, 4<<10)}
	d.in = bufio.NewReaderSize(flusher{conn, d.out}, 64<<10)
	d.reply("220 sink.example ESMTP")
	for ctx.Err() == nil {
		line, err := d.in.ReadSlice('\n')
		if err == nil {
			err = d.command(string(bytes.TrimRight(line, "\r\n")))
		}
		if err != nil {
			break
		}
	}
	d.out.Flush()
}

// flusher sends what was answered before it waits for more commands, so that a pipeline of commands gets its answers in one
// packet.
type flusher struct {
	conn net.Conn
	out  *bufio.Writer
}

func (f flusher) Read(p []byte) (int, error) {
	if f.out.Buffered() > 0 {
		if err := f.out.Flush(); err != nil {
			return 0, err
		}
	}
	f.conn.SetDeadline(time.Now().Add(idleTimeout))
	return f.conn.Read(p)
}

// dialogue is the state of a connection.
type dialogue struct {
	ctx    context.Context
	ledger *ledger
	in     *bufio.Reader
	out    *bufio.Writer

	mail, rcpt, chunks bool // what there was of a transaction
	tail               tail
	size               int
}

func (d *dialogue) reply(line string) {
	d.out.WriteString(line)
	d.out.WriteString("\r\n")
}

var errQuit = errors.New("the client has said QUIT")

// command answers a line. An error ends the connection.
func (d *dialogue) command(line string) error {
	verb, args, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		d.reset()
		d.reply("250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-" + countVerb + "\r\n250 SIZE " + strconv.Itoa(maxSize))
	case "HELO":
		d.reset()
		d.reply("250 sink.example")
	case "MAIL":
		d.when(!d.mail, &d.mail)
	case "RCPT":
		d.when(d.mail && !d.chunks, &d.rcpt)
	case "DATA":
		if !d.rcpt || d.chunks {
			d.reply("503 5.5.1 Not now")
			return nil
		}
		d.reply("354 Go on")
		return d.data()
	case "BDAT":
		return d.chunk(strings.Fields(args))
	case "RSET":
		d.reset()
		d.reply("250 2.0.0 OK")
	case "NOOP":
		d.reply("250 2.0.0 OK")
	case "QUIT":
		d.reply("221 2.0.0 Bye")
		return errQuit
	case countVerb:
		return d.count(strings.Fields(args))
	default:
		d.reply("502 5.5.1 Unknown command")
	}
	return nil
}

// when answers a command that is allowed now or isn't, and notes that it was given.
func (d *dialogue) when(allowed bool, given *bool) {
	if !allowed {
		d.reply("503 5.5.1 Not now")
		return
	}
	*given = true
	d.reply("250 2.1.0 OK")
}

func (d *dialogue) reset() {
	d.mail, d.rcpt, d.chunks, d.size, d.tail = false, false, false, 0, d.tail[:0]
}

// data reads a message to the line with a dot.
func (d *dialogue) data() error {
	for {
		line, err := d.in.ReadSlice('\n')
		if err != nil {
			return err // a line that fills the buffer is nobody's mail
		}
		if string(line) == ".\r\n" {
			d.accept()
			return nil
		}
		if d.size += len(line); d.size <= maxSize {
			d.tail.add(line)
		}
	}
}

// chunk reads a piece of a message (RFC 3030). Its octets follow whatever the answer is.
func (d *dialogue) chunk(args []string) error {
	if len(args) == 0 {
		return errors.New("BDAT without a size")
	}
	n, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil {
		return err
	}
	for left := int(n); left > 0; {
		d.in.Peek(1)
		piece, err := d.in.Peek(min(left, max(1, d.in.Buffered())))
		if err != nil {
			return err
		}
		d.size += len(piece)
		d.tail.add(piece)
		left -= len(piece)
		d.in.Discard(len(piece))
	}
	last := len(args) > 1 && strings.EqualFold(args[1], "LAST")
	switch {
	case !d.rcpt:
		d.reply("503 5.5.1 Not now")
		d.reset()
	case last:
		d.accept()
	default:
		d.chunks = true
		d.reply("250 2.0.0 OK")
	}
	return nil
}

// accept ends a transaction with the message.
func (d *dialogue) accept() {
	if d.size > maxSize {
		d.reply("552 5.3.4 Too large")
	} else {
		d.ledger.note(d.tail.number(), time.Now())
		d.reply("250 2.0.0 OK")
	}
	d.reset()
}

// count answers another process.
func (d *dialogue) count(args []string) error {
	numbers := make([]int, 2)
	for i := range min(len(numbers), max(0, len(args)-1)) {
		numbers[i], _ = strconv.Atoi(args[i+1])
	}
	what := strings.ToUpper(strings.Join(args[:min(1, len(args))], ""))
	switch what {
	case "BEGIN":
		if err := d.ledger.begin(numbers[0]); err != nil {
			d.reply("501 " + err.Error())
		} else {
			d.reply("250 OK")
		}
	case "WAIT":
		limit := min(time.Duration(numbers[1])*time.Millisecond, idleTimeout)
		arrived, err := d.ledger.wait(d.ctx, numbers[0], limit)
		d.reply(fmt.Sprintf("250 %d", arrived))
		return err
	case "TIMES":
		r, err := d.ledger.receipts()
		if err != nil {
			d.reply("503 " + err.Error())
			return nil
		}
		d.reply(fmt.Sprintf("250 %d %d", len(r.first), r.duplicates))
		return binary.Write(d.out, binary.BigEndian, r.first)
	default:
		d.reply("501 BEGIN, WAIT or TIMES")
	}
	return nil
}
