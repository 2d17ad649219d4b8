package delivery

import (
	"context"
	"slices"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

const (
	// maxPlaces bounds the jobs of a message for which places are asked. Those of one with more domains are claimed like others.
	maxPlaces = 64
	// maxReading is how long the body may take to be read, since the lease is from the beginning of that: longer, and the jobs are
	// claimed like others.
	maxReading = time.Minute
)

// handover is how a message gets from Enqueue to a running Run without a claim, where the queue can lease its jobs as it stores it:
// Run keeps places for those with which it would begin at once, or in a moment.
type handover struct {
	*Sender
	entry  *queue.Entry
	run    *run // nil: nothing is handed over
	began  time.Time
	places []schedule.Place
	leased []*queue.Job
}

// handOver begins with an entry. It is to be ended in any case.
func (s *Sender) handOver(e *queue.Entry) *handover {
	h := &handover{Sender: s, entry: e}
	if s.leaser != nil {
		h.run = s.runs()
	}
	return h
}

// store enqueues the entry, and leases the jobs that have places.
func (h *handover) store(ctx context.Context) (added bool, err error) {
	if h.run == nil {
		return h.queue.Enqueue(ctx, h.entry)
	}
	h.began = h.now()
	h.leased, added, err = h.leaser.EnqueueLeased(ctx, h.entry, queue.LeaseRequest{
		Now:    h.began,
		Lease:  attemptLimit + leaseMargin,
		Holder: h.run.holder,
		Jobs:   h.takePlaces,
	})
	return added, err
}

// takePlaces asks Run for places for the jobs that are due, and returns the numbers of those that have one. The body was read by
// then: a place is a connection that others want, and is kept for no longer than a transaction takes.
func (h *handover) takePlaces() (jobs []int) {
	if h.now().Sub(h.began) > maxReading {
		return nil
	}
	var due []int
	var lanes []queue.Lane
	for i, j := range h.entry.Jobs {
		if j.Finished.IsZero() && !j.Held && !j.Due.After(h.began) {
			due = append(due, i)
			lanes = append(lanes, queue.Lane{Domain: j.Domain, Tenant: h.entry.Message.Tenant, Priority: h.entry.Message.Priority})
		}
	}
	if len(due) == 0 || len(due) > maxPlaces {
		return nil
	}
	answer := make(chan []string, 1)
	if !h.run.post(schedule.Offered{Lanes: lanes, Answer: answer}) {
		return nil
	}
	for i, site := range <-answer {
		if site != "" {
			h.places = append(h.places, schedule.Place{Site: site, Lane: lanes[i]})
			jobs = append(jobs, due[i])
		}
	}
	return jobs
}

// has reports whether a job is on its way to Run.
func (h *handover) has(j *queue.Job) bool {
	return slices.ContainsFunc(h.leased, func(l *queue.Job) bool { return l.Key == j.Key })
}

// end hands the leased jobs to Run, and has it keep no places any more. If it has ended meanwhile they go back to the queue: the
// next Run claims them.
func (h *handover) end(ctx context.Context) {
	if len(h.places) == 0 || h.run.post(schedule.Arrived{Places: h.places, Jobs: h.leased}) {
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
