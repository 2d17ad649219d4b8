package schedule

import (
	"container/heap"
	"time"

	"github.com/postroad/postroad/queue"
)

// lane is what is known of one lane of the queue.
type lane struct {
	queue.Lane
	next  time.Time // nothing in it is claimable before
	place place
	index int   // in the heap, while waiting
	site  *site // while ready
}

type place uint8

const (
	nowhere place = iota // just made, or found empty
	waiting              // in the heap, until next
	ready                // due, in its site's list
	asked                // in the claim under way
)

// site is a set of lanes that share a limit.
type site struct {
	name    string
	running int        // attempts
	asked   int        // slots promised to the claim under way
	ready   [3][]*lane // by priority, first come first served
	listed  [3]bool    // whether it stands in State.open
}

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

// ripen moves the lanes that are due from the heap to their sites.
func (s *State) ripen(now time.Time) {
	for len(s.waiting) > 0 && !s.waiting[0].next.After(now) {
		s.enlist(heap.Pop(&s.waiting).(*lane))
	}
}

// enlist makes a lane ready at its site.
func (s *State) enlist(l *lane) {
	st := s.site(s.siteName(l.Domain))
	l.place, l.site = ready, st
	r := rank(l.Priority)
	st.ready[r] = append(st.ready[r], l)
	s.reopen(st)
}

func (s *State) site(name string) *site {
	st := s.sites[name]
	if st == nil {
		st = &site{name: name}
		s.sites[name] = st
	}
	return st
}

// reopen lists a site again for what it has ready, if it has a slot, and forgets it if it has nothing at all.
func (s *State) reopen(st *site) {
	empty := st.running+st.asked == 0
	for r := range st.ready {
		if len(st.ready[r]) == 0 {
			continue
		}
		empty = false
		if st.running+st.asked < s.limits.PerSite && !st.listed[r] {
			st.listed[r] = true
			s.open[r] = append(s.open[r], st)
		}
	}
	if empty && st.listed == [3]bool{} {
		delete(s.sites, st.name)
	}
}

func (s *State) anyOpen() bool { return len(s.open[0])+len(s.open[1])+len(s.open[2]) > 0 }

// waitHeap orders waiting lanes by next.
type waitHeap []*lane

func (h waitHeap) Len() int           { return len(h) }
func (h waitHeap) Less(i, j int) bool { return h[i].next.Before(h[j].next) }
func (h waitHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *waitHeap) Push(x any) {
	l := x.(*lane)
	l.index = len(*h)
	*h = append(*h, l)
}
func (h *waitHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.index = -1
	return l
}
