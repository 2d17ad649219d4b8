package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/emersion/go-smtp"
)

// lastWords is how long to wait for a reply that may lie there already, after a write has failed.
const lastWords = 2 * time.Second

// maxCommand is more than any command has. As long as that much room is left in the buffer for one write, commands go out
// together; then their answers are read first, so that neither side fills the other's buffers.
const maxCommand = 4 << 10

// Send sends one message: MAIL, RCPT for each recipient, DATA and body, which is text with CRLF line ends (see the package
// comment for others). It returns one Result per recipient, in the order of e.To, in every case.
//
// The error is not about the message but about the session: nil if the dialogue stayed in step, whatever was refused; else an
// [*Error] that says why nothing more can be said. The connection is closed then. Recipients about whom nothing was
// decided have that error as theirs.
//
//   - Recipients whom the server accepted are delivered if it answers the final dot with any 2xx. If the connection is lost
//     between the dot and the answer they are Uncertain.
//   - If body fails, the connection is dropped without the final dot, and nobody is delivered or uncertain.
//   - If ctx ends, the connection is closed at once, whatever was being waited for, body's reader excepted.
//   - Recipients and messages that can't be sent at all, such as an address with a space or a message larger than the server
//     allows, are refused here: their Reply says so, and Err wraps the reason.
func (s *Session) Send(ctx context.Context, e *Envelope, body io.Reader) ([]Result, error) {
	t := &transaction{s: s, e: e, results: make([]Result, len(e.To)), began: time.Now()}
	if err := t.do(ctx, body); err != nil {
		t.settle(err)
		return t.results, err
	}
	return t.results, nil
}

// transaction is one message on its way through a session.
type transaction struct {
	s       *Session
	e       *Envelope
	results []Result // Phase is "" until it is decided
	began   time.Time

	pending  []command // sent or buffered, not answered
	begun    bool      // MAIL was answered
	refused  bool      // as a whole, by the answer to MAIL
	accepted []int     // recipients
	open     bool      // DATA was answered with 3xx
}

// command is what the next answer belongs to.
type command struct {
	phase Phase
	rcpt  int // index of the recipient, if phase is PhaseRcpt
}

// do runs the transaction until ctx ends, and ends the session with the error that it returns.
func (t *transaction) do(ctx context.Context, body io.Reader) *Error {
	switch {
	case t.s.closed:
		return t.s.failure(PhaseMail, ErrClosed)
	case t.s.broken != nil && t.s.broken.Stale:
		return t.s.broken
	case t.s.broken != nil:
		e := t.s.failure(PhaseMail, fmt.Errorf("session was lost before: %w", t.s.broken))
		e.Stale = true
		return e
	}
	stop := context.AfterFunc(ctx, t.s.wire.abort)
	err := t.run(body)
	if !stop() && err == nil {
		err = t.s.failure(PhaseReset, nil) // too late for this transaction, but the connection is gone
	}
	if err != nil {
		t.s.fail(ctx, err)
	}
	return err
}

// run holds the dialogue. Its error ends the session.
func (t *transaction) run(body io.Reader) *Error {
	commands := t.prepare()
	if t.allSettled() {
		return nil
	}
	if t.s.lost() {
		return t.s.broken
	}
	if err := t.announce(commands); err != nil {
		return err
	}
	switch {
	case !t.open:
		return nil
	case len(t.accepted) == 0:
		return t.nothing()
	case t.refused:
		return t.s.failure(PhaseData, protocolError("354 to a transaction that was refused"))
	}
	return t.data(body)
}

// announce sends all that comes before the data, as far as it makes sense.
func (t *transaction) announce(c commands) *Error {
	if t.s.reset {
		if err := t.send(command{phase: PhaseReset}, "RSET"); err != nil {
			return err
		}
	}
	if err := t.send(command{phase: PhaseMail}, c.mail); err != nil {
		return err
	}
	for i, line := range c.rcpt {
		if line == "" {
			continue
		}
		if t.refused {
			break
		}
		if err := t.send(command{phase: PhaseRcpt, rcpt: i}, line); err != nil {
			return err
		}
	}
	if len(t.pending) == 0 && (t.refused || len(t.accepted) == 0) {
		return nil
	}
	if err := t.send(command{phase: PhaseData}, "DATA"); err != nil {
		return err
	}
	return t.sync()
}

// commands are the lines of an envelope; those of recipients that are settled are empty.
type commands struct {
	mail string
	rcpt []string
}

// prepare writes the commands, and settles whatever needs no server to be refused.
func (t *transaction) prepare() (c commands) {
	if err := t.s.checkMail(t.e); err != nil {
		t.settle(err)
		return c
	}
	utf8 := t.e.needsUTF8()
	c.rcpt = make([]string, len(t.e.To))
	for i := range t.e.To {
		line, err := t.s.rcptCommand(&t.e.To[i])
		if err != nil {
			t.decide(i, err)
			continue
		}
		c.rcpt[i] = line
		utf8 = utf8 || !isASCII(t.e.To[i].Address)
	}
	line, err := t.s.mailCommand(t.e, utf8)
	if err != nil {
		t.settle(err)
	}
	c.mail = line
	return c
}

// send sends a command, with others if the server takes them together (RFC 2920).
func (t *transaction) send(c command, line string) *Error {
	t.s.wire.out.timeout = t.s.o.Timeouts.Command
	t.s.wire.say(line)
	t.pending = append(t.pending, c)
	if !t.s.o.NoPipelining && t.s.ext.has("PIPELINING") && t.s.wire.w.Available() >= maxCommand {
		return nil
	}
	return t.sync()
}

// sync sends what is buffered and reads the answers to all that is pending. Answers that came before the connection was
// lost count.
func (t *transaction) sync() *Error {
	written := t.s.wire.w.Flush()
	for len(t.pending) > 0 {
		c := t.pending[0]
		t.pending = t.pending[1:]
		timeout := t.s.timeout(c.phase)
		if written != nil {
			timeout = min(timeout, lastWords)
		}
		a, err := t.s.wire.readReply(timeout)
		if err != nil {
			if written != nil {
				err = written
			}
			return t.stale(t.s.failure(c.phase, err))
		}
		if err := t.answer(c, a.reply()); err != nil {
			return t.stale(err)
		}
	}
	if written != nil {
		return t.stale(t.s.failure(PhaseMail, written))
	}
	return nil
}

// stale marks the loss of a session that was idle before.
func (t *transaction) stale(e *Error) *Error {
	lost := e.Code != 0 || e.Phase == PhaseReset || !errors.Is(e.Err, os.ErrDeadlineExceeded)
	e.Stale = t.s.used && !t.begun && lost
	return e
}

// goesAway reports whether r is the server's farewell: 421, or what some say instead to a session that was idle.
func (t *transaction) goesAway(phase Phase, r Reply) bool {
	return r.Code == 421 ||
		r.Code == 451 && r.Enhanced == smtp.EnhancedCode{4, 4, 2} && phase == PhaseMail && t.s.used
}

func (s *Session) timeout(phase Phase) time.Duration {
	switch phase {
	case PhaseReset:
		return s.o.Timeouts.Reset
	case PhaseData:
		return s.o.Timeouts.Data
	case PhaseBody:
		return s.o.Timeouts.Dot
	}
	return s.o.Timeouts.Command
}

// answer gives an answer to the command it belongs to. Its error ends the session: the server goes away, or makes no sense,
// so that nobody knows what the next answer belongs to.
func (t *transaction) answer(c command, r Reply) *Error {
	err := t.s.refusal(c.phase, r)
	ok := r.class() == 2
	if c.phase == PhaseData {
		ok = r.class() == 3
	}
	if !ok && (err.Code == 0 || c.phase == PhaseReset || t.goesAway(c.phase, r)) {
		return err
	}
	switch c.phase {
	case PhaseReset:
		t.s.reset = false
	case PhaseMail:
		t.begun = true
		t.s.used = true
		t.s.reset = ok
		t.refused = !ok
	case PhaseRcpt:
		if ok {
			t.accepted = append(t.accepted, c.rcpt)
		} else {
			t.refuse(err, c.rcpt)
		}
		return nil
	case PhaseData:
		t.open = ok
	}
	if !ok {
		t.refuse(err)
	}
	return nil
}

// refuse decides about some recipients, or about all that are not decided yet. Answers that say "I don't understand you"
// make it unwise to go on.
func (t *transaction) refuse(err *Error, rcpt ...int) {
	if rcpt == nil {
		if t.allSettled() {
			return // such as the 503 to DATA after the last recipient was refused
		}
		t.settle(err)
	}
	for _, i := range rcpt {
		if t.results[i].Phase != "" {
			return
		}
		t.decide(i, err)
	}
	if err.Code >= 500 && err.Code <= 509 || err.Code == 555 {
		t.s.dirty = true
	}
}

func (t *transaction) decide(i int, err *Error) {
	t.results[i] = t.result(err.Phase, err.Reply, err)
}

// settle decides about all recipients that are not decided yet.
func (t *transaction) settle(err *Error) {
	for i := range t.results {
		if t.results[i].Phase == "" {
			t.decide(i, err)
		}
	}
}

func (t *transaction) allSettled() bool {
	for i := range t.results {
		if t.results[i].Phase == "" {
			return false
		}
	}
	return true
}
