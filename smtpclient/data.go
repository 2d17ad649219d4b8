package smtpclient

import "io"

// nothing ends the data of a transaction that has no recipients, as RFC 2920, section 3.1 has it.
func (t *transaction) nothing() *Error {
	if _, err := t.s.ask(".", t.s.o.Timeouts.Reset); err != nil {
		return t.s.failure(PhaseBody, err)
	}
	return nil
}

// data sends the body and reads what became of it.
func (t *transaction) data(body io.Reader) *Error {
	t.s.wire.out.timeout = t.s.o.Timeouts.Body
	t.s.wire.trace.add("C: ", "...")
	dots := &dotWriter{w: t.s.wire.w}
	if t.s.buf == nil {
		t.s.buf = make([]byte, writeSize)
	}
	read, written := copyBody(dots, body, t.s.buf)
	if read != nil {
		return t.s.failure(PhaseBody, read)
	}
	if written == nil {
		written = dots.end()
	}
	if written == nil {
		written = t.s.wire.w.Flush()
	}
	if written != nil {
		return t.cutOff(written)
	}
	t.s.wire.trace.add("C: ", ".")
	a, err := t.s.wire.readReply(t.s.o.Timeouts.Dot)
	if err != nil {
		e := t.s.failure(PhaseBody, err)
		e.Uncertain = true
		return e
	}
	return t.finish(a.reply())
}

// finish takes the answer to the final dot.
func (t *transaction) finish(r Reply) *Error {
	t.s.reset = false
	if r.class() == 2 {
		taken := t.result(PhaseBody, r, nil)
		for _, i := range t.accepted {
			t.results[i] = taken
		}
		return nil
	}
	e := t.s.refusal(PhaseBody, r)
	e.Uncertain = e.Code == 0 // an answer, but who knows to what
	if e.Uncertain || t.goesAway(PhaseBody, r) {
		return e
	}
	t.refuse(e)
	return nil
}

// cutOff is for a body that couldn't be written to its end. The server may have said why, and then that counts; it can't
// have taken half a message.
func (t *transaction) cutOff(written error) *Error {
	e := t.s.failure(PhaseBody, written)
	a, err := t.s.wire.readReply(lastWords)
	if err == nil && a.code/100 >= 4 {
		t.settle(t.s.refusal(PhaseBody, a.reply()))
	}
	return e
}

// copyBody copies until the end or the first error, and says on which side that was.
func copyBody(w io.Writer, r io.Reader, buf []byte) (read, written error) {
	if r == nil {
		return nil, nil
	}
	for empty := 0; empty < 100; {
		n, err := r.Read(buf)
		if _, werr := w.Write(buf[:n]); werr != nil {
			return nil, werr
		}
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return err, nil
		}
		if empty++; n > 0 {
			empty = 0
		}
	}
	return io.ErrNoProgress, nil
}
