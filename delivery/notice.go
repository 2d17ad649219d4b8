package delivery

import "sync"

// notices are events that steps of the scheduler have to tell of. A step can't wait for an observer, and an observer is to hear of
// them in their order. A site has no more than two for each pause, so that there are never many.
type notices struct {
	mu   sync.Mutex // guards list
	list []Event    // the first one is being told of
}

// notify tells the observer beside the step.
func (r *run) notify(e Event) {
	r.notices.mu.Lock()
	defer r.notices.mu.Unlock()
	r.notices.list = append(r.notices.list, e)
	if len(r.notices.list) == 1 {
		r.beside.Go(func() {
			for ; e != nil; e = r.notices.next() {
				r.observe(e)
			}
		})
	}
}

// next returns the event after the one that was told of, nil if there is none.
func (n *notices) next() Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.list = n.list[1:]; len(n.list) == 0 {
		n.list = nil
		return nil
	}
	return n.list[0]
}
