package smtpclient

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

const (
	// maxFlying is how many messages are on their way at the same time. As many are Uncertain if the connection is lost.
	maxFlying = 16
	// maxFlyingTo is how many recipients each of them may have, so that no buffer on the way overflows with answers.
	maxFlyingTo = 20
)

// SendAll sends messages one after the other, each as [Session.Send] does, and yields their results in the same order. Where
// the server pipelines and chunks, it doesn't wait for one message to be taken before it sends the next: up to 16 of
// up to 64 KiB and 20 recipients are on their way at the same time, so that the length of the way hardly matters.
//
// The price is that all of them are Uncertain if the connection is lost.
//
// An error that comes with results means that the session is over, as with Send, and comes with all that follow. No more
// messages are taken from the sequence then; those that were taken still get their results.
//
// Results are yielded once so many messages are on their way that one has to arrive first, or when the sequence ends. So
// that should not wait for anything. Whoever leaves the loop early doesn't hear of the messages that are on their way.
func (s *Session) SendAll(ctx context.Context, messages iter.Seq2[*Envelope, io.Reader]) iter.Seq2[[]Result, error] {
	return func(yield func([]Result, error) bool) {
		st := &stream{s: s, ctx: ctx, yield: yield}
		defer st.abandon()
		for e, body := range messages {
			if !st.send(e, body) {
				break
			}
		}
		st.land(0)
	}
}

// stream is messages on their way, each of them so far a single transaction.
type stream struct {
	s      *Session
	ctx    context.Context
	yield  func([]Result, error) bool
	quiet  bool      // nobody listens any more
	lost   *Error    // why the session is over
	flying []*flight // the oldest first
	texts  []*text   // that no message needs any more
}

type flight struct {
	*transaction
	answered bool
	err      *Error
}

// send sends one message, and reports whether there can be another.
func (st *stream) send(e *Envelope, body io.Reader) bool {
	m := &message{s: st.s, e: e, text: st.text()}
	m.text.begin(body)
	flies := st.flies(m)
	if !flies {
		st.land(0)
	}
	err := m.start(st.ctx)
	switch {
	case err != nil:
	case flies:
		f := &flight{transaction: m.first()}
		f.flying, f.behind = true, len(st.flying) > 0
		f.takeOff()
		st.flying = append(st.flying, f)
		st.land(maxFlying - 1)
		return !st.quiet && st.lost == nil
	default:
		err = m.finish(st.ctx, m.run())
	}
	st.hand(m, err)
	return !st.quiet && err == nil
}

// flies reports whether m can go before others are answered. It can't before it is known that the server knows BDAT; nor, as
// the first, where it would wait for RSET or the answer to MAIL anyway.
func (st *stream) flies(m *message) bool {
	s, q := st.s, st.s.quota()
	enough := s.ext.limits().mails
	switch {
	case s.closed || s.broken != nil || s.dirty || s.wire.junk || enough > 0 && s.mails >= enough:
		return false
	case !s.chunks || s.o.LMTP || !s.ext.has("PIPELINING") || !s.ext.has("CHUNKING"):
		return false
	case len(m.e.To) > maxFlyingTo || q.rcptMax > 0 && len(m.e.To) > q.rcptMax || q.domainMax > 0:
		return false
	case len(st.flying) == 0 && (s.reset || time.Since(s.heard) > maxSilence):
		return false
	}
	small, err := m.text.small()
	return small && err == nil
}

// takeOff sends all of the transaction at once. It goes behind a RSET if it isn't known how the one before will end.
func (t *transaction) takeOff() {
	if t.prepare(); t.mail == "" {
		return
	}
	t.announce() // nothing is waited for, so nothing can fail
	t.text.next()
	t.chunk(true)
	t.flush() // errors stay until the next
}

// land waits until only so many messages are on their way.
func (st *stream) land(flying int) {
	for len(st.flying) > flying {
		f := st.flying[0]
		st.flying = st.flying[1:]
		st.answers(f)
		if len(f.again) > 0 { // which is another transaction, once all is quiet
			for _, other := range st.flying {
				st.answers(other)
			}
		}
		st.hand(f.message, f.finish(st.ctx, f.goOn(f.transaction, f.err)))
		st.texts = append(st.texts, f.text)
	}
}

// answers reads the answers to f, if there are any.
func (st *stream) answers(f *flight) {
	switch {
	case f.answered:
		return
	case st.lost != nil:
		e := *st.lost
		f.err = &e
	default:
		if f.err = f.sync(0); f.err != nil {
			st.s.fail(st.ctx, f.err)
			st.lost = f.err
		}
	}
	f.answered = true
}

// abandon ends the session if the loop was left by a panic: answers are still to come, and the next message must not take
// them for its own.
func (st *stream) abandon() {
	if len(st.flying) > 0 {
		st.s.fail(st.ctx, st.s.failure(PhaseBody, errAbandoned))
	}
	for _, f := range st.flying {
		f.stop()
	}
}

var errAbandoned = errors.New("results were not waited for")

// hand yields the results of a message.
func (st *stream) hand(m *message, err error) {
	switch {
	case st.lost != nil:
		err = st.lost
	case err != nil:
		st.lost = st.s.broken // nil if it was closed before
	}
	if !st.quiet {
		st.quiet = !st.yield(m.results, err)
	}
}

// text is one that is free.
func (st *stream) text() *text {
	n := len(st.texts)
	if n == 0 {
		return &text{}
	}
	x := st.texts[n-1]
	st.texts = st.texts[:n-1]
	return x
}
