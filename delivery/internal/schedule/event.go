package schedule

import (
	"time"

	"github.com/postroad/postroad/queue"
)

// Event is something that happened: [Ready], [Routed], [Claimed], [Ended] or [Drain].
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

// Routed says to which site the domain of an attempt was found to belong. It is answered by an Admission.
type Routed struct {
	Attempt
	To     string
	Answer chan<- bool // goes into the Admission as it is
}

// Claimed answers a Claim.
type Claimed struct {
	queue.Claimed
	Err error // the claim failed; the rest is empty
}

// Ended says that the attempt at a job is over and committed.
type Ended struct {
	Attempt           // the action that began it
	Due     time.Time // when the job can be claimed again; zero: it is finished or held
	Expires time.Time // when it expires; zero: it is finished
	Lane    queue.Lane
}

// Drain says that nothing more is to be begun.
type Drain struct{}

func (Ready) event()   {}
func (Routed) event()  {}
func (Claimed) event() {}
func (Ended) event()   {}
func (Drain) event()   {}

// Action is something to do: [Claim], [Attempt] or [Admission].
type Action interface{ action() }

// Claim asks for a claim, to be answered by a Claimed.
type Claim struct {
	Take    []queue.Take // never nil
	Expired bool
	Limit   int
}

// Attempt asks for an attempt at a job, to be answered by an Ended. An expired job is to be ended without an attempt.
type Attempt struct {
	Job     *queue.Job
	Site    string // whose slot it has; "" if Expired
	Expired bool
}

// Admission says whether an attempt that was routed may go on. If it may, the slot that it has is from now on one of the site
// that it was routed to. If not, that site is full, and the job is to be given back: it will come again when its turn is.
type Admission struct {
	Routed
	OK bool
}

func (Claim) action()     {}
func (Attempt) action()   {}
func (Admission) action() {}
