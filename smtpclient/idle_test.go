package smtpclient

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// idleServer takes one message, waits a while, says its last words and returns what it hears then.
func idleServer(t *testing.T, last string, wait <-chan bool) (addr string, heard <-chan string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	after := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		io.WriteString(c, "220 hi\r\n")
		for line := ""; line != ".\r\n"; {
			if line, err = r.ReadString('\n'); err != nil {
				return
			}
			switch strings.Fields(line + " x")[0] {
			case "EHLO", "MAIL", "RCPT", ".":
				io.WriteString(c, "250 ok\r\n")
			case "DATA":
				io.WriteString(c, "354 go\r\n")
			}
		}
		<-wait
		io.WriteString(c, last)
		rest, _ := io.ReadAll(r)
		after <- string(rest)
	}()
	return l.Addr().String(), after
}

// What a server has said to an idle session is found out before anything is sent, by Reusable or by Send.
func TestIdleSession(t *testing.T) {
	for _, ask := range []bool{true, false} {
		wait := make(chan bool)
		addr, heard := idleServer(t, "421 4.4.2 too long\r\n", wait)
		s, err := Dial(t.Context(), addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		e := &Envelope{To: []Recipient{{Address: "one@example.org"}}}
		if _, err := s.Send(t.Context(), e, strings.NewReader("x\r\n")); err != nil {
			t.Fatal(err)
		}
		s.wire.conn.SetReadDeadline(time.Unix(1, 0)) // by then, that of the last answer is over
		if !s.Reusable() || s.Err() != nil {
			t.Fatal("lost before anything was said:", s.Err())
		}
		close(wait)
		for end := time.Now().Add(time.Minute); !s.wire.readable() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if ask && (s.Reusable() || !strings.Contains(s.Err().Error(), "421 4.4.2 too long")) {
			t.Error("reusable, or no reason:", s.Err())
		}
		results, err := s.Send(t.Context(), e, strings.NewReader("x\r\n"))
		got, ok := errors.AsType[*Error](err)
		if !ok || got.Code != 421 || !got.Stale || results[0].Err != got || s.Err() != got {
			t.Errorf("error %v", err)
		}
		if rest := <-heard; rest != "" {
			t.Errorf("the server has heard %q", rest)
		}
	}
}
