package queue

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Entry is a message to enqueue.
type Entry struct {
	Message Message
	// Jobs has at least one job; Jobs[i].Key is {Message.ID, i}, and their Message, Token, Leased and Lapses are not
	// looked at. A job with Finished set, whose recipients are then all final, is stored as finished. Final recipients
	// get marks, as in [Queue.Commit].
	Jobs []*Job
	// Body is read once, from a single goroutine, to io.EOF. Nil is an empty body.
	Body io.Reader
	// Head, if not nil, is called once, after Body has returned io.EOF, and what it returns is stored before Body, so
	// that headers and signatures made while the body streamed need no second copy. Head may also complete Message:
	// the queue looks at Digest, UTF8, EightBit and TLS only after Head has returned.
	Head func() ([]byte, error)
}

// Bounds of a single entry, which keep any record that a backend stores small.
const (
	MaxJobs       = 100_000 // jobs of an entry
	MaxRecipients = 1_000   // recipients of a job
	MaxString     = 4096    // octets of any one string: an address, a label, a reply's text
	MaxLabels     = 100     // labels of a message
	MaxAttempts   = 100     // attempts kept with a job
)

// Check reports what is wrong with the form of e, as an error that wraps [ErrInvalid] and names the field; backends call it
// first. Addresses are not parsed here.
func (e *Entry) Check() error {
	m := &e.Message
	switch {
	case !m.ID.Valid():
		return invalid("Message.ID", "%q is not an ID", m.ID)
	case m.Expires.IsZero():
		return invalid("Message.Expires", "is zero; every message expires")
	case len(m.Labels) > MaxLabels:
		return invalid("Message.Labels", "has %d elements, more than %d", len(m.Labels), MaxLabels)
	case len(e.Jobs) == 0:
		return invalid("Jobs", "is empty")
	case len(e.Jobs) > MaxJobs:
		return invalid("Jobs", "has %d elements, more than %d", len(e.Jobs), MaxJobs)
	}
	message := func() string { return "Message" }
	if err := checkStrings(message, m.From, m.Tenant, string(m.Return), m.EnvelopeID, string(m.TLS)); err != nil {
		return err
	}
	if err := checkStrings(message, m.Labels...); err != nil {
		return err
	}
	for i, j := range e.Jobs {
		if j == nil {
			return invalid(fmt.Sprintf("Jobs[%d]", i), "is nil")
		}
		if want := (Key{m.ID, i}); j.Key != want {
			return invalid(fmt.Sprintf("Jobs[%d].Key", i), "is %q, not %q", j.Key, want)
		}
		if err := j.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Check reports what is wrong with the form of j, as an error that wraps [ErrInvalid] and names the field; backends call it
// before they store a job.
func (j *Job) Check() error {
	name := func(field string) string { return fmt.Sprintf("Jobs[%d].%s", j.Key.N, field) }
	switch {
	case j.Domain == "":
		return invalid(name("Domain"), "is empty")
	case len(j.Recipients) == 0:
		return invalid(name("Recipients"), "is empty")
	case len(j.Recipients) > MaxRecipients:
		return invalid(name("Recipients"), "has %d elements, more than %d", len(j.Recipients), MaxRecipients)
	case len(j.Attempts) > MaxAttempts:
		return invalid(name("Attempts"), "has %d elements, more than %d", len(j.Attempts), MaxAttempts)
	case j.Due.IsZero() && j.Finished.IsZero():
		return invalid(name("Due"), "is zero")
	}
	for i := range j.Recipients {
		r := &j.Recipients[i]
		if r.Address == "" {
			return invalid(name(fmt.Sprintf("Recipients[%d].Address", i)), "is empty")
		}
		if !r.State.Final() && !j.Finished.IsZero() {
			return invalid(name("Finished"), "is set, but %q is %v", r.Address, r.State)
		}
		field := func() string { return name(fmt.Sprintf("Recipients[%d]", i)) }
		if err := checkStrings(field, r.Address, r.From, r.Original, r.Reason, string(r.Report), r.Reply.Host, r.Reply.Addr, r.Reply.Phase, r.Reply.Enhanced, r.Reply.Text); err != nil {
			return err
		}
	}
	for i := range j.Attempts {
		r := &j.Attempts[i].Reply
		field := func() string { return name(fmt.Sprintf("Attempts[%d]", i)) }
		if err := checkStrings(field, j.Attempts[i].TLS, j.Attempts[i].QueueID, r.Host, r.Addr, r.Phase, r.Enhanced, r.Text); err != nil {
			return err
		}
	}
	job := func() string { return fmt.Sprintf("Jobs[%d]", j.Key.N) }
	return checkStrings(job, j.Domain, j.Via)
}

// checkStrings holds every string of a record to what any backend can store: bounded, UTF-8, no NUL. The name of the field
// is made only for an error: there are a dozen of them in every message.
func checkStrings(field func() string, list ...string) error {
	for _, s := range list {
		if len(s) > MaxString {
			return invalid(field(), "has a string of %d octets, more than %d", len(s), MaxString)
		}
		if !utf8.ValidString(s) {
			return invalid(field(), "has a string that is not UTF-8: %.100q", s)
		}
		if strings.IndexByte(s, 0) >= 0 {
			return invalid(field(), "has a string with a NUL: %.100q", s)
		}
	}
	return nil
}
