package schedule

import (
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// Event is something that happened.
type Event interface{ event() }

// Ready says that a lane has a job that is claimable from Due on, because it was enqueued or found.
type Ready struct {
	Lane    queue.Lane
	Due     time.Time // zero: nothing is claimable by its lane, only by expiry
	Expires time.Time
}

// Merge returns one event for e and o, which are of the same lane.
func (e Ready) Merge(o Ready) Ready {
	return Ready{Lane: o.Lane, Due: earliest(e.Due, o.Due), Expires: earliest(e.Expires, o.Expires)}
}

// Claimed answers a Claim.
type Claimed struct {
	queue.Claimed
	Err  error         // the claim failed; the rest is empty
	Took time.Duration // of a server's time; 0 for a queue that has none
}

// Routed says to which site the job of a worker was found to belong, and whether it needs a connection to be made there. It is
// answered by an Admission. A worker says it before it goes on, unless it knows neither to be news: the site is the one
// of its Attempt, and its session will do.
type Routed struct {
	Worker Worker
	Site   string
	Detour bool // the job was rerouted there: that says nothing about its domain
	Dial   bool
	Answer chan<- bool // goes into the Admission as it is
}

// Greeted says that a worker has a session now.
type Greeted struct{ Worker Worker }

// Done says that a worker has finished its dialogue about a job. What became of the job follows in a Settled of its own, which
// may come before or later, so that nobody waits for a commit; unless the worker was not admitted: then the job is with the
// scheduler, and there is none.
type Done struct {
	Worker   Worker
	Feedback Feedback
	// Warm says that the worker's session is good for another job. If not, a Closed follows.
	Warm bool
}

// Feedback is what a dialogue has told about its site.
type Feedback struct {
	Contact Contact
	Text    string // what a host said, or what went wrong, if Contact is Failed or TurnedAway
	// Sent says that a message was taken, whole or for some recipients.
	Sent bool
	// Orders are what the rules make of the replies.
	Orders []shaping.Order
	// Said is what the answers were, for people to see.
	Said Tally
}

// Contact says how a dialogue fared with a site as such, not with a message.
type Contact uint8

const (
	NoContact  Contact = iota // none was tried: nothing is known
	Met                       // there was a session, and it ended in order
	Failed                    // no host could be reached, or none got through greeting and handshake, or it was lost
	TurnedAway                // a host said that it won't have us now, such as 421: we may be too many
)

// Settled says that a job is committed, or given back, or that it can't be.
type Settled struct {
	Job     *queue.Job // as it was in the action
	Lane    queue.Lane // as it is now
	Due     time.Time  // when the job can be claimed again; zero: it is finished or held
	Expires time.Time  // when it expires; zero: it is finished
}

// Closed says that a worker has no connection any more, and has ended.
type Closed struct{ Worker Worker }

// Pauses replaces all pauses that the host program has asked for.
type Pauses struct{ Pauses []Pause }

// Pause keeps back what it matches. Empty fields match everything.
type Pause struct {
	Site, Domain, Tenant string
	ID                   queue.ID
	Label                string
	Until                time.Time // zero: until it is lifted
	Why                  string
}

// Policy replaces the shaping policy.
type Policy struct{ *shaping.Policy }

// Flush forgets what keeps a site back by itself: its having failed, and what replies have asked for. An empty Site is all.
type Flush struct{ Site string }

// Recall asks for the jobs that match, and that no worker has taken yet, to be given back until a time, because they are to be
// changed.
type Recall struct {
	Match func(*queue.Job) bool
	Until time.Time
}

// Drain says that nothing more is to be begun.
type Drain struct{}

func (Ready) event()   {}
func (Claimed) event() {}
func (Routed) event()  {}
func (Greeted) event() {}
func (Done) event()    {}
func (Settled) event() {}
func (Closed) event()  {}
func (Pauses) event()  {}
func (Policy) event()  {}
func (Flush) event()   {}
func (Recall) event()  {}
func (Drain) event()   {}
func (Shares) event()  {}
func (Heard) event()   {}
