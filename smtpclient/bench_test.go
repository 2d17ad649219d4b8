package smtpclient_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// BenchmarkFlights sends messages of 10 KiB on a warm session to a server 25 ms away in each direction. A flight takes 50 ms.
func BenchmarkFlights(b *testing.B) {
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			srv := &smtptest.Server{Extensions: way.extensions}
			if err := srv.Start(); err != nil {
				b.Fatal(err)
			}
			defer srv.Close()
			proxy := &smtptest.Proxy{Delay: 25 * time.Millisecond}
			defer proxy.Close()
			s, err := smtpclient.Dial(b.Context(), srv.Addr, &smtpclient.Options{Dial: proxy.Dial})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			before := proxy.Flights()
			for b.Loop() {
				sendBenchmark(b, s)
			}
			b.ReportMetric(float64(proxy.Flights()-before)/float64(b.N), "flights/msg")
		})
	}
}

// BenchmarkStream is the same with SendAll.
func BenchmarkStream(b *testing.B) {
	srv := &smtptest.Server{}
	if err := srv.Start(); err != nil {
		b.Fatal(err)
	}
	defer srv.Close()
	proxy := &smtptest.Proxy{Delay: 25 * time.Millisecond}
	defer proxy.Close()
	s, err := smtpclient.Dial(b.Context(), srv.Addr, &smtpclient.Options{Dial: proxy.Dial})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	messages := func(yield func(*smtpclient.Envelope, io.Reader) bool) {
		for b.Loop() {
			if !yield(envelope("one@example.org"), strings.NewReader(tenKiB)) {
				return
			}
		}
	}
	before := proxy.Flights()
	for results, err := range s.SendAll(b.Context(), messages) {
		if err != nil || results[0].Err != nil {
			b.Fatal(err, results)
		}
	}
	b.ReportMetric(float64(proxy.Flights()-before)/float64(b.N), "flights/msg")
}

// BenchmarkCPU sends messages of 10 KiB on warm sessions to go-smtp's server, which runs as another process, and counts the
// processor time of this one: with what the server offers, with less, and with go-smtp's client. They take turns, so
// that whatever else the machine does concerns them alike.
func BenchmarkCPU(b *testing.B) {
	addr := startChild(b)
	senders := []*sender{
		{name: "", send: benchmarkSession(b, addr)},
		{name: "data-", send: benchmarkSession(b, addr, "CHUNKING")},
		{name: "stepwise-", send: benchmarkSession(b, addr, "CHUNKING", "PIPELINING")},
		{name: "gosmtp-", send: benchmarkGoSMTP(b, addr)},
	}
	const turn = 50
	for b.Loop() {
		for _, s := range senders {
			before := cpuTime(b)
			for range turn {
				s.send()
			}
			s.used += cpuTime(b) - before
		}
	}
	theirs := senders[len(senders)-1].used
	for _, s := range senders {
		b.ReportMetric(turn*float64(b.N)/s.used.Seconds(), s.name+"msg/cpu-s")
		b.ReportMetric(float64(theirs)/float64(s.used), s.name+"times-gosmtp")
	}
}

// sender is one way to send a message, and how much processor time it has used.
type sender struct {
	name string
	send func()
	used time.Duration
}

func benchmarkSession(b *testing.B, addr string, ignore ...string) func() {
	s, err := smtpclient.Dial(b.Context(), addr, &smtpclient.Options{Ignore: ignore})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return func() { sendBenchmark(b, s) }
}

func benchmarkGoSMTP(b *testing.B, addr string) func() {
	c, err := smtp.Dial(addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return func() {
		if err := c.SendMail("sender@example.com", []string{"one@example.org"}, strings.NewReader(tenKiB)); err != nil {
			b.Fatal(err)
		}
	}
}

func sendBenchmark(b *testing.B, s *smtpclient.Session) {
	results, err := s.Send(b.Context(), envelope("one@example.org"), strings.NewReader(tenKiB))
	if err != nil || results[0].Err != nil {
		b.Fatal(err, results)
	}
}

// childVariable makes the test binary a server.
const childVariable = "SMTPCLIENT_TEST_SERVER"

// startChild starts go-smtp's server as another process, and returns its address.
func startChild(b *testing.B) string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(addr)
}

// serveChild is the other process. It ends with its standard input.
func serveChild() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return discard{}, nil }))
	go func() {
		io.Copy(io.Discard, os.Stdin)
		srv.Close()
	}()
	fmt.Println(l.Addr())
	srv.Serve(l)
	return nil
}

// discard takes all mail and keeps none.
type discard struct{}

func (discard) Mail(string, *smtp.MailOptions) error { return nil }
func (discard) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (discard) Reset()                               {}
func (discard) Logout() error                        { return nil }
func (discard) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}
