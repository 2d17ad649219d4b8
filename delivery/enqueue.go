package delivery

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/internal/intake"
	"github.com/postroad/postroad/queue"
)

// maxReceived is how many Received lines a message may come with: more is a loop, though RFC 5321, section 6.3, would allow for 100.
const maxReceived = 50

// Enqueue takes the message and returns once it is durable: nil means that it will be delivered, or reported to its sender
// as failed, whatever happens to this process. An error means that it is not queued: a [*FieldError] if it can't be sent as it
// is, queue.ErrFull if trying later helps, queue.ErrConflict if its Key belongs to another message, or the error of the
// [Suppressor]. The one case that can't be known is queue.ErrInDoubt; repeating the call with the same Key settles it. If ctx ends
// after the message was handed to the disk, Enqueue waits for the truth.
func (s *Sender) Enqueue(ctx context.Context, m Message) (Receipt, error) {
	s.keepTime(ctx)
	e, err := s.Prepare(ctx, m)
	if err != nil {
		return Receipt{}, err
	}
	defer closeBody(e)
	h := s.handOver(e)
	defer h.end(ctx)
	added, err := h.store(ctx)
	if added {
		event := Queued{Time: s.now(), Message: e.Message}
		if s.observed() {
			event.To = recipients(e)
		}
		s.observe(event)
	}
	if err == nil || errors.Is(err, queue.ErrInDoubt) {
		s.noteEntry(e, h.has) // though it may not be new, or not there: nobody else need ever have told Run of it
	}
	if err != nil {
		return Receipt{}, enqueueError(err)
	}
	return Receipt{ID: e.Message.ID, Duplicate: !added}, nil
}

// Prepare makes of m the entry that Enqueue stores, for host programs that store it themselves: in a transaction of their own, by
// pgqueue's EnqueueTx, so that an order and its receipt are there together or not at all. Its errors are those of Enqueue that
// have nothing to do with the body or the queue. It asks the [Suppressor], which may take its time, so it is better called before the
// transaction begins.
//
// The body is read, and checked, when the queue reads the entry, whose error then wraps a [*FieldError] if the message can't be sent
// as it is. A running Sender learns of such an entry only if its queue is a [queue.Waker], and no [Queued] is observed. The Body of an
// entry that isn't stored after all is an io.Closer to be closed, for the sake of a signature that has been begun.
//
// Of a queue with a clock of its own Prepare goes by that as far as the Sender knows it: while it runs, and for 10 minutes after an
// Enqueue.
func (s *Sender) Prepare(ctx context.Context, m Message) (*queue.Entry, error) {
	now := s.now()
	id, err := messageID(&m, now)
	if err != nil {
		return nil, err
	}
	e := &queue.Entry{Message: queue.Message{
		ID: id, Tenant: m.Tenant, Priority: m.Priority, Labels: m.Labels, Enqueued: now,
		UTF8: m.UTF8, Return: m.Return, EnvelopeID: m.EnvelopeID, TLS: m.TLS,
	}}
	due := now
	if m.SendAt.After(now) {
		due = m.SendAt
	}
	if e.Message.Expires = m.Expires; m.Expires.IsZero() {
		e.Message.Expires = due.Add(s.config.Lifetime)
	} else if !m.Expires.After(due) {
		return nil, &FieldError{"Expires", errors.New("is not after SendAt")}
	}
	if err := setEnvelope(e, &m, due); err != nil {
		return nil, err
	}
	if err := e.Check(); err != nil {
		return nil, &FieldError{"Message", err}
	}
	if err := s.suppressEntry(ctx, e); err != nil {
		return nil, err
	}
	s.setBody(e, &m, now)
	return e, nil
}

// Check looks at the envelope of m: its addresses, and what goes with them. The error is the [*FieldError] with which Enqueue would
// refuse it, such as one for "To" if there are no recipients yet. A server that takes mail answers MAIL and RCPT by it.
func (m *Message) Check() error { return setEnvelope(&queue.Entry{}, m, time.Time{}) }

// messageID makes the ID of a new message, or the one that its Key stands for.
func messageID(m *Message, now time.Time) (queue.ID, error) {
	if m.Key == "" {
		return queue.NewID(now, rand.Reader)
	}
	return hashID("key", m.Tenant, m.Key), nil
}

// hashID makes an ID of words.
func hashID(words ...string) queue.ID {
	h := sha256.New()
	for _, w := range words {
		writeString(h, w)
	}
	return queue.EncodeID([16]byte(h.Sum(nil)))
}

// writeString hashes s so that no two lists of strings hash alike.
func writeString(h hash.Hash, s string) {
	h.Write(append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(s)), uint64(len(s))), s...))
}

// hashEnvelope begins a hash with who a message is from and to.
func hashEnvelope(from string, to []Recipient) hash.Hash {
	h := sha256.New()
	writeString(h, from)
	for _, r := range to {
		writeString(h, r.Address)
	}
	return h
}

// setBody makes the entry's body of the message's, to be checked and repaired as it streams.
func (s *Sender) setBody(e *queue.Entry, m *Message, now time.Time) {
	body := m.Body
	if body == nil {
		body = bytes.NewReader(nil)
	}
	domain := e.Message.From[strings.LastIndexByte(e.Message.From, '@')+1:]
	in := intake.New(body, intake.Options{
		ID: string(e.Message.ID), Now: now, Hostname: s.config.Hostname, Domain: domain, Client: intake.Client(m.Client),
		UTF8: m.UTF8, Reencode: m.Reencode, MaxSize: s.config.MaxSize, Sign: s.sign(),
	})
	e.Body = incoming{in}
	e.Head = func() ([]byte, error) {
		head, err := in.Head()
		if err != nil {
			return nil, err
		}
		facts := in.Facts()
		if facts.Received > maxReceived {
			return nil, &FieldError{"Body", ErrLoop}
		}
		e.Message.EightBit = facts.EightBit
		e.Message.UTF8 = e.Message.UTF8 || facts.UTF8
		if facts.TLSOptional && e.Message.TLS == queue.TLSDefault {
			e.Message.TLS = queue.TLSOptional
		}
		e.Message.Digest = digest(m, facts.Digest)
		return head, nil
	}
}

// incoming is a message on its way in. What is wrong with it is the fault of its body, whoever stores it.
type incoming struct{ *intake.Reader }

func (in incoming) Read(p []byte) (int, error) {
	n, err := in.Reader.Read(p)
	if e, refused := err.(*intake.Error); refused {
		err = &FieldError{"Body", e}
	}
	return n, err
}

// digest hashes what the caller gave: who from, who to, and what.
func digest(m *Message, body [32]byte) [32]byte {
	h := hashEnvelope(m.From, m.To)
	h.Write(body[:])
	return [32]byte(h.Sum(nil))
}

// enqueueError is the error of the queue, or that of the message which it has met.
func enqueueError(err error) error {
	if e, refused := errors.AsType[*FieldError](err); refused {
		return e
	}
	return fmt.Errorf("delivery: %w", err)
}

func recipients(e *queue.Entry) (to []string) {
	for _, j := range e.Jobs {
		for i := range j.Recipients {
			to = append(to, j.Recipients[i].Address)
		}
	}
	return to
}
