package smtpclient

import (
	"strconv"
	"time"
)

const (
	// maxAhead is how many chunks are sent before the first of them is answered.
	maxAhead = 16
	// maxSilence is how long a session may have been idle and still be trusted to be there.
	maxSilence = time.Second
)

// data sends DATA, and the text if the server wants it.
func (t *transaction) data() *Error {
	if err := t.send(command{phase: PhaseData}, "DATA"); err != nil {
		return err
	}
	if err := t.sync(0); err != nil {
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
	t.s.wire.out.timeout = t.s.o.Timeouts.Body
	t.s.wire.trace.add("C: ", "...")
	dots := &dotWriter{w: t.s.wire.w}
	for more := true; more; more = !t.text.last() && t.s.wire.err() == nil {
		if err := t.text.next(); err != nil {
			return t.s.failure(PhaseBody, err)
		}
		dots.write(t.text.piece())
	}
	dots.end()
	t.s.wire.trace.add("C: ", ".")
	t.end(command{phase: PhaseBody})
	return t.sync(0)
}

// nothing ends the data of a transaction that has no recipients, as RFC 2920, section 3.1 has it.
func (t *transaction) nothing() *Error {
	if _, err := t.s.ask(".", t.s.o.Timeouts.Reset); err != nil {
		return t.s.failure(PhaseBody, err)
	}
	return nil
}

// end notes that the end of the data will be answered: once, or, in LMTP, once for each accepted recipient.
func (t *transaction) end(c command) {
	t.ending = true
	if !t.s.o.LMTP {
		c.rcpt = all
		t.pending = append(t.pending, c)
		return
	}
	for _, i := range t.accepted {
		c.rcpt = i
		t.pending = append(t.pending, c)
	}
}

// chunks sends the text by BDAT (RFC 3030): a small one together with the recipients, another piece by piece once somebody is
// known to take it.
//
// Each piece, the last above all, has been read before its BDAT is sent. So a body that fails does so between two chunks, and
// no server, not even one that takes a chunk that was cut off for a whole one, can take half a message for the message.
func (t *transaction) chunks() *Error {
	ahead, err := t.ahead()
	if err != nil {
		return t.s.failure(PhaseBody, err)
	}
	if !ahead {
		if err := t.sync(0); err != nil || t.hopeless() {
			return err
		}
	}
	window := 0
	if t.together() {
		window = maxAhead
	}
	for {
		if err := t.text.next(); err != nil {
			return t.s.failure(PhaseBody, err)
		}
		last := t.text.last()
		t.chunk(last)
		if last {
			return t.sync(0)
		}
		if err := t.sync(window); err != nil {
			return err
		}
		if t.broken {
			return t.sync(0)
		}
	}
}

// ahead reports whether the text goes out together with the recipients.
//
// It doesn't where a loss of the connection, or a refusal, must not leave the doubt whether it has arrived nevertheless:
// on a session that may have been closed while it was idle, and behind a RSET. Nor in LMTP, where the number of answers
// depends on that of recipients.
func (t *transaction) ahead() (bool, error) {
	idle := t.s.used && !t.begun && time.Since(t.s.heard) > maxSilence
	resets := len(t.pending) > 0 && t.pending[0].phase == PhaseReset
	if !t.together() || idle || resets || t.s.o.LMTP {
		return false, nil
	}
	return t.text.small()
}

// chunk buffers or sends the piece.
func (t *transaction) chunk(last bool) {
	piece := t.text.piece()
	line := strconv.AppendInt(append(make([]byte, 0, 32), "BDAT "...), int64(len(piece)), 10)
	c := command{phase: PhaseBody, rcpt: all, bdat: true, more: !last}
	if last {
		line = append(line, " LAST"...)
		t.end(c)
	} else {
		t.pending = append(t.pending, c)
	}
	t.s.wire.out.timeout = t.s.o.Timeouts.Body
	t.s.wire.say(string(line))
	t.s.wire.w.Write(piece) // errors stay until Flush
}
