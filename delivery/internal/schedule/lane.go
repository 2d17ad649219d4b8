package schedule

import (
	"cmp"
	"container/heap"
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
)

// lane is what is known of one lane of the queue.
type lane struct {
	queue.Lane
	next  time.Time // nothing in it is claimable before
	place place
	// arrived is when what came in while the lane is asked is due: the answer may not know of it.
	arrived time.Time
	got     int   // what the answer has of it
	index   int   // in the heap, while waiting
	site    *site // while ready or asked
}

type place uint8

const (
	nowhere place = iota // just made, or found empty
	waiting              // in the heap, until next
	ready                // due, in a line of its site
	asked                // in the claim under way
	parked               // due, and kept back by a pause without an end
)

// rank is the index of a priority in lists that are served from the front.
func rank(p queue.Priority) int {
	switch {
	case p >= queue.High:
		return 0
	case p == queue.Normal:
		return 1
	}
	return 2
}

// again is the index of first attempts, or of retries, in such lists.
func again(retry bool) int {
	if retry {
		return 1
	}
	return 0
}

// ready notes that a lane has a claimable job at e.Due.
func (s *State) ready(e Ready) {
	s.expiry = earliest(s.expiry, e.Expires)
	if s.asked != nil {
		s.expires = earliest(s.expires, e.Expires)
	}
	if e.Due.IsZero() {
		return
	}
	l := s.lanes[e.Lane]
	if l == nil {
		l = &lane{Lane: e.Lane, index: -1}
		s.lanes[e.Lane] = l
	}
	switch {
	case l.place == nowhere:
		s.wait(l, e.Due)
	case l.place == asked:
		l.arrived = earliest(l.arrived, e.Due)
	case l.place == waiting && e.Due.Before(l.next):
		l.next = e.Due
		heap.Fix(&s.waiting, l.index)
	}
}

// wait puts a lane into the heap, until next.
func (s *State) wait(l *lane, next time.Time) {
	l.next, l.place, l.site = next, waiting, nil
	heap.Push(&s.waiting, l)
}

// ripen moves the lanes that are due from the heap to their sites.
func (s *State) ripen(now time.Time) {
	for len(s.waiting) > 0 && !s.waiting[0].next.After(now) {
		s.enlist(now, heap.Pop(&s.waiting).(*lane))
	}
}

// unwait takes a lane out of the heap.
func (s *State) unwait(l *lane) { heap.Remove(&s.waiting, l.index) }

// enlist makes a lane ready at its site, unless something keeps it back.
func (s *State) enlist(now time.Time, l *lane) {
	delete(s.kept, l)
	st := s.site(s.laneSite(&l.Lane))
	if p := s.paused(now, st.name, &l.Lane); p != nil {
		s.park(l, p)
		return
	}
	if free := s.meters.tenant(s.policy, l.Tenant, now); free.After(now) {
		s.kept[l] = true
		s.wait(l, free)
		return
	}
	l.place, l.site = ready, st
	st.line(&l.Lane).push(l.Tenant, l)
	s.touch(st)
}

// forget drops a lane in which there is nothing.
func (s *State) forget(l *lane) {
	l.place, l.site = nowhere, nil
	delete(s.lanes, l.Lane)
}

// compare orders lanes by next, and equal ones by what they are, so that a run can be replayed.
func (l *lane) compare(o *lane) int {
	if c := l.next.Compare(o.next); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(l.Domain, o.Domain), strings.Compare(l.Tenant, o.Tenant),
		cmp.Compare(o.Priority, l.Priority), cmp.Compare(again(l.Retry), again(o.Retry)))
}

// waitHeap orders waiting lanes by next.
type waitHeap []*lane

func (h waitHeap) Len() int           { return len(h) }
func (h waitHeap) Less(i, j int) bool { return h[i].compare(h[j]) < 0 }
func (h waitHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *waitHeap) Push(x any) {
	l := x.(*lane)
	l.index = len(*h)
	*h = append(*h, l)
}
func (h *waitHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last], l.index = nil, -1
	*h = (*h)[:last]
	return l
}
