package smtpclient_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
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

// BenchmarkCPU sends messages of 10 KiB on a warm session to go-smtp's server, which runs as another process, and counts the
// processor time of this one: with this package, with what the server offers and with less, and with go-smtp's client.
func BenchmarkCPU(b *testing.B) {
	addr := startChild(b)
	for _, way := range []struct {
		name   string
		ignore []string
	}{
		{"pipelining and chunking", nil},
		{"pipelining", []string{"CHUNKING"}},
		{"neither", []string{"PIPELINING", "CHUNKING"}},
	} {
		b.Run(way.name, func(b *testing.B) {
			s, err := smtpclient.Dial(b.Context(), addr, &smtpclient.Options{Ignore: way.ignore})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			b.ReportAllocs()
			countCPU(b, func() { sendBenchmark(b, s) })
		})
	}
	b.Run("go-smtp's client", func(b *testing.B) {
		c, err := smtp.Dial(addr)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		b.ReportAllocs()
		countCPU(b, func() {
			if err := c.SendMail("sender@example.com", []string{"one@example.org"}, strings.NewReader(tenKiB)); err != nil {
				b.Fatal(err)
			}
		})
	})
}

func sendBenchmark(b *testing.B, s *smtpclient.Session) {
	results, err := s.Send(b.Context(), envelope("one@example.org"), strings.NewReader(tenKiB))
	if err != nil || results[0].Err != nil {
		b.Fatal(err, results)
	}
}

func countCPU(b *testing.B, send func()) {
	send()
	before := cpuTime(b)
	for b.Loop() {
		send()
	}
	used := cpuTime(b) - before
	b.ReportMetric(float64(b.N)/used.Seconds(), "msg/cpu-s")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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
