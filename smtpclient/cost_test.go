package smtpclient_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/smtpclient"
)

// maxAllocs is what a message of 10 KiB to one recipient costs on a warm session, whatever its way.
const maxAllocs = 15

func TestAllocs(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s, err := smtpclient.Dial(ctx, "192.0.2.1:25", &smtpclient.Options{
				Dial: func(context.Context, string, string) (net.Conn, error) {
					return &parrot{answer: []byte("220 hi\r\n"), extensions: way.extensions}, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			e := envelope("one@example.org")
			e.Mail.Size = int64(len(tenKiB))
			body := strings.NewReader(tenKiB)
			allocs := testing.AllocsPerRun(100, func() {
				body.Reset(tenKiB)
				if results, err := s.Send(ctx, e, body); err != nil || results[0].Err != nil {
					t.Fatal(err, results)
				}
			})
			t.Logf("%v allocations", allocs)
			if allocs > maxAllocs {
				t.Errorf("%v allocations", allocs)
			}
		})
	}
}

// parrot is a connection to a server that accepts all it hears, and allocates nothing.
type parrot struct {
	net.Conn
	extensions []string
	answer     []byte
	data       bool
}

func (p *parrot) Write(b []byte) (int, error) {
	for text := b; len(text) > 0; {
		line, rest, _ := bytes.Cut(text, []byte("\r\n"))
		text = rest
		p.answer = append(p.answer, p.reply(line)...)
		if bytes.HasPrefix(line, []byte("BDAT")) {
			break
		}
	}
	return len(b), nil
}

func (p *parrot) reply(line []byte) string {
	switch {
	case p.data:
		p.data = len(line) != 1
		if p.data {
			return ""
		}
	case bytes.HasPrefix(line, []byte("EHLO")):
		return "250-mail.test\r\n250-SIZE 1000000\r\n250-" + strings.Join(p.extensions, "\r\n250-") + "\r\n250 8BITMIME\r\n"
	case bytes.HasPrefix(line, []byte("DATA")):
		p.data = true
		return "354 go\r\n"
	}
	return "250 2.0.0 ok: queued as 4d2mkz1Yv3z9vXg\r\n"
}

func (p *parrot) Read(b []byte) (int, error) {
	n := copy(b, p.answer)
	p.answer = append(p.answer[:0], p.answer[n:]...)
	return n, nil
}

func (p *parrot) SetReadDeadline(time.Time) error  { return nil }
func (p *parrot) SetWriteDeadline(time.Time) error { return nil }
func (p *parrot) Close() error                     { return nil }
