package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Send sends one message: MAIL, RCPT for each recipient and body, which is text with CRLF line ends (see the package comment
// for others). It returns one Result per recipient, in the order of e.To, in every case.
//
// The error is not about the message but about the session: nil if the dialogue stayed in step, whatever was refused; else an
// [*Error] that says why nothing more can be said. The connection is closed then. Recipients about whom nothing was
// decided have that error as theirs.
//
//   - Recipients whom the server accepted are delivered if it answers the end of the data with any 2xx. If the connection is
//     lost between that end and the answer they are Uncertain.
//   - If body fails, the connection is dropped before the end of the data, and nobody is delivered or uncertain.
//   - If ctx ends, the connection is closed at once, whatever was being waited for, body's reader excepted.
//   - Recipients and messages that can't be sent at all, such as an address with a space or a message larger than the server
//     allows, are refused here: their Reply says so, and Err wraps the reason.
//   - What one transaction doesn't do goes in another one on the same session: recipients beyond the server's limit, and,
//     once, what was refused because of an extension that can be done without (see [Session.Refused]). That needs the body
//     again: one of more than 64 KiB must be an [io.Seeker], which is set back to where it was; or else the first
//     answer stands.
func (s *Session) Send(ctx context.Context, e *Envelope, body io.Reader) ([]Result, error) {
	m := &message{s: s, e: e, text: &s.text}
	m.text.begin(body)
	if err := m.start(ctx); err != nil {
		return m.results, err
	}
	return m.results, m.finish(ctx, m.run())
}

// message is one message on its way through a session, in as many transactions as it takes.
type message struct {
	s       *Session
	e       *Envelope
	text    *text
	stop    func() bool // looking out for the end of the context
	ext     extensions  // the server's, without those that the message must do without
	results []Result    // Phase is "" until it is decided
	began   time.Time

	begun  bool  // a MAIL was answered
	failed bool  // the message was refused, and not just some of its recipients
	again  []int // recipients for the next transaction; if there is none, what they have in results stands

	suspects []string // extensions because of which the message may have been refused
	suspect  Phase    // by the answer to which command
}

// start prepares to send the message until ctx ends.
func (m *message) start(ctx context.Context) error {
	m.began = time.Now()
	m.ext = m.s.ext
	m.results = make([]Result, len(m.e.To))
	var err *Error
	switch {
	case m.s.closed:
		err = m.s.failure(PhaseMail, ErrClosed)
	case m.s.broken != nil && m.s.broken.Stale:
		err = m.s.broken
	case m.s.broken != nil:
		err = m.s.failure(PhaseMail, fmt.Errorf("session was lost before: %w", m.s.broken))
		err.Stale = true
	default:
		m.stop = context.AfterFunc(ctx, m.s.wire.abort)
		return nil
	}
	m.settle(err)
	return err
}

// finish settles what is left because of err, if there is one, which ends the session.
func (m *message) finish(ctx context.Context, err *Error) error {
	m.text.begin(nil)
	if !m.stop() && err == nil {
		err = m.s.failure(PhaseReset, nil) // too late for this message, but the connection is gone
	}
	m.s.heard = time.Now()
	if err == nil {
		return nil
	}
	m.s.fail(ctx, err)
	m.settle(err)
	return err
}

// run holds one transaction after the other. Its error ends the session.
func (m *message) run() *Error {
	t := m.first()
	return m.goOn(t, t.run())
}

// first is the transaction that everybody is in.
func (m *message) first() *transaction {
	t := &transaction{message: m, to: make([]int, len(m.e.To))}
	for i := range t.to {
		t.to[i] = i
	}
	return t
}

// goOn holds the transactions that follow on t, which has ended with err.
func (m *message) goOn(t *transaction, err *Error) *Error {
	for {
		if err != nil {
			err.Uncertain = t.sent && err.Code == 0 && !m.settled()
			return err
		}
		if t.full > 0 {
			m.s.rcptMax = t.full
		}
		to := m.next()
		if len(to) == 0 {
			return nil
		}
		t = &transaction{message: m, to: to}
		err = t.run()
	}
}

// next returns the recipients of the next transaction, if there can be one.
//
// It comes to an end: recipients are left for it if others were accepted, or because of the suspects, and these only once.
func (m *message) next() []int {
	to := m.again
	m.again = nil
	if len(to) == 0 || m.failed || !m.s.Reusable() || !m.text.rewind() {
		return nil
	}
	for _, i := range to {
		m.results[i] = Result{}
	}
	return to
}

// postpone leaves recipient i to the next transaction. If there is none, e has decided.
func (m *message) postpone(i int, e *Error) {
	if m.results[i].Phase == "" {
		m.decide(i, e)
		m.again = append(m.again, i)
	}
}

func (m *message) decide(i int, e *Error) {
	m.results[i] = m.result(e.Phase, e.Reply, e)
}

// settle decides about all recipients that are not decided yet.
func (m *message) settle(e *Error) {
	for i := range m.results {
		if m.results[i].Phase == "" {
			m.decide(i, e)
		}
	}
}

func (m *message) settled() bool {
	return !slices.ContainsFunc(m.results, func(r Result) bool { return r.Phase == "" })
}

// doubt reports whether a command may have been refused because of its parameters, and leaves out from then on what they
// belong to. A message is in doubt once only.
func (m *message) doubt(line string, e *Error) bool {
	if m.suspects != nil {
		return false
	}
	suspects := e.blames(parameters(line))
	if m.e.needsUTF8() {
		suspects = slices.DeleteFunc(suspects, func(keyword string) bool { return keyword == "SMTPUTF8" })
	}
	if len(suspects) == 0 {
		return false
	}
	m.suspects, m.suspect = suspects, e.Phase
	m.ext = m.ext.without(suspects...)
	return true
}

// ErrChunking means that the server offers CHUNKING and doesn't know BDAT. What it has made of the octets behind the command
// nobody knows, so the session is over. Recipients who have it as their error, unless they are Uncertain, may be tried again
// at once on a session that is dialled with CHUNKING in [Options].Ignore, which is no second attempt.
var ErrChunking = errors.New("server offers CHUNKING and refuses BDAT")
