package main

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// Idle sessions are told goodbye, a message that is coming in is taken, and then the relay ends.
func TestDrain(t *testing.T) {
	next := target(t, nil)
	q := memqueue.New()
	r := startInside(t, q, nil, "-relay", "smtp://"+next.Addr)
	idle, busy := hello(t, r.addr), hello(t, r.addr)
	busy.say("250 ", "MAIL FROM:<a@example.org>")
	busy.say("250 ", "RCPT TO:<b@example.net>")
	busy.say("354 ", "DATA")
	busy.send("Subject: x\r\n\r\nHel")
	r.drain()
	idle.expect("421 ")
	if line, err := idle.reply(); !closed(err) {
		t.Errorf("the idle connection goes on: %q, %v", line, err)
	}
	if _, err := net.Dial("tcp", r.addr); err == nil {
		t.Error("the relay listens while it drains")
	}
	busy.send("lo.\r\n.\r\n")
	busy.expect("250 2.0.0 ")
	busy.expect("421 ")
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r.done <- nil
	jobs := stored(t, q, queue.Filter{})
	if len(jobs) != 1 {
		t.Fatalf("%d jobs", len(jobs))
	}
	if delivered := len(next.Messages()) == 1; delivered != !jobs[0].Finished.IsZero() {
		t.Errorf("delivered: %v, finished: %v", delivered, jobs[0].Finished)
	}
}

// A client that never finishes its message doesn't keep the relay from ending.
func TestCutOff(t *testing.T) {
	l, server, served := serveOnly(t, readTimeout)
	c := stalled(t, l)
	shutdown(server, l, time.Millisecond)
	if err := <-served; err != nil {
		t.Error(err)
	}
	var err error
	for err == nil {
		_, err = c.reply()
	}
	if !closed(err) {
		t.Error(err)
	}
}

// What comes of a message after the patience with it has ended is not taken for commands.
func TestStalledMessage(t *testing.T) {
	l, server, _ := serveOnly(t, 3*time.Second) // in which the client says what comes before, however busy the machine is
	defer shutdown(server, l, patience)
	c := stalled(t, l)
	c.expect("451 4.4.2 ")
	io.WriteString(c.conn, "\r\nNOOP\r\n.\r\nNOOP\r\n")
	for {
		line, err := c.reply()
		if closed(err) {
			return
		}
		if err != nil || !strings.HasPrefix(line, "421 ") {
			t.Fatalf("the connection goes on: %q, %v", line, err)
		}
	}
}

// serveOnly starts a server without a running Sender.
func serveOnly(t *testing.T, timeout time.Duration) (*listener, *smtp.Server, <-chan error) {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sender, err := delivery.New(memqueue.New(), delivery.Config{})
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(raw, 10)
	server := newServer(sender, "mx.example", 1000, slog.New(slog.DiscardHandler))
	server.ReadTimeout = timeout
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	return l, server, served
}

// stalled is a client in the middle of a message.
func stalled(t *testing.T, l *listener) *client {
	t.Helper()
	c := hello(t, l.Addr().String())
	c.send("MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
	c.expect("250 ")
	c.expect("250 ")
	c.expect("354 ")
	c.send("Subject: x\r\n")
	return c
}
