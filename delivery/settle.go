package delivery

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

// settle commits what an attempt has come to, and tells the scheduler.
func (r *run) settle(t *try) {
	r.end(t.job, func() error {
		switch {
		case t.crowded():
			return r.giveBack(r.last, t.job, r.now().Add(crowdedWait()))
		case t.due() && !t.Tried():
			return r.giveBack(r.last, t.job, time.Time{}) // Run ends
		}
		return r.conclude(t)
	})
}

// crowdedWait is when a job is tried again for which a host had no connection beside our others.
func crowdedWait() time.Duration { return 5*time.Second + rand.N(10*time.Second) }

// expire ends a job without an attempt.
func (r *run) expire(j *queue.Job) {
	r.end(j, func() error { return r.conclude(newTry(j, r.now())) })
}

// putBack gives a job back that no worker has begun.
func (r *run) putBack(a schedule.Return) {
	r.end(a.Job, func() error { return r.giveBack(r.last, a.Job, a.Due) })
}

// end calls f, which commits j, and says what came of it. If that fails the job is leased still, or lost to somebody else; it
// is claimable when the lease ends.
func (r *run) end(j *queue.Job, f func() error) {
	settled := schedule.Settled{Job: j, Lane: j.Lane(), Due: j.Leased, Expires: j.Message.Expires}
	err := guard(f)
	r.endSuspect(j, err)
	switch {
	case err != nil:
		r.trouble(j.Key, err)
	case !j.Finished.IsZero():
		settled.Due, settled.Expires = time.Time{}, time.Time{}
	case j.Held:
		settled.Due = time.Time{}
	default:
		settled.Due, settled.Lane = j.Due, j.Lane() // a first attempt has become a retry
	}
	r.post(settled)
}

// giveBack commits a job as it was claimed, not to be tried before due, unless that is zero. Its expiry bounds the wait.
func (r *run) giveBack(ctx context.Context, j *queue.Job, due time.Time) error {
	if due.After(j.Message.Expires) {
		due = j.Message.Expires
	}
	if !due.IsZero() {
		j.Due = due
	}
	return r.commit(ctx, j, noEntries)
}

func noEntries() []*queue.Entry { return nil }
