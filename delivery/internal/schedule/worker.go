package schedule

import (
	"container/list"
	"slices"
	"time"

	"github.com/postroad/postroad/queue"
)

// quantum is how long a worker may go on although others wait for a connection: less would be spent on greetings.
const quantum = 2 * time.Second

// worker is what holds a connection.
type worker struct {
	name    Worker
	site    *site
	greeted bool       // it has a session
	closing bool       // it was told to close, or does by itself
	left    time.Time  // when that was
	job     *queue.Job // what it works on; nil: it is idle, or closing
	began   time.Time  // with the job, if it had a session for it; zero: it hadn't
	since   time.Time  // when it began
	done    int        // jobs
	idle    time.Time  // since when
	place   *list.Element
}

// hire makes a worker of a site, with a job.
func (s *State) hire(now time.Time, st *site, j *queue.Job) Worker {
	s.last++
	w := &worker{name: s.last, site: st, job: j}
	s.workers[w.name] = w
	st.workers++
	s.promise(st, max(st.promised-1, 0))
	s.opens(now, w)
	return w.name
}

// opens counts a connection that is about to be made.
func (s *State) opens(now time.Time, w *worker) {
	w.since, w.done = now, 0
	w.site.rate.connections.Take(w.site.connectionRate(), now)
	s.countOpening(w.site, +1)
}

// countOpening counts n more connections that aren't greeted yet.
func (s *State) countOpening(st *site, n int) {
	s.opening += n
	st.opening += n
	if !st.known {
		s.strangers += n
	}
}

// become makes a site known.
func (s *State) become(st *site) {
	if !st.known {
		st.known = true
		s.strangers -= st.opening
	}
}

// routed answers a worker that has routed its job: to another site than the one whose slot it has, or to need a connection.
func (s *State) routed(now time.Time, e Routed) []Action {
	w := s.workers[e.Worker]
	if w == nil || w.job == nil {
		return []Action{Admission{e, false}}
	}
	l := w.job.Lane()
	if e.Detour {
		s.divert(now, l, e.Site)
	} else {
		s.learn(now, l.Domain, e.Site)
		s.undivert(now, l)
	}
	pause := s.pausedJob(now, e.Site, w.job, &l)
	ok := !s.draining && s.mayBegin() && pause == nil
	s.join(s.site(e.Site))
	if from := w.site; from.name != e.Site {
		to := s.site(e.Site)
		s.touch(from)
		s.touch(to)
		// A worker with a session stays with its site: what it has there isn't closed yet. And an idle one of the other site
		// needs no new connection.
		if ok = ok && !w.greeted && len(to.idle) == 0 && s.admits(now, to); ok {
			s.move(now, w, to)
		}
	} else if e.Dial {
		ok = ok && s.mayDial(from)
		if ok = ok && (!w.greeted || s.reopens(now, from)); ok && w.greeted {
			w.greeted = false
			from.greeted--
			s.opens(now, w)
		}
	}
	if ok {
		return []Action{Admission{e, true}}
	}
	j := w.job
	w.job = nil
	delete(s.unsettled, j.Key)
	to := s.site(e.Site)
	s.touch(to)
	if pause != nil && !s.draining {
		return []Action{Admission{e, false}, s.keep(now, pause, e.Site, j)}
	}
	if s.draining || to.inHand() >= 2*to.limits.Connections {
		var due time.Time
		if e.Detour && !s.draining { // its lane doesn't wait for that site
			due = now.Add(patience)
		}
		return []Action{Admission{e, false}, s.giveUp(j, due)}
	}
	to.put(j)
	return []Action{Admission{e, false}}
}

// admits reports whether a site has a slot for a worker that comes from another one.
func (s *State) admits(now time.Time, to *site) bool {
	return s.openable(now, to) > 0 &&
		to.mayConnect(now) &&
		!to.rate.messages.Next(to.window.limits(now, to.limits).MessageRate, now).After(now)
}

// move gives a worker that has no session to another site. What it has taken of the rates of the one that it leaves was not in
// vain: that was to stand for the other.
func (s *State) move(now time.Time, w *worker, to *site) {
	s.countOpening(w.site, -1)
	w.site.workers--
	w.site = to
	to.workers++
	to.rate.messages.Take(to.window.limits(now, to.limits).MessageRate, now)
	s.opens(now, w)
}

// greeted notes that a worker has a session.
func (s *State) greeted(now time.Time, e Greeted) {
	w := s.workers[e.Worker]
	if w == nil || w.greeted || w.closing {
		return
	}
	s.countOpening(w.site, -1)
	w.greeted = true
	w.site.greeted++
	s.become(w.site)
	s.touch(w.site)
}

// done notes what a worker's dialogue has told, and says what it does next.
func (s *State) done(now time.Time, e Done) []Action {
	w := s.workers[e.Worker]
	if w == nil {
		return nil
	}
	st := w.site
	st.hear(now, e.Feedback, s)
	if w.job != nil {
		w.job = nil
		w.done++
		if e.Warm && !w.began.IsZero() {
			st.pace.note(now.Sub(w.began))
		}
	}
	s.touch(st)
	if !e.Warm || !w.greeted {
		s.close(now, w)
		return nil
	}
	w.idle = now
	st.idle = append(st.idle, w)
	w.place = s.idle.PushBack(w)
	l := st.window.limits(now, st.limits)
	if s.draining || w.done >= l.Messages || now.Sub(w.since) >= l.Lifetime {
		return s.dismiss(now, st, func(o *worker) bool { return o == w })
	}
	if s.yields(now, w) {
		return s.makeRoom(now) // it may be that one that has been idle for longer is missed less
	}
	return nil
}

// hear tells the site's window what a dialogue has told.
func (st *site) hear(now time.Time, f Feedback, s *State) {
	st.said.add(&f.Said)
	switch f.Contact {
	case Met:
		st.window.met(now, st.greeted, st.limits)
	case Failed:
		st.window.failed(now, st.greeted, f.Text, st.limits, s.config.Rand)
		if !st.known && s.crowded() {
			st.window.rest(now, f.Text, st.limits, s.config.Rand)
			s.fail(now)
		}
	case TurnedAway:
		st.window.turnedAway(now, st.greeted, f.Text, st.limits, s.config.Rand)
	}
	for _, o := range f.Orders {
		st.window.order(now, o, s.config.Rand)
	}
	if s.config.Shared && st.window.own && st.window.since.Equal(now) {
		s.renew = true
	}
}

// close notes that a worker has, or will have, no session any more.
func (s *State) close(now time.Time, w *worker) {
	if w.closing {
		return
	}
	w.closing, w.left = true, now
	s.leaving = append(s.leaving, w)
	if w.greeted {
		w.site.greeted--
	} else {
		s.countOpening(w.site, -1)
	}
}

// resumeIdle gives a job to the idle worker that has been so for the shortest time: its session is the most likely to live.
func (s *State) resumeIdle(now time.Time, st *site, j *queue.Job) Worker {
	last := len(st.idle) - 1
	w := st.idle[last]
	st.idle[last] = nil
	st.idle = st.idle[:last]
	s.idle.Remove(w.place)
	w.job, w.began = j, now
	return w.name
}

// dismiss has the idle workers of a site that match close their sessions.
func (s *State) dismiss(now time.Time, st *site, match func(*worker) bool) (actions []Action) {
	st.idle = slices.DeleteFunc(st.idle, func(w *worker) bool {
		if !match(w) {
			return false
		}
		s.idle.Remove(w.place)
		s.close(now, w)
		actions = append(actions, Close{w.name})
		return true
	})
	return actions
}

// closed frees the place of a worker.
func (s *State) closed(now time.Time, e Closed) {
	w := s.workers[e.Worker]
	if w == nil {
		return
	}
	s.close(now, w)
	s.leaving = slices.DeleteFunc(s.leaving, func(o *worker) bool { return o == w })
	delete(s.workers, w.name)
	w.site.workers--
	s.touch(w.site)
	if st := w.site; st.owes && st.workers <= st.window.part {
		st.owes, s.renew = false, true
	}
}
