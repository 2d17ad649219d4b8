package smtptest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipe is a connection in memory. Unlike a net.Pipe it has buffers, as TCP does, so that two sides may write at the same
// time; unlike TCP it can be waited for in a testing/synctest bubble.
func pipe() (client, server net.Conn) {
	up, down := newStream(), newStream()
	return &end{in: down, out: up}, &end{in: up, out: down}
}

// maxUnread is how much one side may write before the other reads.
const maxUnread = 64 << 10

// stream is one direction.
type stream struct {
	mu            sync.Mutex // guards what follows
	changed       chan struct{}
	data          []byte
	closed        bool // by the writer
	deaf          bool // closed by the reader
	readDeadline  time.Time
	writeDeadline time.Time
}

func newStream() *stream { return &stream{changed: make(chan struct{})} }

// do changes the stream and wakes those who wait.
func (s *stream) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.wake()
}

func (s *stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait calls try, with the mutex held, until it reports that it is done or the deadline has passed.
func (s *stream) wait(deadline *time.Time, try func() (bool, error)) error {
	for {
		s.mu.Lock()
		limit := *deadline
		if !limit.IsZero() && !time.Now().Before(limit) {
			s.mu.Unlock()
			return os.ErrDeadlineExceeded
		}
		done, err := try()
		changed := s.changed
		if done {
			s.wake()
		}
		s.mu.Unlock()
		if done || err != nil {
			return err
		}
		var expired <-chan time.Time
		if !limit.IsZero() {
			expired = time.After(time.Until(limit))
		}
		select {
		case <-changed:
		case <-expired:
		}
	}
}

// end is one side of a pipe.
type end struct {
	in, out *stream
}

func (e *end) Read(p []byte) (n int, err error) {
	s := e.in
	err = s.wait(&s.readDeadline, func() (bool, error) {
		switch {
		case s.deaf:
			return false, net.ErrClosed
		case len(s.data) > 0 || len(p) == 0:
			n = copy(p, s.data)
			s.data = s.data[n:]
			return true, nil
		case s.closed:
			return false, io.EOF
		}
		return false, nil
	})
	return n, err
}

func (e *end) Write(p []byte) (n int, err error) {
	s := e.out
	err = s.wait(&s.writeDeadline, func() (bool, error) {
		switch {
		case s.closed:
			return false, net.ErrClosed
		case s.deaf:
			return false, io.ErrClosedPipe
		}
		m := min(maxUnread-len(s.data), len(p)-n)
		s.data = append(s.data, p[n:n+m]...)
		n += m
		if m > 0 && n < len(p) {
			s.wake()
		}
		return n == len(p), nil
	})
	return n, err
}

func (e *end) Close() error {
	e.out.do(func() { e.out.closed = true })
	e.in.do(func() { e.in.deaf = true })
	return nil
}

func (e *end) SetReadDeadline(t time.Time) error {
	e.in.do(func() { e.in.readDeadline = t })
	return nil
}

func (e *end) SetWriteDeadline(t time.Time) error {
	e.out.do(func() { e.out.writeDeadline = t })
	return nil
}

func (e *end) SetDeadline(t time.Time) error {
	e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

func (e *end) LocalAddr() net.Addr  { return pipeAddr{} }
func (e *end) RemoteAddr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
