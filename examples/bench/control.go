package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

// errForeign means that a server is not a sink of this program.
var errForeign = errors.New("it is not one of this program's (-serve), and doesn't count")

// remote asks a sink in another process.
type remote struct {
	conn net.Conn
	in   *bufio.Reader
}

// dialSink connects to the sink at an address. The error is errForeign if that is another kind of server.
func dialSink(addr string) (*remote, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	r := &remote{conn: conn, in: bufio.NewReader(conn)}
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err = readReply(r.in, '2'); err == nil {
		var offers []string
		if offers, err = r.ask(5*time.Second, "EHLO bench.example"); err == nil && !offered(offers, countVerb) {
			err = errForeign
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

// ask says a line and returns the lines of the answer.
func (r *remote) ask(limit time.Duration, format string, args ...any) ([]string, error) {
	r.conn.SetDeadline(time.Now().Add(limit))
	if _, err := fmt.Fprintf(r.conn, format+"\r\n", args...); err != nil {
		return nil, err
	}
	return readReply(r.in, '2')
}

func (r *remote) begin(n int) error {
	_, err := r.ask(idleTimeout, countVerb+" BEGIN %d", n)
	return err
}

func (r *remote) wait(ctx context.Context, n int, limit time.Duration) (arrived int, err error) {
	stop := context.AfterFunc(ctx, func() { r.conn.Close() })
	defer stop()
	lines, err := r.ask(limit+10*time.Second, countVerb+" WAIT %d %d", n, limit.Milliseconds())
	if err == nil {
		_, err = fmt.Sscan(lines[0], &arrived)
	}
	return arrived, err
}

func (r *remote) receipts() (receipts, error) {
	lines, err := r.ask(idleTimeout, countVerb+" TIMES")
	if err != nil {
		return receipts{}, err
	}
	var n, duplicates int
	if _, err := fmt.Sscan(lines[0], &n, &duplicates); err != nil || n < 0 || n > maxMessages {
		return receipts{}, fmt.Errorf("the sink says %.100q", lines[0])
	}
	got := receipts{first: make([]int64, n), duplicates: duplicates}
	return got, binary.Read(r.in, binary.BigEndian, got.first)
}

func (r *remote) close() { r.conn.Close() }
