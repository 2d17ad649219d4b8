package smtpclient

import (
	"errors"
	"os"
	"time"

	"github.com/emersion/go-smtp"
)

// lastWords is how long to wait for a reply that may lie there already, after a write has failed.
const lastWords = 2 * time.Second

// maxCommand is more than any command has. As long as that much room is left in the buffer for one write, commands go out
// together; then their answers are read first, so that neither side fills the other's buffers.
const maxCommand = 4 << 10

// transaction is what MAIL begins, for some recipients of a message:
//
//	[RSET] MAIL RCPT ... DATA, text, dot     or
//	[RSET] MAIL RCPT ... BDAT, piece ... BDAT LAST, piece
//
// Commands are sent together as far as the server allows it, and each is noted in pending until its answer is read.
type transaction struct {
	*message
	to []int // recipients

	mail     string    // the commands
	rcpt     []string  // for each of e.To; "" for those that are not asked
	pending  []command // sent or buffered, not answered
	refused  bool      // as a whole, by the answer to MAIL
	accepted []int     // recipients
	full     int       // how many had been accepted when the server had enough
	doubted  bool      // the suspects were found in it
	open     bool      // DATA was answered with 3xx
	broken   bool      // a chunk was refused
	ending   bool      // the end of the data is sent or buffered
	sent     bool      // the end of the data is sent
	flying   bool      // it is sent as a whole, see SendAll
	behind   bool      // while another is not yet answered
}

// command is what the next answer belongs to.
type command struct {
	phase Phase
	rcpt  int  // index of the recipient, or all
	bdat  bool // rather than the end of what DATA has begun
	more  bool // a BDAT that isn't LAST
}

// all in place of a recipient means those who were accepted.
const all = -1

// run holds the dialogue. Its error ends the session.
func (t *transaction) run() *Error {
	if t.prepare(); t.mail == "" {
		return nil
	}
	if t.s.lost() {
		t.s.broken.Stale = t.s.broken.Stale && !t.begun
		return t.s.broken
	}
	if err := t.announce(); err != nil || t.hopeless() {
		return err
	}
	if t.ext.has("CHUNKING") {
		return t.chunks()
	}
	return t.data()
}

// prepare writes the commands, and settles whatever needs no server to be refused. There is no mail if nobody is left.
func (t *transaction) prepare() {
	if err := t.checkMail(); err != nil {
		t.settle(err)
		return
	}
	utf8 := t.e.needsUTF8()
	quota := t.s.quota()
	t.rcpt = make([]string, len(t.e.To))
	t.pending = make([]command, 0, len(t.to)+4)
	for _, i := range t.to {
		r := &t.e.To[i]
		line, err := t.rcptCommand(r)
		switch {
		case err != nil:
			t.decide(i, err)
		case !quota.takes(r.Address):
			t.postpone(i, t.s.decided(PhaseRcpt, 452, smtp.EnhancedCode{4, 5, 3}, ErrTooMany))
		default:
			t.rcpt[i] = line
			utf8 = utf8 || !isASCII(r.Address)
		}
	}
	if quota.rcpts == 0 {
		return
	}
	var err *Error
	if t.mail, err = t.mailCommand(utf8); err != nil {
		t.settle(err)
	}
}

// announce sends all that comes before the data, as far as it makes sense.
func (t *transaction) announce() *Error {
	if t.s.reset || t.behind {
		if err := t.send(command{phase: PhaseReset}, "RSET"); err != nil {
			return err
		}
	}
	t.s.mails++
	if err := t.send(command{phase: PhaseMail}, t.mail); err != nil {
		return err
	}
	for i, line := range t.rcpt {
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
	return nil
}

// hopeless reports whether it is certain that nobody will take the message.
func (t *transaction) hopeless() bool {
	return len(t.pending) == 0 && (t.refused || len(t.accepted) == 0)
}

// together reports whether the server takes commands together (RFC 2920).
func (t *transaction) together() bool { return t.ext.has("PIPELINING") }

// send sends a command, with others if that is possible.
func (t *transaction) send(c command, line string) *Error {
	t.s.wire.out.timeout = t.s.o.Timeouts.Command
	t.s.wire.say(line)
	t.pending = append(t.pending, c)
	if t.flying || t.together() && t.s.wire.w.Available() >= maxCommand {
		return nil
	}
	return t.sync(0)
}

// sync sends what is buffered and reads answers until only so many are pending. Those that came before the connection was
// lost count.
func (t *transaction) sync(pending int) *Error {
	written := t.flush()
	if written != nil {
		pending = 0 // whatever there is to hear
	}
	phase := PhaseMail
	for len(t.pending) > pending {
		c := t.pending[0]
		t.pending = t.pending[1:]
		phase = c.phase
		timeout := t.s.timeout(c)
		if written != nil {
			timeout = min(timeout, lastWords)
		}
		a, err := t.s.wire.readReply(timeout)
		if err == nil && written != nil && phase == PhaseBody && !c.more && a.code < 400 {
			break // half a message can't have been taken
		}
		if err != nil {
			if written != nil {
				err = written
			}
			return t.stale(t.s.failure(phase, err))
		}
		if err := t.answer(c, a.reply()); err != nil {
			return t.stale(err)
		}
	}
	if written != nil {
		return t.stale(t.s.failure(phase, written))
	}
	return nil
}

// flush sends what is buffered, if there is still something of t in it.
func (t *transaction) flush() error {
	if t.sent {
		return nil
	}
	err := t.s.wire.w.Flush()
	t.sent = t.ending && err == nil
	return err
}

func (s *Session) timeout(c command) time.Duration {
	switch {
	case c.phase == PhaseReset:
		return s.o.Timeouts.Reset
	case c.phase == PhaseData:
		return s.o.Timeouts.Data
	case c.phase == PhaseBody && !c.more:
		return s.o.Timeouts.Dot
	}
	return s.o.Timeouts.Command
}

// stale marks the loss of a session that was idle before.
func (t *transaction) stale(e *Error) *Error {
	lost := e.Code != 0 || !t.sent && (e.Phase == PhaseReset || !errors.Is(e.Err, os.ErrDeadlineExceeded))
	e.Stale = t.s.used && !t.begun && lost
	return e
}
