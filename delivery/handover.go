package delivery

import (
	"context"
	"slices"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

// maxPlaces bounds the jobs of a message for which places are asked. Those of one with more domains are claimed like others.
const maxPlaces = 64

// handover is how a message gets from Enqueue to a running Run without a claim, where the queue can lease its jobs as it stores it:
// Run keeps places for those with which it would begin at once.
type handover struct {
	*Sender
	run    *run // that keeps the places; nil: there are none
	places []schedule.Place
	jobs   []int // for which they are: their numbers in the entry
	leased []*queue.Job
}

// offer asks Run for places for the jobs of an entry. What it returns is to be ended in any case.
func (s *Sender) offer(ctx context.Context, e *queue.Entry) *handover {
	h := &handover{Sender: s}
	if s.leaser == nil {
		return h
	}
	now := s.now()
	var lanes []queue.Lane
	var jobs []int
	for i, j := range e.Jobs {
		if j.Finished.IsZero() && !j.Held && !j.Due.After(now) {
			lanes = append(lanes, queue.Lane{Domain: j.Domain, Tenant: e.Message.Tenant, Priority: e.Message.Priority})
			jobs = append(jobs, i)
		}
	}
	if len(lanes) == 0 || len(lanes) > maxPlaces {
		return h
	}
	answer := make(chan []string, 1)
	var asked *run
	// The answer never takes long, and if nobody waited for it, the places would be kept for ever.
	if !s.tell(context.WithoutCancel(ctx), func(r *run) { asked = r; r.step(schedule.Offered{Lanes: lanes, Answer: answer}) }) {
		return h
	}
	for i, site := range <-answer {
		if site != "" {
			h.run = asked
			h.places = append(h.places, schedule.Place{Site: site, Lane: lanes[i]})
			h.jobs = append(h.jobs, jobs[i])
		}
	}
	return h
}

// store enqueues the entry, and leases the jobs that have places.
func (h *handover) store(ctx context.Context, e *queue.Entry) (added bool, err error) {
	if h.run == nil {
		return h.queue.Enqueue(ctx, e)
	}
	h.leased, added, err = h.leaser.EnqueueLeased(ctx, e, queue.LeaseRequest{
		Now:    h.now(),
		Lease:  attemptLimit + leaseMargin,
		Holder: h.run.holder,
		Jobs:   h.jobs,
	})
	return added, err
}

// has reports whether a job is on its way to Run.
func (h *handover) has(j *queue.Job) bool {
	return slices.ContainsFunc(h.leased, func(l *queue.Job) bool { return l.Key == j.Key })
}

// end hands the leased jobs to Run, and has it keep no places any more. If it has ended meanwhile, whatever runs now didn't
// lease them, and is to claim them.
func (h *handover) end(ctx context.Context) {
	if h.run == nil {
		return
	}
	var handed bool
	told := h.tell(context.WithoutCancel(ctx), func(r *run) {
		if handed = r == h.run; handed {
			r.step(schedule.Arrived{Places: h.places, Jobs: h.leased})
		}
	})
	if told && handed {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimLimit)
	defer cancel()
	for _, j := range h.leased {
		if err := guard(func() error { return h.queue.Commit(ctx, j) }); err != nil {
			h.trouble(j.Key, err)
		}
		h.note(schedule.Ready{Lane: j.Lane(), Due: j.Due, Expires: j.Message.Expires})
	}
}
