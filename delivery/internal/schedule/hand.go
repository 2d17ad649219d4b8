package schedule

import (
	"time"

	"github.com/postroad/postroad/queue"
)

// inHand is how many jobs the site has in hand.
func (st *site) inHand() (n int) {
	for p := range st.hand {
		n += st.held(p)
	}
	return n
}

// held is how many of these have a priority.
func (st *site) held(p int) int { return len(st.hand[p][0]) + len(st.hand[p][1]) }

// best is the priority of the best that the site has waiting, and its tenant; 3 if nothing waits.
func (st *site) best() (priority int, tenant string) {
	for p := range st.hand {
		for q := range st.hand[p] {
			if len(st.hand[p][q]) > 0 {
				return p, st.hand[p][q][0].Message.Tenant
			}
			if sh := st.lines[p][q].top(); sh != nil {
				return p, sh.tenant
			}
		}
	}
	return len(st.hand), ""
}

// put puts a job in hand.
func (st *site) put(j *queue.Job) {
	l := j.Lane()
	h := &st.hand[rank(l.Priority)][again(l.Retry)]
	*h = append(*h, j)
	st.expires = earliest(st.expires, j.Message.Expires)
}

// take takes the job out of hand whose turn it is, nil if there is none.
func (st *site) take() *queue.Job {
	var waits [3]bool
	for p := range st.hand {
		waits[p] = st.held(p) > 0
	}
	p := st.turns.next(waits)
	if p < 0 {
		return nil
	}
	q := 0 // which of the two was decided by the turns of the claim
	if len(st.hand[p][0]) == 0 {
		q = 1
	}
	h := &st.hand[p][q]
	j := (*h)[0]
	(*h)[0] = nil
	if *h = (*h)[1:]; len(*h) == 0 {
		*h = nil
	}
	return j
}

// giveBack returns to the queue what of the hand matches. Jobs that were rerouted to a site that pauses are not to come back before
// until: their lanes don't wait for that site.
func (s *State) giveBack(st *site, until time.Time, match func(*queue.Job) bool) (actions []Action) {
	for _, j := range st.drop(match) {
		due := time.Time{}
		if l := j.Lane(); s.laneSite(&l) != st.name {
			due = until
		}
		actions = append(actions, s.giveUp(j, due))
	}
	return actions
}

// expire ends the jobs in hand that have expired, since nobody else can while they are here.
func (s *State) expire(now time.Time, st *site) (actions []Action) {
	if st.expires.IsZero() || st.expires.After(now) {
		return nil
	}
	var next time.Time
	over := st.drop(func(j *queue.Job) bool {
		if !j.Message.Expires.After(now) {
			return true
		}
		next = earliest(next, j.Message.Expires)
		return false
	})
	st.expires = next
	for _, j := range over {
		s.expiring++
		s.unsettled[j.Key] = true
		actions = append(actions, Expire{j})
	}
	return actions
}

// drop takes the jobs that match out of hand.
func (st *site) drop(match func(*queue.Job) bool) (dropped []*queue.Job) {
	for p := range st.hand {
		for q, list := range st.hand[p] {
			kept := list[:0]
			for _, j := range list {
				if match(j) {
					dropped = append(dropped, j)
				} else {
					kept = append(kept, j)
				}
			}
			clear(list[len(kept):])
			st.hand[p][q] = kept
		}
	}
	return dropped
}

// giveUp gives a job back to the queue.
func (s *State) giveUp(j *queue.Job, due time.Time) Action {
	s.unsettled[j.Key] = false
	return Return{Job: j, Due: due}
}
