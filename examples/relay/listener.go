package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	maxConnections = 1000
	// drainTimeout is how long after the listener was closed a message may take to come in.
	drainTimeout = 30 * time.Second
	commandsSize = 16 << 10 // octets that are read at once: most messages, with the commands before them
	answersSize  = 1024     // octets of answers that wait for each other
)

// listener accepts connections from this machine, up to a limit. Once it is closed, what it has accepted drains: a
// connection on which no message is coming in ends.
type listener struct {
	net.Listener
	limit int

	mu     sync.Mutex // guards what follows
	conns  map[*conn]bool
	closed bool
}

func newListener(l net.Listener, limit int) *listener {
	return &listener{Listener: l, limit: limit, conns: make(map[*conn]bool)}
}

// Accept waits for the next connection, and turns others away in the meantime.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !local(c.RemoteAddr()) {
			turnAway(c, "554 5.7.1 Mail is taken from this machine only")
		} else if accepted, ok := l.add(c); ok {
			return accepted, nil
		} else {
			turnAway(c, "421 4.7.0 Too many connections")
		}
	}
}

// local reports whether addr is on this machine.
func local(addr net.Addr) bool {
	ap, err := netip.ParseAddrPort(addr.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

func turnAway(c net.Conn, reply string) {
	c.SetDeadline(time.Now().Add(time.Second))
	io.WriteString(c, reply+"\r\n")
	c.Close()
}

func (l *listener) add(raw net.Conn) (*conn, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= l.limit {
		return nil, false
	}
	c := &conn{
		Conn: raw, listener: l, draining: l.closed,
		commands: bufio.NewReaderSize(raw, commandsSize), answers: bufio.NewWriterSize(raw, answersSize),
	}
	l.conns[c] = true
	return c, true
}

func (l *listener) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// Close stops accepting, and drains the connections there are.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.conns {
		c.drain()
	}
	return err
}

// hangUp closes all connections.
func (l *listener) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Conn.Close()
	}
}

// shutdown closes the listener of a server and returns when all its sessions have ended; those that take longer than limit
// are cut off.
func shutdown(server *smtp.Server, l *listener, limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		l.hangUp()
	}
	l.Close() // the server has done so, unless it had only just been told of l
}

// conn is an accepted connection. What the server writes leaves when it waits for the client, so that commands which came
// together, with a message even, are answered together (RFC 2920, section 3.2): a packet, and a system call on either side, costs
// as much as all else that a command needs. The server's own buffer is too small for that.
type conn struct {
	net.Conn
	listener *listener
	commands *bufio.Reader // from Conn; whoever reads
	failed   atomic.Bool   // there is nothing more to read

	answering sync.Mutex    // guards answers
	answers   *bufio.Writer // to Conn

	mu           sync.Mutex // guards what follows
	draining     bool
	transferring bool // a message is coming in
}

// Write keeps an answer until there is nothing more to do. Nothing comes after DATA before that is answered.
func (c *conn) Write(p []byte) (int, error) {
	c.answering.Lock()
	defer c.answering.Unlock()
	n, err := c.answers.Write(p)
	if err == nil && bytes.HasPrefix(p, []byte("354")) {
		err = c.answers.Flush()
	}
	return n, err
}

func (c *conn) flush() error {
	c.answering.Lock()
	defer c.answering.Unlock()
	return c.answers.Flush()
}

// Read notes when the connection fails or ends.
func (c *conn) Read(p []byte) (int, error) {
	if c.commands.Buffered() == 0 {
		c.flush() // what can't be sent to the client is no reason not to hear it
	}
	n, err := c.commands.Read(p)
	if err != nil {
		c.failed.Store(true)
	}
	return n, err
}

// SetReadDeadline sets a deadline that has passed when the connection is to end, so that the server says goodbye instead of
// waiting for a command.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining && !c.transferring {
		t = time.Unix(1, 0)
	}
	return c.Conn.SetReadDeadline(t)
}

// drain ends the connection once no message is coming in.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if !c.transferring {
		c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// transfer keeps the connection open while a message is coming in, until done is called.
func (c *conn) transfer() (done func()) {
	c.setTransferring(true)
	return func() { c.setTransferring(false) }
}

func (c *conn) setTransferring(v bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.transferring = v
	if v && c.draining { // between the command and this moment the deadline may have passed
		c.Conn.SetReadDeadline(time.Now().Add(readTimeout))
	}
}

// Close closes the connection and makes room for another.
func (c *conn) Close() error {
	c.listener.remove(c)
	c.flush()
	return c.Conn.Close()
}
