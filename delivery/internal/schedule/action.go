package schedule

import (
	"time"

	"github.com/postroad/postroad/queue"
)

// Action is something to do.
type Action interface{ action() }

// Worker names what holds one connection, or is about to make one, and does one job after the other on it. It lives from the
// first Attempt that names it to its Closed. A name is never used again.
type Worker uint64

// Claim asks for a claim, to be answered by a Claimed.
type Claim struct {
	Take    []queue.Take // never nil
	Expired bool
	Limit   int
}

// Attempt asks a worker for an attempt at a job, to be answered by a Done and a Settled, after a Routed and a Greeted if there
// is reason for them.
type Attempt struct {
	Worker Worker
	New    bool // the worker doesn't exist yet
	Site   string
	Source string // the name of the sending address
	Job    *queue.Job
}

// Expire asks for a job to be ended without an attempt, to be answered by a Settled.
type Expire struct{ Job *queue.Job }

// Return asks for a job to be given back to the queue, not to be tried before Due; a zero Due leaves it as it was. It is
// no attempt. It is answered by a Settled.
type Return struct {
	Job *queue.Job
	Due time.Time
}

// Admission answers a Routed. If it is not OK, the job is the scheduler's again, and the worker says Done without more.
type Admission struct {
	Routed
	OK bool
}

// Close asks an idle worker to end its session, to be answered by a Closed.
type Close struct{ Worker Worker }

// SitePaused tells that a site pauses by itself. It is for people: nothing is to be done. One that comes while the site pauses
// already says that the pause is longer than was told.
type SitePaused struct {
	Site  string
	Until time.Time
	Why   string
}

// SiteResumed tells that the pause of a site is over.
type SiteResumed struct{ Site string }

// Ask asks for the shares to be renewed soon: something is due of which there is no share, others may have what is not used any
// more, or there is news for them.
type Ask struct{}

func (Claim) action()       {}
func (Attempt) action()     {}
func (Expire) action()      {}
func (Return) action()      {}
func (Admission) action()   {}
func (Close) action()       {}
func (SitePaused) action()  {}
func (SiteResumed) action() {}
func (Ask) action()         {}
