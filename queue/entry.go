package queue

import (
	"fmt"
	"io"
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
	// the queue looks at Digest and EightBit only after Head has returned.
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
	if err := checkStrings("Message", append([]string{m.From, m.Tenant, string(m.Return), m.EnvelopeID, string(m.TLS)}, m.Labels...)...); err != nil {
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
		field := name(fmt.Sprintf("Recipients[%d]", i))
		if r.Address == "" {
			return invalid(field+".Address", "is empty")
		}
		if !r.State.Final() && !j.Finished.IsZero() {
			return invalid(name("Finished"), "is set, but %q is %v", r.Address, r.State)
		}
		if err := checkStrings(field, r.Address, r.From, r.Original, r.Reason, r.Reply.Host, r.Reply.Addr, r.Reply.Phase, r.Reply.Enhanced, r.Reply.Text); err != nil {
			return err
		}
	}
	for i := range j.Attempts {
		r := &j.Attempts[i].Reply
		if err := checkStrings(name(fmt.Sprintf("Attempts[%d]", i)), j.Attempts[i].TLS, r.Host, r.Addr, r.Phase, r.Enhanced, r.Text); err != nil {
			return err
		}
	}
	return checkStrings(fmt.Sprintf("Jobs[%d]", j.Key.N), j.Domain, j.Via)
}

// checkStrings holds every string of a record to what any backend can store: bounded, UTF-8, no NUL.
func checkStrings(field string, list ...string) error {
	for _, s := range list {
		if len(s) > MaxString {
			return invalid(field, "has a string of %d octets, more than %d", len(s), MaxString)
		}
		if !utf8.ValidString(s) {
			return invalid(field, "has a string that is not UTF-8: %.100q", s)
		}
		for i := range len(s) {
			if s[i] == 0 {
				return invalid(field, "has a string with a NUL: %.100q", s)
			}
		}
	}
	return nil
}
