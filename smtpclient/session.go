package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"
)

// Session is a connection to a server that is ready for transactions, one after the other. It is for one goroutine at a
// time.
type Session struct {
	o    *Options
	addr string
	wire *wire
	ext  extensions

	tls        *tls.ConnectionState
	encryption *Encryption // what of that a Result has

	text    text      // of the message that is being sent; its memory is used again
	used    bool      // a transaction was begun
	heard   time.Time // when the last one ended
	mails   int       // how many there were
	rcptMax int       // how many recipients one may have, as was learned; 0 if that isn't known
	refused []string  // extensions
	chunks  bool      // a BDAT was accepted
	reset   bool      // the last transaction was left open: RSET comes before the next
	dirty   bool      // the server has behaved in a way that makes another transaction unwise
	broken  *Error    // why nothing more can be said
	closed  bool
}

// ErrClosed means that the session was closed before.
var ErrClosed = errors.New("session is closed")

// Host is the server's name, [Options].ServerName.
func (s *Session) Host() string { return s.o.ServerName }

// Addr is the address that was dialled.
func (s *Session) Addr() string { return s.addr }

// TLS is the state of the encryption, nil for plaintext.
func (s *Session) TLS() *tls.ConnectionState { return s.tls }

// CertificateError says why the server's certificate doesn't prove its name, for a session that does not demand that it
// does. It is nil if the certificate proves the name, and for plaintext.
func (s *Session) CertificateError() error {
	if s.encryption == nil {
		return nil
	}
	return s.encryption.Unverified
}

// Rung is how far down the ladder the server was met. Who keeps it for the host, for a while, spares both the failures
// above it.
func (s *Session) Rung() Rung { return s.o.Rung }

// Transcript is the end of the dialogue so far, up to 4 KiB of it, for people to read: each line is printable and begins
// with "C: " or "S: ". It has neither message data nor credentials.
func (s *Session) Transcript() string { return s.wire.trace.String() }

// Extension reports whether the server has offered an extension after EHLO, and with which parameters. The keyword is in
// upper case, such as "SIZE".
func (s *Session) Extension(keyword string) (params string, ok bool) {
	params, ok = s.ext[keyword]
	return params, ok
}

// Refused returns the extensions that the server has offered and, when they were used, refused, by keyword. They aren't used
// any more on the session; a caller who remembers them for the host, as [Options].Ignore, saves the next session the
// attempt. If one of them is CHUNKING, the session is over ([ErrChunking]).
func (s *Session) Refused() []string { return slices.Clone(s.refused) }

func (s *Session) refuse(keywords ...string) {
	for _, k := range keywords {
		if s.ext.has(k) {
			s.ext = s.ext.without(k)
			s.refused = append(s.refused, k)
		}
	}
}

// Reusable reports whether another transaction on the session makes sense: it isn't [Session.Spent], and the server hasn't
// hung up meanwhile, as far as the socket knows. If that can't be asked, [Error].Stale tells.
func (s *Session) Reusable() bool {
	return !s.Spent() && !s.lost()
}

// Spent reports whether no other transaction on the session makes sense by what was said on it so far: it is over, the dialogue is
// out of step, the server has said what only a confused one says, or it takes no more transactions on a session than there were
// (RFC 9422). It doesn't look at the socket, as Send will.
func (s *Session) Spent() bool {
	enough := s.ext.limits().mails
	return s.closed || s.broken != nil || s.dirty || s.wire.junk || enough != 0 && s.mails >= enough
}

// Err is why the session is over, such as the 421 of a server that has waited long enough; nil if it isn't, or was closed.
func (s *Session) Err() error {
	if s.broken == nil {
		return nil
	}
	return s.broken
}

// lost reports whether nothing more can be said, after a look at what the server has said since its last answer.
func (s *Session) lost() bool {
	if s.broken != nil {
		return true
	}
	if !s.wire.readable() {
		return false
	}
	a, err := s.wire.readReply(lastWords)
	e := s.failure(PhaseMail, err)
	if err == nil {
		e = s.refusal(PhaseMail, a.reply())
	}
	e.Stale = s.used
	s.fail(context.Background(), e)
	return true
}

// Close says QUIT if there is anybody to say it to, waits for the answer, and closes the connection, all within
// Timeouts.Quit. What the server answers doesn't matter; transactions that have ended stay as they are. Only the first
// call does anything.
func (s *Session) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.broken != nil {
		return nil // closed when it broke
	}
	timeout := s.o.Timeouts.Quit
	limit := time.AfterFunc(timeout, s.wire.abort) // for the close_notify of TLS, which has its own idea of time
	defer limit.Stop()
	if _, err := s.ask("QUIT", timeout); err != nil {
		return ignoreClosed(s.wire.raw.Close())
	}
	return ignoreClosed(s.wire.conn.Close())
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// ask sends a command and reads its answer.
func (s *Session) ask(line string, timeout time.Duration) (answer, error) {
	s.wire.out.timeout = timeout
	s.wire.say(line)
	if err := s.wire.w.Flush(); err != nil {
		return answer{}, err
	}
	return s.wire.readReply(timeout)
}

// refusal makes an error of a server's answer. One that refuses nothing, and is out of place, is a protocol error.
func (s *Session) refusal(phase Phase, r Reply) *Error {
	if r.class() < 4 {
		return s.failure(phase, protocolError("unexpected reply: %d %.80q", r.Code, r.Text))
	}
	return &Error{Phase: phase, Host: s.o.ServerName, Addr: s.addr, Rung: s.o.Rung, Reply: r}
}

// failure makes an error of anything else.
func (s *Session) failure(phase Phase, err error) *Error {
	return &Error{Phase: phase, Host: s.o.ServerName, Addr: s.addr, Rung: s.o.Rung, Err: err}
}
