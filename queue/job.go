package queue

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Key names a job: its message and its number there, from 0.
type Key struct {
	ID ID
	N  int
}

// String is the ID, a slash and the number.
func (k Key) String() string { return fmt.Sprintf("%s/%d", k.ID, k.N) }

// Compare orders keys by ID, then by number.
func (k Key) Compare(o Key) int {
	return cmp.Or(strings.Compare(string(k.ID), string(o.ID)), cmp.Compare(k.N, o.N))
}

// Lane is what a claim can tell apart. Within a lane jobs are ordered by Due. First attempts have a lane of their own, so
// that they don't wait behind the retries that are due after an outage.
type Lane struct {
	Domain   string
	Tenant   string
	Priority Priority
	Retry    bool // of jobs that were tried before
}

// Token proves a lease. A queue never gives one out twice, not even after a restart. Zero is no token.
type Token uint64

// Mark is a place in the order in which recipients ended. Zero is before all marks.
type Mark uint64

// Job is one message on its way to one destination.
type Job struct {
	Key        Key
	Message    Message
	Domain     string // the destination: a domain in lower case and A-label form, or an address literal
	Recipients []Recipient
	Due        time.Time // not to be tried before
	Finished   time.Time // when the last recipient ended; zero while there is something to do
	Attempts   []Attempt // the latest ones, oldest first; Tries counts all
	Tries      int       // attempts made; waiting for a limit is none
	Held       bool      // waits for the host program, not for Due
	Via        string    // where to send it instead of the domain's own hosts; "" means there
	Lapses     int       // leases in a row that ended without a commit; the queue counts, the committer resets

	Token  Token     // set by Claim
	Leased time.Time // end of the lease, set by the queue; zero if there is none
}

// Lane is the lane that j is claimed from.
func (j *Job) Lane() Lane {
	return Lane{Domain: j.Domain, Tenant: j.Message.Tenant, Priority: j.Message.Priority, Retry: j.Tries > 0}
}

// Claimable is when j, if it isn't held, can be claimed because it is due: at Due, but not before its lease has ended.
func (j *Job) Claimable() time.Time { return later(j.Due, j.Leased) }

// Mark is the greatest mark of the job's recipients, zero if none has ended.
func (j *Job) Mark() Mark {
	var m Mark
	for i := range j.Recipients {
		m = max(m, j.Recipients[i].Mark)
	}
	return m
}

// Clone returns a deep copy.
func (j *Job) Clone() *Job {
	c := *j
	c.Message.Labels = slices.Clone(j.Message.Labels)
	c.Recipients = slices.Clone(j.Recipients)
	c.Attempts = slices.Clone(j.Attempts)
	return &c
}

func (j *Job) hasRecipient(address string) bool {
	return slices.ContainsFunc(j.Recipients, func(r Recipient) bool { return r.Address == address })
}

// State is how far a recipient has come.
type State uint8

const (
	Pending   State = iota // still to be tried
	Delivered              // a server has taken responsibility
	Failed                 // given up, and the sender doesn't know yet
	Bounced                // given up, and the sender was told, or nobody is to be told
	Withdrawn              // the host program took it back
)

// Final reports whether nothing is owed to the recipient or the sender any more: the state is Delivered, Bounced or
// Withdrawn.
func (s State) Final() bool { return s == Delivered || s == Bounced || s == Withdrawn }

// String is the state's name in lower case.
func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Delivered:
		return "delivered"
	case Failed:
		return "failed"
	case Bounced:
		return "bounced"
	case Withdrawn:
		return "withdrawn"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Recipient is one recipient of a job.
type Recipient struct {
	Address string // forward-path
	From    string // a reverse-path of its own, instead of the message's; all recipients of a job share it
	State   State
	// Decided is when it was delivered, given up or withdrawn, as whoever commits it knows; zero while it is pending.
	Decided time.Time
	// Uncertain is set while it can't be known whether the recipient has the message: the connection was lost after
	// the end of the data was sent and before it was answered.
	Uncertain bool
	Reply     Reply  // what was last heard about it
	Notify    Notify // NOTIFY of RFC 3461, section 4.1
	Original  string // ORCPT of RFC 3461, section 4.2: "type;address", decoded
	Reason    string // why it ended, in a few words, where Reply doesn't say
	Report    ID     // the message that told the sender of its failure, or what it was told of last; "" if there is none
	Mark      Mark   // set by the queue when State has become final
}

// Notify is the NOTIFY parameter of RFC 3461, section 4.1. The zero value says nothing: failures are reported.
type Notify uint8

const (
	NotifyNever   Notify = 1 << iota // alone: report nothing
	NotifySuccess                    // report delivery
	NotifyFailure                    // report failure
	NotifyDelay                      // report delay
)

// Reply is what a server answered, or, with Code 0, what happened instead of an answer.
type Reply struct {
	Host     string // the host's name, as it was routed to
	Addr     string // address and port that were dialled
	Phase    string // what was answered: "connect", "greeting", "mail", "rcpt", "data", "body", ...; "route" before a host was known, "suppressed" if none was to be
	Code     int    // three digits, 0 if there was no answer
	Enhanced string // RFC 3463 code such as "5.1.1", "" if there was none
	Text     string // printable, lines separated by '\n', bounded
}

// Attempt is the record of one try at a job.
type Attempt struct {
	Time      time.Time
	Took      time.Duration
	Reply     Reply  // the answer that decided it, of whichever host has given it
	TLS       string // protocol version of the connection that Reply came on, "" for plaintext
	Verified  bool   // its certificate proved the host's name, or was what the route asks for (DANE)
	QueueID   string // the name that a server which has taken the message has given it; "" if there is none, or it isn't known
	Uncertain bool   // it ended between the end of the data and its answer
}
