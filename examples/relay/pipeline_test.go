package main

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postroad/postroad/queue/memqueue"
)

// counted counts what is written to the connections of a listener.
type counted struct {
	net.Listener
	writes *atomic.Int64
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countedConn{c, l.writes}, err
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestPipeline sends commands together, with a message of 10 KB; their answers come together, and in their order.
func TestPipeline(t *testing.T) {
	next := target(t, nil)
	var writes atomic.Int64
	r := startInside(t, memqueue.New(), func(l net.Listener) net.Listener { return counted{l, &writes} }, "-relay", "smtp://"+next.Addr)
	c := hello(t, r.addr)
	before := writes.Load()
	c.send("MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<b@-.example>\r\nBDAT 10014 LAST\r\nSubject: x\r\n\r\n" +
		strings.Repeat("12345678\r\n", 1000) + "NOOP\r\n")
	for _, want := range []string{"250 2.0.0 ", "250 2.0.0 ", "553 5.1.3 ", "250 2.0.0 OK: queued as ", "250 2.0.0 "} {
		c.expect(want)
	}
	if n := writes.Load() - before; n != 1 {
		t.Errorf("the answers came in %d pieces", n)
	}
	c.say("221 ", "QUIT")
	if line, err := c.reply(); !closed(err) {
		t.Errorf("the connection goes on: %q, %v", line, err)
	}
}
