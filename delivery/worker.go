package delivery

import (
	"context"
	"sync"

	"github.com/postroad/postroad/delivery/internal/schedule"
)

// maxUncommitted is how many jobs of a worker may wait for their commits, the one that it works on included. The disk then
// works while the connection does, and yet a crash makes few of the messages that have arrived arrive again.
const maxUncommitted = 8

// worker is the place of one connection. It does one job after the other, as the scheduler hands them out, and keeps its
// session for the next if that will do:
//
//	Attempt ->  route  -> Routed? <- Admission  dial? -> Greeted  send  -> Done  (commit beside -> Settled)
//	   ^                                                                    |
//	   +--------------------------------------------------------------------+ warm
//	                                                                        | else, or Close
//	                                                                        v
//	                                                                      QUIT  -> Closed
type worker struct {
	*run
	name    schedule.Worker
	may     context.Context       // of the dialogue: ends when it is to stop, unless it has begun to transfer
	jobs    chan schedule.Attempt // closed: there will be none; has room for one, so that a step never waits
	session *session              // nil if there is none
	route   knownRoute
	commits chan struct{}  // has a token for each job whose commit isn't over
	closing sync.WaitGroup // sessions that say goodbye
}

// hire starts a worker.
func (r *run) hire(name schedule.Worker) *worker {
	w := &worker{
		run:     r,
		name:    name,
		jobs:    make(chan schedule.Attempt, 1),
		commits: make(chan struct{}, maxUncommitted-1), // a job that waits for its token is being committed, too
	}
	r.beside.Go(w.live)
	return w
}

func (w *worker) live() {
	for a := range w.jobs {
		if !w.attempt(a) {
			break
		}
	}
	w.hangUp()
	w.closing.Wait()
	w.post(schedule.Closed{Worker: w.name})
}

// attempt does a job, up to its commit, and reports whether the session is good for another.
func (w *worker) attempt(a schedule.Attempt) (warm bool) {
	t := newTry(a.Job, w.now())
	t.site, t.source = a.Site, a.Source
	if t.due() {
		w.suppressPending(t)
	}
	if t.due() {
		w.dialogue(t)
	}
	t.feedback.Said = t.said()
	done := schedule.Done{Worker: w.name, Feedback: t.feedback, Warm: w.warm()}
	if !t.denied {
		w.beside.Go(func() {
			w.settle(t)
			<-w.commits
		})
		w.commits <- struct{}{}
	}
	w.post(done)
	return done.Warm
}

func (w *worker) warm() (warm bool) {
	guard(func() error { warm = w.session != nil && !w.session.Spent(); return nil })
	return warm
}

// hangUp closes the session, if there is one, beside: a server that is slow to say goodbye delays no mail but what this worker
// needs another session for, since dial waits for it.
func (w *worker) hangUp() {
	s := w.session
	if s == nil {
		return
	}
	w.session = nil
	w.hosts.left(s.place)
	w.closing.Go(func() {
		guard(s.Close) // nothing depends on what is said there
	})
}
