package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// patience is how long a test waits for what must happen. Nothing takes nearly as long; it ends a test that hangs.
const patience = time.Minute

// TestMain makes the test's own binary the relay when a test starts it as a child.
func TestMain(m *testing.M) {
	if os.Getenv("RELAY_CHILD") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func newContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// target is a server that takes what the relay sends. Its reply may be nil.
func target(t *testing.T, reply func(smtptest.Command) string) *smtptest.Server {
	t.Helper()
	s := smtptest.NewServer(reply)
	t.Cleanup(s.Close)
	return s
}

// event is a line of the log.
type event map[string]any

// events collects the lines of a log in JSON.
type events struct {
	mu      sync.Mutex // guards what follows
	rest    []byte
	list    []event
	changed chan struct{} // closed and replaced with each line
}

func newEvents() *events { return &events{changed: make(chan struct{})} }

// Write takes lines. What isn't JSON is an event without anything but its text.
func (l *events) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		e := event{}
		if json.Unmarshal(line, &e) != nil {
			e = event{"text": string(line)}
		}
		l.list, l.rest = append(l.list, e), rest
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

func (l *events) all(msg string) (list []event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.list {
		if e["msg"] == msg {
			list = append(list, e)
		}
	}
	return list
}

// wait waits until there are n lines with this msg.
func (l *events) wait(t *testing.T, msg string, n int) []event {
	t.Helper()
	end := time.After(patience)
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if list := l.all(msg); len(list) >= n {
			return list
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("no %d lines %q in the log: %v", n, msg, l.list)
		}
	}
}

// child is a relay in a process of its own.
type child struct {
	*events
	t    *testing.T
	cmd  *exec.Cmd
	addr string
	done chan error // what Wait returned
}

// startChild starts a relay with a free port and waits until it listens.
func startChild(t *testing.T, queue string, args ...string) *child {
	t.Helper()
	c := launch(t, queue, args...)
	c.addr = c.wait(t, "start", 1)[0]["listen"].(string)
	return c
}

// launch starts a relay.
func launch(t *testing.T, queue string, args ...string) *child {
	t.Helper()
	c := &child{events: newEvents(), t: t, done: make(chan error, 1)}
	c.cmd = exec.Command(os.Args[0], append([]string{
		"-listen", "127.0.0.1:0", "-queue", queue, "-hostname", "mx.example", "-log", "json", "-allow-private",
	}, args...)...)
	c.cmd.Env = append(os.Environ(), "RELAY_CHILD=1")
	c.cmd.Stderr = c.events
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.done <- c.cmd.Wait() }()
	t.Cleanup(c.kill)
	return c
}

// kill ends the child at once, if it runs, and waits for its end.
func (c *child) kill() {
	c.cmd.Process.Kill()
	c.done <- <-c.done
}

// end waits for the child's own end.
func (c *child) end() error {
	c.t.Helper()
	select {
	case err := <-c.done:
		c.done <- err
		return err
	case <-time.After(patience):
		c.t.Fatal("the relay doesn't end")
	}
	return nil
}

// stop ends the child in order.
func (c *child) stop() {
	c.t.Helper()
	c.cmd.Process.Signal(syscall.SIGTERM)
	if err := c.end(); err != nil {
		c.t.Fatalf("after SIGTERM: %v; log: %v", err, c.list)
	}
}

// inside is a relay in the test's own process, on a queue of the test's choice.
type inside struct {
	*events
	addr  string
	drain context.CancelFunc // tells it to end
	done  chan error         // what serve returned
}

// startInside starts a relay; listen wraps its listener, and may be nil.
func startInside(t *testing.T, q queue.Queue, listen func(net.Listener) net.Listener, args ...string) *inside {
	t.Helper()
	o, err := parseOptions(append([]string{"-hostname", "mx.example", "-allow-private", "-log", "json"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &inside{events: newEvents(), addr: l.Addr().String(), done: make(chan error, 1)}
	if listen != nil {
		l = listen(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.drain = cancel
	go func() { r.done <- serve(ctx, o, q, l, newLogger(r.events, true)) }()
	t.Cleanup(func() { r.stop(t) })
	r.wait(t, "start", 1)
	return r
}

func (r *inside) stop(t *testing.T) {
	t.Helper()
	r.drain()
	select {
	case err := <-r.done:
		r.done <- nil
		if err != nil {
			t.Errorf("serve: %v", err)
		}
	case <-time.After(patience):
		t.Error("the relay doesn't end")
	}
}

// client speaks SMTP, word for word.
type client struct {
	t    *testing.T
	conn net.Conn
	text *textproto.Reader
}

// connect connects and reads the greeting.
func connect(t *testing.T, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &client{t, conn, textproto.NewReader(bufio.NewReader(conn))}
}

// hello connects and introduces the client.
func hello(t *testing.T, addr string) *client {
	t.Helper()
	c := connect(t, addr)
	c.expect("220 ")
	c.say("250 ", "EHLO client.example")
	return c
}

// send writes octets.
func (c *client) send(data string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, data); err != nil {
		c.t.Fatal(err)
	}
}

// reply reads a reply: its last line, and those before it.
func (c *client) reply() (last string, err error) {
	for {
		line, err := c.text.ReadLine()
		if err != nil {
			return "", err
		}
		if len(line) < 4 || line[3] != '-' {
			return line, nil
		}
	}
}

// expect reads a reply that begins with want.
func (c *client) expect(want string) string {
	c.t.Helper()
	got, err := c.reply()
	if err != nil || !strings.HasPrefix(got, want) {
		c.t.Fatalf("the relay said %q (%v), want %q", got, err, want)
	}
	return got
}

// say sends a command, whose reply must begin with want.
func (c *client) say(want, command string) string {
	c.t.Helper()
	c.send(command + "\r\n")
	return c.expect(want)
}

// mail sends a message up to its end, and returns the ID under which it was queued.
func (c *client) mail(from, to, body string) string {
	c.t.Helper()
	c.say("250 ", "MAIL FROM:<"+from+">")
	c.say("250 ", "RCPT TO:<"+to+">")
	c.say("354 ", "DATA")
	_, id, ok := strings.Cut(c.say("250 2.0.0 ", body+"\r\n."), "queued as ")
	if !ok || !queue.ID(id).Valid() {
		c.t.Fatalf("no ID: %q", id)
	}
	return id
}

// simple is a message with a subject.
func simple(subject string) string { return "Subject: " + subject + "\r\n\r\nHello." }

// stored lists the jobs of a queue.
func stored(t *testing.T, q queue.Queue, f queue.Filter) (jobs []*queue.Job) {
	t.Helper()
	for j, err := range q.Jobs(newContext(t), f) {
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, j)
	}
	return jobs
}

func queueFile(t *testing.T) string { return filepath.Join(t.TempDir(), "mail.db") }

// faultyQueue is a queue whose Enqueue does something first.
type faultyQueue struct {
	queue.Queue
	before func(*queue.Entry) error
}

func (q faultyQueue) Enqueue(ctx context.Context, e *queue.Entry) (bool, error) {
	if err := q.before(e); err != nil {
		return false, fmt.Errorf("faulty: %w", err)
	}
	return q.Queue.Enqueue(ctx, e)
}

// closed reports whether err is what the other side's hanging up looks like.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// submit is mail for other goroutines than the test's. It reports whether the message was taken.
func (c *client) submit(from, to, body string) bool {
	for _, command := range []string{"MAIL FROM:<" + from + ">", "RCPT TO:<" + to + ">", "DATA", body + "\r\n."} {
		if _, err := io.WriteString(c.conn, command+"\r\n"); err != nil {
			return false
		}
		if line, err := c.reply(); err != nil || line[0] != '2' && line[0] != '3' {
			return false
		}
	}
	return true
}
