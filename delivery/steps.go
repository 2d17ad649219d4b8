package delivery

import (
	"context"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
)

// loop tells the scheduler of time, of what was enqueued, and of the end, until soft has ended and everything under way is over.
func (r *run) loop(stop context.CancelFunc) {
	draining := r.soft.Done()
	defer r.timer.Stop()
	for {
		select {
		case <-r.wake:
			r.takeIn()
		case <-r.timer.C:
			r.call(func() {
				r.alarm = time.Time{}
				r.step(nil)
			})
		case <-draining:
			draining = nil
			defer time.AfterFunc(r.config.DrainTimeout, stop).Stop()
			r.call(func() {
				r.draining = true
				r.step(schedule.Drain{})
			})
		case <-r.rest:
			return
		}
	}
}

// takeIn tells of what was enqueued.
func (r *run) takeIn() {
	lanes := r.takeInbox()
	r.call(func() {
		for _, e := range lanes {
			r.step(e)
		}
	})
}

// post tells the scheduler of an event, and reports whether it has: it doesn't when everything is over.
func (r *run) post(e schedule.Event) bool { return r.call(func() { r.step(e) }) }

// call calls f, which may make steps, and reports whether it has, as post does.
func (r *run) call(f func()) bool {
	r.stepping.Lock()
	defer r.stepping.Unlock()
	if r.ended {
		return false
	}
	f()
	if r.draining && r.state.Active() == 0 && r.claiming == nil {
		r.ended = true
		close(r.rest)
	}
	if at := r.state.Wake(); !at.Equal(r.alarm) {
		r.timer.Stop()
		if r.alarm = at; !at.IsZero() {
			r.timer.Reset(at.Sub(r.now()))
		}
	}
	return true
}

// step tells the scheduler of an event, or of the time if it is nil, and does what it asks for.
func (r *run) step(e schedule.Event) {
	r.over(e)
	r.do(r.state.Step(r.now(), e))
}

// over forgets what an event says is over.
func (r *run) over(e schedule.Event) {
	switch e := e.(type) {
	case schedule.Claimed:
		close(r.claiming)
		r.claiming = nil
	case schedule.Settled:
		if back := r.returning[e.Job.Key]; back != nil {
			close(back)
			delete(r.returning, e.Job.Key)
		}
	case schedule.Closed:
		delete(r.workers, e.Worker)
	}
}

// do does what the scheduler asks for, or starts it. None of it waits.
func (r *run) do(actions []schedule.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case schedule.Claim:
			r.claiming = make(chan struct{})
			r.claims <- a
		case schedule.Attempt:
			if a.New {
				r.workers[a.Worker] = r.hire(a.Worker)
			}
			r.workers[a.Worker].jobs <- a
		case schedule.Close:
			close(r.workers[a.Worker].jobs)
		case schedule.Expire:
			r.beside.Go(func() { r.expire(a.Job) })
		case schedule.Return:
			if r.returning[a.Job.Key] == nil { // else what came of the last time isn't heard of yet
				r.returning[a.Job.Key] = make(chan struct{})
			}
			r.beside.Go(func() { r.putBack(a) })
		case schedule.Admission:
			a.Answer <- a.OK
		case schedule.Places:
			a.Answer <- a.Sites
		case schedule.SitePaused:
			r.notify(SitePaused{Time: r.now(), Site: a.Site, Until: a.Until, Why: a.Why})
		case schedule.Ask:
			r.askForShares()
		case schedule.SiteResumed:
			r.notify(SiteResumed{Time: r.now(), Site: a.Site})
		}
	}
}
