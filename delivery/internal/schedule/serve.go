package schedule

import (
	"container/heap"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// touch has the site looked at before the step ends.
func (s *State) touch(st *site) {
	if !st.touched {
		st.touched = true
		s.touched = append(s.touched, st)
	}
}

// ring touches the sites whose time has come.
func (s *State) ring(now time.Time) {
	for len(s.timers) > 0 && !s.timers[0].timer.After(now) {
		s.touch(heap.Pop(&s.timers).(*site))
	}
}

// serveTouched looks at the sites where something has changed.
func (s *State) serveTouched(now time.Time) (actions []Action) {
	for i := 0; i < len(s.touched); i++ { // it may grow
		st := s.touched[i]
		st.touched = false
		if s.sites[st.name] == st {
			actions = append(actions, s.serve(now, st)...)
		}
	}
	clear(s.touched)
	s.touched = s.touched[:0]
	return actions
}

// serve gives the site's workers what they can do, lists the site for a claim if they could do more, and sets its timer.
func (s *State) serve(now time.Time, st *site) (actions []Action) {
	if s.draining {
		return append(s.giveBack(st, time.Time{}, all[*queue.Job]), s.dismiss(now, st, all[*worker])...)
	}
	if !s.mayBegin() {
		actions = s.giveBack(st, time.Time{}, all[*queue.Job]) // they may be others' soon
	}
	s.lack(now, st)
	until, why := st.window.pausedUntil(now)
	actions = append(actions, s.expire(now, st)...)
	actions = append(actions, st.tell(now, until, why)...)
	actions = append(actions, s.trim(now, st)...)
	if until.IsZero() {
		var started []Action
		started, until = s.start(now, st)
		actions = append(actions, started...)
	}
	switch {
	case until.IsZero():
		actions = append(actions, s.list(now, st)...)
	case until.Sub(now) > patience:
		actions = append(actions, s.giveBack(st, until, all[*queue.Job])...)
	}
	if stuck := st.stuck(); !stuck.IsZero() && now.Sub(stuck) >= patience {
		actions = append(actions, s.giveBack(st, time.Time{}, all[*queue.Job])...)
	}
	if st.asked == [3]int{} && st.listed == [3]bool{} {
		s.promise(st, 0) // it wasn't needed
	}
	s.setTimer(st, s.rest(now, st, s.timer(now, st, until)))
	return actions
}

func all[T any](T) bool { return true }

// tell tells of the begin and the end of a pause. One that has become longer is told of again when it should have ended, not with
// each reply that makes it longer.
func (st *site) tell(now, until time.Time, why string) []Action {
	switch {
	case until.After(now) && !st.told.After(now):
		st.told = until
		return []Action{SitePaused{st.name, until, why}}
	case !until.After(now) && !st.told.IsZero():
		st.told = time.Time{}
		return []Action{SiteResumed{st.name}}
	}
	return nil
}

// trim closes idle workers: those who were idle for long enough or have lived for long enough, and as many as are more than
// the site may have now.
func (s *State) trim(now time.Time, st *site) []Action {
	if len(st.idle) == 0 {
		return nil
	}
	size := st.window.size(now, st.limits)
	return s.dismiss(now, st, func(w *worker) bool {
		return st.greeted > size || now.Sub(w.idle) >= st.limits.Idle || now.Sub(w.since) >= st.limits.Lifetime
	})
}

// timer is when time alone changes something for a site that rests until then, if until isn't zero.
func (s *State) timer(now time.Time, st *site, until time.Time) time.Time {
	t := earliest(until, st.told)
	if !until.IsZero() {
		t = earliest(t, st.window.eases())
	}
	if len(st.idle) > 0 {
		t = earliest(t, st.idle[0].idle.Add(st.limits.Idle))
	}
	if st.inHand() > 0 {
		t = earliest(t, st.expires)
		if stuck := st.stuck(); !stuck.IsZero() {
			t = earliest(t, stuck.Add(patience))
		}
		if next := st.rate.connections.Next(st.connectionRate(), now); next.After(now) {
			t = earliest(t, next)
		}
	}
	return t
}

// stuck is since when the site waits for its first connection, because of Total or of others who share it; zero if it doesn't.
func (st *site) stuck() time.Time {
	switch {
	case st.workers > 0:
		return time.Time{}
	case st.short.line != nil:
		return st.short.since
	}
	return st.lacking
}

// start hands out jobs to workers, as long as the rates allow it. It returns when they do next, zero if it isn't they that keep
// the site.
func (s *State) start(now time.Time, st *site) (actions []Action, next time.Time) {
	rate := st.window.limits(now, st.limits).MessageRate
	for {
		if next = st.next(now, rate); next.After(now) {
			return actions, next
		}
		if st.inHand() == 0 || len(st.idle) == 0 && s.free(now, st) == 0 {
			return actions, time.Time{}
		}
		a := Attempt{Site: st.name, Job: st.take()}
		if len(st.idle) > 0 {
			a.Worker = s.resumeIdle(now, st, a.Job)
		} else {
			a.Worker, a.New = s.hire(now, st, a.Job), true
		}
		a.Source = s.config.Source(a.Job)
		st.rate.messages.Take(rate, now)
		s.unsettled[a.Job.Key] = false
		actions = append(actions, a)
	}
}

// next is when the site's rates let a message begin, of which that for connections doesn't matter to one that has some.
func (st *site) next(now time.Time, messages shaping.Rate) time.Time {
	next := st.rate.messages.Next(messages, now)
	if st.workers == 0 {
		next = later(next, st.rate.connections.Next(st.connectionRate(), now))
	}
	return next
}

// rest decides how long a site with nothing to do is remembered. It returns when it is to be looked at.
func (s *State) rest(now time.Time, st *site, timer time.Time) time.Time {
	if p, _ := st.best(); p < len(st.hand) || st.workers > 0 || st.asked != [3]int{} || st.listed != [3]bool{} || st.short.line != nil || !st.told.IsZero() {
		st.used = now
		return timer
	}
	forget := st.used.Add(siteMemory)
	if st.window.idle(now) && (!st.known || !forget.After(now) || len(s.sites) > maxSites) {
		delete(s.sites, st.name)
		return time.Time{}
	}
	if !forget.After(now) {
		forget = now.Add(siteMemory) // its window remembers something for longer
	}
	if timer.Before(forget) {
		return forget
	}
	return timer
}

// setTimer has the site looked at at t; zero: not by time alone.
func (s *State) setTimer(st *site, t time.Time) {
	st.timer = t
	switch {
	case t.IsZero() && st.index >= 0:
		heap.Remove(&s.timers, st.index)
	case t.IsZero():
	case st.index >= 0:
		heap.Fix(&s.timers, st.index)
	default:
		heap.Push(&s.timers, st)
	}
}

// timerHeap orders sites by timer.
type timerHeap []*site

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].timer.Before(h[j].timer) }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *timerHeap) Push(x any)        { st := x.(*site); st.index = len(*h); *h = append(*h, st) }
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	st := (*h)[last]
	(*h)[last], st.index = nil, -1
	*h = (*h)[:last]
	return st
}
