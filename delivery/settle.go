package delivery

import (
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
			return r.giveBack(t.job, r.now().Add(crowdedWait()))
		case t.due() && !t.Tried():
			return r.giveBack(t.job, time.Time{}) // Run ends
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
	r.end(a.Job, func() error { return r.giveBack(a.Job, a.Due) })
}

// end calls f, which commits j, and says what came of it. If that fails the job is leased still, or lost to somebody else; it
// is claimable when the lease ends.
func (r *run) end(j *queue.Job, f func() error) {
	settled := schedule.Settled{Job: j, Lane: j.Lane(), Due: j.Leased, Expires: j.Message.Expires}
	err := guard(f)
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
	r.events <- settled
}

// giveBack commits a job as it was claimed, not to be tried before due, unless that is zero. Its expiry bounds the wait.
func (r *run) giveBack(j *queue.Job, due time.Time) error {
	if due.After(j.Message.Expires) {
		due = j.Message.Expires
	}
	if !due.IsZero() {
		j.Due = due
	}
	return r.commit(r.last, j, noEntries)
}

func noEntries() []*queue.Entry { return nil }

// maxLapses is how many leases in a row may end without a commit before the job is held: it may be what ends them.
const maxLapses = 3

// withoutLapsed returns jobs without those whose leases have lapsed too often, which are held beside. Expired ones stay: no hold
// keeps them from their end.
func (r *run) withoutLapsed(jobs []*queue.Job) []*queue.Job {
	now, kept, lapsed := r.now(), jobs[:0], 0
	for _, j := range jobs {
		lapsed += min(j.Lapses, 1)
		if j.Lapses < maxLapses || !j.Message.Expires.After(now) {
			kept = append(kept, j)
			continue
		}
		r.beside.Go(func() { r.holdLapsed(j) })
	}
	r.counters.add(countLapsed, lapsed)
	clear(jobs[len(kept):])
	return kept
}

// holdLapsed holds a job until the host program has looked at it. If that fails, its lease ends, as the scheduler knows since
// the claim.
func (r *run) holdLapsed(j *queue.Job) {
	j.Held, j.Lapses = true, 0
	if err := r.commit(r.last, j, noEntries); err != nil {
		r.trouble(j.Key, err)
		return
	}
	r.note(schedule.Ready{Expires: j.Message.Expires})
	r.observe(Held{Time: r.now(), Key: j.Key, Message: j.Message, Why: "its attempts have ended without a trace too often"})
}
