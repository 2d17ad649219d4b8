package smtpclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// Each write of the body has its own time: as long as a piece goes through in time, all of them may take hours.
func TestBodyProgress(t *testing.T) {
	for _, c := range []struct {
		o     smtpclient.Options
		limit time.Duration
	}{
		{smtpclient.Options{}, 3 * time.Minute},
		{smtpclient.Options{Timeouts: timeouts}, timeouts.Body},
		{smtpclient.Options{Ignore: []string{"CHUNKING"}}, 3 * time.Minute},
		{smtpclient.Options{Ignore: []string{"CHUNKING"}, Timeouts: timeouts}, timeouts.Body},
	} {
		for _, wait := range []time.Duration{c.limit - 1, c.limit} {
			synctest.Test(t, func(t *testing.T) {
				srv := &smtptest.Server{}
				defer srv.Close()
				var slow *slowConn
				c.o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := srv.Dial(ctx, network, address)
					slow = &slowConn{Conn: conn}
					return slow, err
				}
				s, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", &c.o)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				slow.wait, slow.size = wait, 1000
				begin := time.Now()
				results, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(strings.Repeat(hello, 10_000)))
				took := time.Since(begin)
				if wait < c.limit && (err != nil || results[0].Err != nil || took < 10*wait) {
					t.Errorf("after %v: %v", took, err)
				}
				if e := results[0].Err; wait == c.limit && (e == nil || e.Phase != smtpclient.PhaseBody || e.Uncertain || !errors.Is(e, os.ErrDeadlineExceeded)) {
					t.Errorf("after %v: %v", took, e)
				}
			})
		}
	}
}

// slowConn takes its time for writes that are larger than commands.
type slowConn struct {
	net.Conn
	wait  time.Duration
	size  int
	limit time.Time
}

func (c *slowConn) SetWriteDeadline(t time.Time) error {
	c.limit = t
	return c.Conn.SetWriteDeadline(t)
}

func (c *slowConn) Write(p []byte) (int, error) {
	if c.size > 0 && len(p) > c.size {
		time.Sleep(min(c.wait, time.Until(c.limit)))
		if !time.Now().Before(c.limit) {
			return 0, os.ErrDeadlineExceeded
		}
	}
	return c.Conn.Write(p)
}

// What a server has said before it stopped listening counts, if it comes within two seconds of the write that failed.
func TestLastWords(t *testing.T) {
	for _, c := range []struct {
		name  string
		after string // the command whose write is the last to succeed
		phase smtpclient.Phase
	}{
		{"command", "EHLO", smtpclient.PhaseMail},
		{"body", "DATA", smtpclient.PhaseBody},
	} {
		for _, wait := range []time.Duration{0, 2*time.Second - 1, 2*time.Second + 1, time.Hour} {
			t.Run(fmt.Sprint(c.name, wait), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { lastWords(t, c.after, c.phase, wait) })
			})
		}
	}
}

func lastWords(t *testing.T, after string, phase smtpclient.Phase, wait time.Duration) {
	client, server := net.Pipe()
	text := "S: 220 hi\nC: *\nS: 250-hi\nS: 250 PIPELINING\n"
	if after == "DATA" {
		text += "C: *\nC: *\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
	}
	if wait > 0 {
		text += fmt.Sprintf("sleep %v\n", wait)
	}
	script, err := smtptest.ParseScript("last words", text+"S: 554 5.7.1 enough\nclose\n")
	if err != nil {
		t.Fatal(err)
	}
	played := make(chan error, 1)
	go func() { played <- script.Play(server, nil) }()
	deaf := &deafConn{Conn: client}
	s, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", &smtpclient.Options{
		Dial: func(context.Context, string, string) (net.Conn, error) { return deaf, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	deaf.left = map[string]int{"EHLO": 0, "DATA": 1}[after]
	deaf.counts = true
	begin := time.Now()
	results, err := s.Send(t.Context(), envelope("one@example.org"), strings.NewReader(hello))
	took := time.Since(begin)
	<-played
	e := results[0].Err
	if err == nil || e == nil || e.Phase != phase || e.Uncertain {
		t.Fatalf("%v, %v", err, e)
	}
	if wait < 2*time.Second && (e.Code != 554 || took != wait) {
		t.Errorf("after %v: %v", took, e)
	}
	if wait > 2*time.Second && (!errors.Is(e, errDeaf) || took != 2*time.Second) {
		t.Errorf("after %v: %v", took, e)
	}
}

var errDeaf = errors.New("nobody listens")

// deafConn takes a few writes, and no more.
type deafConn struct {
	net.Conn
	counts bool
	left   int
}

func (c *deafConn) Write(p []byte) (int, error) {
	if c.counts {
		if c.left--; c.left < 0 {
			return 0, errDeaf
		}
	}
	return c.Conn.Write(p)
}
