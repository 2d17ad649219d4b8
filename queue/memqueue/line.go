package memqueue

import (
	"cmp"
	"container/heap"
	"time"
)

// noTime is the zero time: there is none.
var noTime time.Time

// The lines that a job can stand in.
const (
	laneView = iota
	allView
	expiringView
	views
)

// line is jobs in the order in which a claim takes them. A job that can be taken stands in ready, another one in later. What
// can be taken depends on the Now of each claim, so jobs move from one to the other when a claim looks at them. Held jobs
// stand beside the line of their lane, and are never taken from it.
type line struct {
	from               func(*record) time.Time // when a job can be taken
	ready, later, held jobHeap
}

func newLine(view int) *line {
	from, order := due, inLane
	switch view {
	case allView:
		order = byPriority
	case expiringView:
		from, order = expired, byExpiry
	}
	byTime := func(a, b *record) int { return from(a).Compare(from(b)) }
	return &line{
		from:  from,
		ready: jobHeap{view: view, compare: order},
		later: jobHeap{view: view, compare: byTime},
		held:  jobHeap{view: view, compare: byTime},
	}
}

// due is when r can be claimed because it is due.
func due(r *record) time.Time { return r.Claimable() }

// expired is when r can be claimed because it has expired.
func expired(r *record) time.Time {
	if r.Leased.After(r.Message.Expires) {
		return r.Leased
	}
	return r.Message.Expires
}

func inLane(a, b *record) int {
	return cmp.Or(a.Due.Compare(b.Due), a.Key.Compare(b.Key))
}

func byPriority(a, b *record) int {
	return cmp.Or(cmp.Compare(b.Message.Priority, a.Message.Priority), inLane(a, b))
}

func byExpiry(a, b *record) int {
	return cmp.Or(a.Message.Expires.Compare(b.Message.Expires), a.Key.Compare(b.Key))
}

// first is the job to take at now, nil if there is none.
func (l *line) first(now time.Time) *record {
	for r := l.later.top(); r != nil && !l.from(r).After(now); r = l.later.top() {
		heap.Pop(&l.later)
		heap.Push(&l.ready, r)
	}
	for r := l.ready.top(); r != nil; r = l.ready.top() {
		if !l.from(r).After(now) {
			return r
		}
		heap.Pop(&l.ready) // an earlier claim had a later now
		heap.Push(&l.later, r)
	}
	return nil
}

// next is when first will be a job, zero for never.
func (l *line) next(now time.Time) time.Time {
	r := l.first(now)
	if r == nil {
		r = l.later.top()
	}
	if r == nil {
		return noTime
	}
	return l.from(r)
}

func (l *line) empty() bool { return len(l.ready.list)+len(l.later.list)+len(l.held.list) == 0 }

// file puts r into the lines where it belongs.
func (q *Queue) file(r *record) {
	if !r.Finished.IsZero() {
		return
	}
	heap.Push(&q.expiring.later, r)
	l := q.lanes[r.Lane()]
	if l == nil {
		l = newLine(laneView)
		q.lanes[r.Lane()] = l
	}
	if r.Held {
		heap.Push(&l.held, r)
		return
	}
	heap.Push(&l.later, r)
	heap.Push(&q.all.later, r)
}

// unfile takes r out of all lines.
func (q *Queue) unfile(r *record) {
	for _, p := range r.places {
		if p.heap != nil {
			heap.Remove(p.heap, p.index)
		}
	}
	if l := q.lanes[r.Lane()]; l != nil && l.empty() {
		delete(q.lanes, r.Lane())
	}
}

// jobHeap is a heap whose jobs know their places in it.
type jobHeap struct {
	view    int
	compare func(a, b *record) int
	list    []*record
}

// place is where in which heap a job stands.
type place struct {
	heap  *jobHeap
	index int
}

func (h *jobHeap) top() *record {
	if len(h.list) == 0 {
		return nil
	}
	return h.list[0]
}

func (h *jobHeap) set(i int, r *record) {
	h.list[i] = r
	r.places[h.view] = place{h, i}
}

// Len, Less, Swap, Push and Pop are [heap.Interface].

func (h *jobHeap) Len() int           { return len(h.list) }
func (h *jobHeap) Less(i, j int) bool { return h.compare(h.list[i], h.list[j]) < 0 }

func (h *jobHeap) Swap(i, j int) {
	a, b := h.list[i], h.list[j]
	h.set(i, b)
	h.set(j, a)
}

func (h *jobHeap) Push(x any) {
	h.list = append(h.list, nil)
	h.set(len(h.list)-1, x.(*record))
}

func (h *jobHeap) Pop() any {
	last := len(h.list) - 1
	r := h.list[last]
	h.list[last] = nil
	h.list = h.list[:last]
	r.places[h.view] = place{}
	return r
}
