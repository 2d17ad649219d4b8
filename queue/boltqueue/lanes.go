package boltqueue

import (
	"bytes"
	"container/heap"
	"slices"
	"time"

	"github.com/postroad/postroad/queue"
)

// lane is what is kept in memory of the jobs of one lane: how many there are, where those begin that aren't held, and which
// are leased.
type lane struct {
	queue.Lane
	free   int      // entries in the file of jobs that aren't held
	held   int      // and of those that are
	head   entry    // the first entry in the file that no lease keeps away
	stale  bool     // head has gone, and is only where to look for the next one
	place  int      // in the order of its priority; -1 if there is no head
	away   []*lease // those that keep an entry of this lane away
	lapsed bool     // there have been leases that ended by time, so the head may have one
}

// lanes are all lanes that have an unfinished job. Those with one that time alone makes claimable are in order, so that a
// claim looks only at those from which it takes something, however many there are.
type lanes struct {
	all   map[queue.Lane]*lane
	order [256]laneOrder // by priority, as in keys: the lanes that have a head
	away  leaseOrder     // leases that keep entries away for some time
}

// laneOrder is a heap of lanes: the one with the earliest head is first.
type laneOrder []*lane

func (o laneOrder) Len() int           { return len(o) }
func (o laneOrder) Less(i, j int) bool { return o[i].head.compare(o[j].head) < 0 }
func (o laneOrder) Swap(i, j int)      { o[i], o[j] = o[j], o[i]; o[i].place, o[j].place = i, j }
func (o *laneOrder) Push(x any)        { l := x.(*lane); l.place = len(*o); *o = append(*o, l) }
func (o *laneOrder) Pop() any {
	last := len(*o) - 1
	l := (*o)[last]
	(*o)[last], l.place = nil, -1
	*o = (*o)[:last]
	return l
}

// leaseOrder is a heap of leases: the one whose job is first claimable again is first.
type leaseOrder []*lease

func (o leaseOrder) Len() int           { return len(o) }
func (o leaseOrder) Less(i, j int) bool { return o[i].back().Before(o[j].back()) }
func (o leaseOrder) Swap(i, j int)      { o[i], o[j] = o[j], o[i]; o[i].place, o[j].place = i, j }
func (o *leaseOrder) Push(x any)        { l := x.(*lease); l.place = len(*o); *o = append(*o, l) }
func (o *leaseOrder) Pop() any {
	last := len(*o) - 1
	l := (*o)[last]
	(*o)[last], l.place = nil, -1
	*o = (*o)[:last]
	return l
}

// get returns the lane of that name, a new one if there is none.
func (s *lanes) get(name queue.Lane) *lane {
	l := s.all[name]
	if l == nil {
		l = &lane{Lane: name, place: -1}
		s.all[name] = l
	}
	return l
}

func (s *lanes) orderOf(l *lane) *laneOrder { return &s.order[byte(l.Priority)^0x80] }

// offer adds an entry that nothing keeps away.
func (s *lanes) offer(name queue.Lane, e entry) {
	l := s.get(name)
	switch c := e.compare(l.head); {
	case l.place < 0 || c < 0:
		s.setHead(l, e)
	case c == 0:
		l.stale = false
	}
}

// setHead makes e the head of l.
func (s *lanes) setHead(l *lane, e entry) {
	l.head, l.stale = e, false
	if l.place < 0 {
		heap.Push(s.orderOf(l), l)
	} else {
		heap.Fix(s.orderOf(l), l.place)
	}
}

// add takes note of an entry that is in the file now. It doesn't offer it.
func (s *lanes) add(e *laneEntry) { s.get(e.lane).count(e.held, 1) }

// remove takes note of an entry that has gone from the file.
func (s *lanes) remove(e *laneEntry) {
	l := s.all[e.lane]
	if l == nil {
		return
	}
	l.count(e.held, -1)
	if !e.held && l.place >= 0 && l.head.compare(e.entry) == 0 {
		l.stale = true
	}
	s.forget(l)
}

// count changes a count. Below zero is none: an entry that is damaged may not have been counted.
func (l *lane) count(held bool, n int) {
	if held {
		l.held = max(0, l.held+n)
	} else {
		l.free = max(0, l.free+n)
	}
}

// clearHead says that l has no entry but those kept away.
func (s *lanes) clearHead(l *lane) {
	if l.place >= 0 {
		heap.Remove(s.orderOf(l), l.place)
	}
	l.stale = false
	s.forget(l)
}

// forget drops a lane that has nothing.
func (s *lanes) forget(l *lane) {
	if l.place < 0 && len(l.away) == 0 && l.free == 0 && l.held == 0 {
		delete(s.all, l.Lane)
	}
}

// keep keeps the entry of a leased job away from claims of its lane.
func (s *lanes) keep(le *lease) {
	if !le.inLane || le.from != nil {
		return
	}
	l := s.get(le.lane)
	le.from = l
	l.away = append(l.away, le)
	heap.Push(&s.away, le)
	if l.place >= 0 && l.head.compare(le.entry) == 0 {
		l.stale = true
	}
}

// release ends what keep has begun. It doesn't offer the entry, which may have gone.
func (s *lanes) release(le *lease) {
	l := le.from
	if l == nil {
		return
	}
	le.from = nil
	if le.place >= 0 {
		heap.Remove(&s.away, le.place)
	}
	i := slices.Index(l.away, le)
	l.away = slices.Delete(l.away, i, i+1)
	s.forget(l)
}

// giveBack ends that le keeps its entry away, and offers it again.
func (s *lanes) giveBack(le *lease) {
	if l := le.from; l != nil {
		s.offer(le.lane, le.entry)
		l.lapsed = true
		s.release(le)
	}
}

// lapse offers the entries whose leases have ended at now. Those that a commit is about to end are in no order any more, but
// stay away until it is known how the commit ended.
func (s *lanes) lapse(now time.Time) {
	for len(s.away) > 0 && !s.away[0].back().After(now) {
		if le := s.away[0]; le.spent {
			heap.Pop(&s.away)
		} else {
			s.giveBack(le)
		}
	}
}

// readLanes counts the jobs of each lane and finds the first that isn't held. Only the keys are looked at, but of the first.
func (q *Queue) readLanes(t *tx) error {
	var l *lane
	var prefix []byte // of the entries that l has, of held jobs or of the others
	var held bool
	c := t.lanes().Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if l != nil && bytes.HasPrefix(k, prefix) {
			l.count(held, 1)
			continue
		}
		name, isHeld, n, err := parseLane(k)
		var e entry
		if err == nil {
			e, err = readEntry(k, v, n)
		}
		if t.pass(e.key, err) {
			continue
		}
		if err != nil {
			return err
		}
		l, prefix, held = q.claims.lanes.get(name), k[:n], isHeld
		l.count(held, 1)
		if !held {
			q.claims.lanes.offer(name, e)
		}
	}
	return nil
}
