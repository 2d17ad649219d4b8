package smtpclient

import (
	"fmt"

	"github.com/emersion/go-smtp"
)

// answer gives an answer to the command it belongs to. Its error ends the session: the server goes away, or makes no sense,
// so that nobody knows what the next answer belongs to.
func (t *transaction) answer(c command, r Reply) *Error {
	if r.class() == 2 && c.phase != PhaseData || r.class() == 3 && c.phase == PhaseData {
		return t.grant(c, r)
	}
	err := t.s.refusal(c.phase, r)
	if err.Code == 0 || c.phase == PhaseReset && !t.flying || t.goesAway(c.phase, r) {
		return err
	}
	return t.deny(c, err)
}

// goesAway reports whether r is the server's farewell: 421, or what some say instead to a session that was idle, as none is
// on which messages fly.
func (t *transaction) goesAway(phase Phase, r Reply) bool {
	return r.Code == 421 ||
		r.Code == 451 && r.Enhanced == smtp.EnhancedCode{4, 4, 2} && phase == PhaseMail && t.s.used && !t.flying
}

// grant takes a positive answer.
func (t *transaction) grant(c command, r Reply) *Error {
	if c.phase == t.suspect && !t.doubted {
		t.s.refuse(t.suspects...) // without them it goes
	}
	switch c.phase {
	case PhaseReset:
		t.s.reset = false
	case PhaseMail:
		t.begun, t.s.used, t.s.reset = true, true, true
	case PhaseRcpt:
		t.accepted = append(t.accepted, c.rcpt)
		t.full = 0
	case PhaseData:
		t.open = true
	case PhaseBody:
		return t.taken(c, r)
	}
	return nil
}

// taken notes that a chunk, or the whole message, was taken.
func (t *transaction) taken(c command, r Reply) *Error {
	switch {
	case t.refused || t.broken:
		return t.s.failure(PhaseBody, protocolError("%d to a message that was refused", r.Code))
	case len(t.accepted) == 0: // by nobody; RSET will see to it
		return nil
	}
	t.s.chunks = t.s.chunks || c.bdat
	if c.more {
		return nil
	}
	t.s.reset = false
	taken := t.result(PhaseBody, r, nil)
	for _, i := range t.concerned(c) {
		t.results[i] = taken
	}
	return nil
}

func (t *transaction) concerned(c command) []int {
	if c.rcpt == all {
		return t.accepted
	}
	return []int{c.rcpt}
}

// deny takes a refusal.
func (t *transaction) deny(c command, err *Error) *Error {
	switch c.phase {
	case PhaseReset:
		t.s.dirty = true // what it means for the message, the answer to MAIL will say
	case PhaseMail:
		t.begun, t.s.used, t.s.reset = true, true, false
		t.refused = true
		t.denyMail(err)
	case PhaseRcpt:
		t.denyRcpt(c, err)
	case PhaseData:
		t.failed = t.failed || len(t.accepted) > 0
		t.refuse(err, t.accepted)
	case PhaseBody:
		return t.denyBody(c, err)
	}
	return nil
}

func (t *transaction) denyMail(err *Error) {
	if t.doubt(t.mail, err) {
		t.doubted = true
		for _, i := range t.to {
			t.postpone(i, err)
		}
		return
	}
	t.failed = true
	t.refuse(err, t.to)
}

func (t *transaction) denyRcpt(c command, err *Error) {
	i := c.rcpt
	switch {
	case t.refused:
	case t.doubt(t.rcpt[i], err):
		t.doubted = true
		t.postpone(i, err)
	case t.doubted && len(err.blames(parameters(t.rcpt[i]))) > 0: // as another before
		t.postpone(i, err)
	case err.full() && len(t.accepted) > 0:
		if err.tooMany() && t.full == 0 {
			t.full = len(t.accepted)
		}
		t.postpone(i, err)
	default:
		t.refuse(err, []int{i})
	}
}

func (t *transaction) denyBody(c command, err *Error) *Error {
	switch {
	case t.refused || len(t.accepted) == 0:
		// The decision was made before. 503 is what RFC 3030 wants here; a server that doesn't know BDAT may have
		// taken the text for commands, and be out of step.
		t.s.dirty = t.s.dirty || err.misunderstood() && err.Code != 503
		return nil
	case c.bdat && !t.s.chunks && !t.broken && err.misunderstood():
		t.s.refuse("CHUNKING")
		t.sent = c.rcpt != all && len(t.accepted) > 1 // in LMTP it could be the answer for one of them
		return t.s.failure(PhaseBody, fmt.Errorf("%w: %s", ErrChunking, err.Reply))
	}
	if c.rcpt == all {
		t.broken, t.failed = true, true
	}
	if !c.bdat {
		t.s.reset = false // after a refused chunk RFC 3030, section 2, wants RSET
	}
	t.refuse(err, t.concerned(c))
	return nil
}

// refuse decides about those of the recipients at indexes that are not decided yet. Answers that say "I don't understand
// you" make it unwise to go on.
func (t *transaction) refuse(err *Error, indexes []int) {
	for _, i := range indexes {
		if t.results[i].Phase == "" {
			t.decide(i, err)
			t.s.dirty = t.s.dirty || err.misunderstood()
		}
	}
}
