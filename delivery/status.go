package delivery

import (
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
)

// Status is everything known of a message, from Enqueue on and for as long as the queue keeps it once it is finished. Its
// String is for people; as JSON, times are RFC 3339, durations are in nanoseconds, and whatever doesn't apply is left out.
type Status struct {
	Time       time.Time      `json:"time"` // when this was so
	ID         queue.ID       `json:"id"`
	From       string         `json:"from"` // "" for the null sender, which reports have
	Tenant     string         `json:"tenant,omitempty"`
	Priority   queue.Priority `json:"priority,omitempty"`
	Labels     []string       `json:"labels,omitempty"`
	Size       int64          `json:"size"` // octets
	Return     queue.Return   `json:"return,omitempty"`
	EnvelopeID string         `json:"envelope_id,omitempty"`
	TLS        queue.TLS      `json:"tls,omitempty"` // what it demands
	Enqueued   time.Time      `json:"enqueued"`
	Expires    time.Time      `json:"expires"`
	Jobs       []JobStatus    `json:"jobs"`
}

// Finished is when the last of the jobs ended, zero if there is something to do.
func (s *Status) Finished() (at time.Time) {
	for i := range s.Jobs {
		f := s.Jobs[i].Finished
		if f.IsZero() {
			return f
		}
		if f.After(at) {
			at = f
		}
	}
	return at
}

// String is a line for the message and one for each recipient.
func (s *Status) String() string {
	var b strings.Builder
	from := s.From
	if from == "" {
		from = "<>"
	}
	b.WriteString(string(s.ID) + " from " + from + ", enqueued " + timeOfDay(s.Enqueued, s.Time))
	for i := range s.Jobs {
		for k := range s.Jobs[i].Recipients {
			r := &s.Jobs[i].Recipients[k]
			b.WriteString("\n\t" + r.Address + ": " + r.Summary)
		}
	}
	return b.String()
}

// JobStatus is what is known of a message on its way to one domain.
type JobStatus struct {
	N          int               `json:"n"` // its number, as in queue.Key
	Domain     string            `json:"domain"`
	Recipients []RecipientStatus `json:"recipients"`
	Attempts   []AttemptStatus   `json:"attempts,omitempty"` // the latest 20, oldest first
	Tries      int               `json:"tries"`              // all attempts
	Due        time.Time         `json:"due,omitzero"`       // no attempt before; zero if it is finished
	Finished   time.Time         `json:"finished,omitzero"`  // zero while there is something to do
	// InFlight says that it is being sent, or that what came of that is being stored; or that another process has it, which may
	// yet have to connect.
	InFlight bool `json:"in_flight"`
	Lapses   int  `json:"lapses,omitempty"` // leases in a row that ended without a commit

	// What keeps it back, beside Due. All is zero if it is finished.
	Held  bool  `json:"held,omitempty"`  // until Release, Withdraw or its expiry
	Pause *Rule `json:"pause,omitempty"` // the rule that keeps it back longest
	// Site is where it goes, by the name under which limits apply. It is its Domain while Run doesn't run, or hasn't learned more.
	Site string `json:"site,omitempty"`
	// SitePaused is until when the site is left alone, because its connections have failed or a reply has asked for it.
	SitePaused time.Time `json:"site_paused,omitzero"`
	SiteWhy    string    `json:"site_why,omitempty"`
	// Via is where it goes instead of its domain's own hosts, without a password.
	Via string `json:"via,omitempty"`
}

// RecipientStatus is what is known of a recipient.
type RecipientStatus struct {
	Address   string      `json:"address"`
	From      string      `json:"from,omitempty"`      // a reverse-path of its own
	Notify    string      `json:"notify,omitempty"`    // NOTIFY, such as "SUCCESS,FAILURE"
	Original  string      `json:"original,omitempty"`  // ORCPT, as in queue.Recipient
	State     string      `json:"state"`               // "pending", "delivered", "failed", "bounced" or "withdrawn", as queue.State has it
	Decided   time.Time   `json:"decided,omitzero"`    // when it was delivered, given up or withdrawn; zero while it is pending
	Uncertain bool        `json:"uncertain,omitempty"` // it may have the message, though no server said so
	Reply     ReplyStatus `json:"reply,omitzero"`      // what was last heard about it
	Reason    string      `json:"reason,omitempty"`    // why it ended, where Reply doesn't say
	Report    queue.ID    `json:"report,omitempty"`    // the latest message that told the sender about it, which has a Status of its own
	// Summary is one line for people, such as "deferred by mx1.example.net: 451 4.7.1 greylisted; next try 14:05, gives up Fri 13:05",
	// or "delivered Mon 13:05 to mx1.example.net: 250 2.0.0 queued as 4c8xyz". Its times are local.
	Summary string `json:"summary"`
}

// ReplyStatus is a queue.Reply.
type ReplyStatus struct {
	Host     string `json:"host,omitempty"`
	Addr     string `json:"addr,omitempty"`
	Phase    string `json:"phase,omitempty"`
	Code     int    `json:"code,omitempty"`
	Enhanced string `json:"enhanced,omitempty"`
	Text     string `json:"text,omitempty"`
}

// AttemptStatus is a queue.Attempt.
type AttemptStatus struct {
	Time      time.Time     `json:"time"`
	Took      time.Duration `json:"took_ns"`
	Reply     ReplyStatus   `json:"reply"`
	TLS       string        `json:"tls,omitempty"`
	Verified  bool          `json:"verified,omitempty"`
	QueueID   string        `json:"queue_id,omitempty"`
	Uncertain bool          `json:"uncertain,omitempty"`
}

func attemptStatus(a *queue.Attempt) AttemptStatus {
	return AttemptStatus{
		Time: a.Time, Took: a.Took, Reply: ReplyStatus(a.Reply), TLS: a.TLS, Verified: a.Verified, QueueID: a.QueueID,
		Uncertain: a.Uncertain,
	}
}
