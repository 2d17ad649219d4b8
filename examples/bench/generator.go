package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// submitter sends messages to a mail server, each in one flight if the server offers CHUNKING, else in two. It is lean, for it
// shares the machine with the server.
type submitter struct {
	conn     net.Conn
	in       *bufio.Reader
	chunking bool
	load     load
	out      []byte
	stop     func() bool // ends its interest in the ctx
}

const answerTimeout = 5 * time.Minute

// dialServer connects to a server and says EHLO. The end of ctx ends the connection.
func dialServer(ctx context.Context, addr string, l load) (*submitter, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		return nil, err
	}
	s := &submitter{conn: conn, in: bufio.NewReader(conn), load: l}
	s.stop = context.AfterFunc(ctx, func() { conn.Close() })
	if err := s.greet(); err != nil {
		s.stop()
		conn.Close()
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return s, nil
}

func (s *submitter) greet() error {
	s.conn.SetDeadline(time.Now().Add(answerTimeout))
	if _, err := readReply(s.in, '2'); err != nil {
		return err
	}
	if _, err := s.conn.Write([]byte("EHLO bench.example\r\n")); err != nil {
		return err
	}
	offers, err := readReply(s.in, '2')
	if err != nil {
		return err
	}
	if !offered(offers, "PIPELINING") {
		return fmt.Errorf("the server doesn't offer PIPELINING")
	}
	s.chunking = offered(offers, "CHUNKING")
	return nil
}

// send sends a message. Its lines don't begin with dots, so it can follow DATA as it is.
func (s *submitter) send(_ context.Context, number int, text letter) error {
	s.conn.SetDeadline(time.Now().Add(answerTimeout))
	s.out = fmt.Appendf(s.out[:0], "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\n", bounces, s.load.recipient(number))
	if s.chunking {
		s.out = fmt.Appendf(s.out, "BDAT %d LAST\r\n", len(text))
		s.out = append(s.out, text...)
		return s.flight("222")
	}
	s.out = append(s.out, "DATA\r\n"...)
	if err := s.flight("223"); err != nil {
		return err
	}
	s.out = append(append(s.out[:0], text...), ".\r\n"...)
	return s.flight("2")
}

// flight sends what is to be sent and reads the answers, which must begin with these digits.
func (s *submitter) flight(answers string) error {
	if _, err := s.conn.Write(s.out); err != nil {
		return err
	}
	for i := range len(answers) {
		if _, err := readReply(s.in, answers[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *submitter) close() {
	s.stop()
	s.conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := s.conn.Write([]byte("QUIT\r\n")); err == nil {
		readReply(s.in, '2')
	}
	s.conn.Close()
}

// readReply reads an answer, which must begin with a digit, and returns the text of its lines.
func readReply(in *bufio.Reader, digit byte) (lines []string, err error) {
	for {
		b, err := in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if len(b) < 4 || b[0] != digit || len(lines) > 100 {
			return nil, fmt.Errorf("the server says %.200q", b)
		}
		lines = append(lines, strings.TrimSpace(string(b[4:])))
		if b[3] != '-' {
			return lines, nil
		}
	}
}

// offered reports whether the answer to EHLO has a keyword.
func offered(lines []string, keyword string) bool {
	for _, line := range lines {
		if word, _, _ := strings.Cut(line, " "); strings.EqualFold(word, keyword) {
			return true
		}
	}
	return false
}
