package smtpclient

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"
)

// Client sends messages to one host, and keeps its session from one message to the next. It is for one goroutine at a time.
type Client struct {
	addresses []string
	o         Options
	session   *Session // nil if there is none
}

// NewClient returns a client of the host that has these addresses, which are as for [DialAny]. It connects when there is a
// message. A nil o is as for [Dial].
func NewClient(addresses []string, o *Options) *Client {
	c := &Client{addresses: slices.Clone(addresses)}
	if o != nil {
		c.o = *o
	}
	return c
}

// Send sends a message as [Session.Send] does: on the session of the message before if that is [Session.Reusable], else on a new
// one. If none can be opened, the error of [DialAny] is everybody's.
//
// What says nothing about the message is done once more at once, on another session, and is no second attempt: a session may
// turn out to have ended while it was idle ([Error].Stale), and a server to refuse BDAT after it has offered CHUNKING
// ([ErrChunking]), which isn't used for the host from then on. That needs the body again: if something of it was read, and it
// is no [io.Seeker], the first answer stands.
//
// An error that comes with results means that the session is over. The next Send opens another one.
func (c *Client) Send(ctx context.Context, e *Envelope, body io.Reader) ([]Result, error) {
	body, rewind := rewinding(body)
	results := make([]Result, len(e.To))
	open := make([]int, len(e.To))
	for i := range open {
		open[i] = i
	}
	for tries := 1; ; tries++ {
		err := c.send(ctx, e, open, body, results)
		open = repeatable(results, open, err)
		if len(open) == 0 || tries == maxTries || !rewind() {
			return results, err
		}
	}
}

// maxTries is how often a message is sent in one attempt: a session was stale, the next one refuses BDAT, the third does it.
const maxTries = 3

// send sends a message to the recipients at indexes, and puts what becomes of them into results.
func (c *Client) send(ctx context.Context, e *Envelope, indexes []int, body io.Reader, results []Result) error {
	began := time.Now()
	s, err := c.open(ctx)
	if failed := (*Error)(nil); errors.As(err, &failed) {
		for _, i := range indexes {
			results[i] = Result{
				Reply: failed.Reply, Phase: failed.Phase, Host: failed.Host, Addr: failed.Addr, Took: time.Since(began), Err: failed,
			}
		}
		return err
	}
	some := *e
	some.To = nil
	for _, i := range indexes {
		some.To = append(some.To, e.To[i])
	}
	sent, err := s.Send(ctx, &some, body)
	for n, i := range indexes {
		results[i] = sent[n]
	}
	for _, keyword := range s.Refused() {
		if !slices.Contains(c.o.Ignore, keyword) {
			c.o.Ignore = append(slices.Clip(c.o.Ignore), keyword)
		}
	}
	return err
}

// open returns the session there is, or a new one.
func (c *Client) open(ctx context.Context) (*Session, error) {
	if c.session != nil && c.session.Reusable() {
		return c.session, nil
	}
	c.Close() // if that fails there is nothing to be done about it
	s, err := DialAny(ctx, c.addresses, &c.o)
	if err != nil {
		return nil, err
	}
	c.session = s
	return s, nil
}

// Close closes the session, if there is one, as [Session.Close] does. The client can go on to be used.
func (c *Client) Close() error {
	if c.session == nil {
		return nil
	}
	s := c.session
	c.session = nil
	return s.Close()
}

// repeatable returns those of the recipients at indexes who may be asked for again at once, after err has ended a session.
func repeatable(results []Result, indexes []int, err error) (again []int) {
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Uncertain || !e.Stale && !errors.Is(e, ErrChunking) {
		return nil
	}
	for _, i := range indexes {
		if results[i].Err == e {
			again = append(again, i)
		}
	}
	return again
}

// rewinding returns body, and a function that sets it back to where it is now and reports whether that could be done.
func rewinding(body io.Reader) (io.Reader, func() bool) {
	if body == nil {
		return nil, func() bool { return true }
	}
	if s, ok := body.(io.Seeker); ok {
		if at, err := s.Seek(0, io.SeekCurrent); err == nil {
			return body, func() bool {
				_, err := s.Seek(at, io.SeekStart)
				return err == nil
			}
		}
	}
	w := &watched{Reader: body}
	return w, func() bool { return !w.read }
}

// watched is a reader that notes whether it was read.
type watched struct {
	io.Reader
	read bool
}

func (w *watched) Read(p []byte) (int, error) {
	w.read = true
	return w.Reader.Read(p)
}
