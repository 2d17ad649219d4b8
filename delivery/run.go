package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

const (
	// attemptLimit is how long one attempt may take in all; a lease is that and a margin for its commit, so that a lease
	// runs out under a living process only if something is badly wrong.
	attemptLimit = 60 * time.Minute
	leaseMargin  = 10 * time.Minute
	// claimLimit bounds a claim, and the commits that are still to be made when Run ends.
	claimLimit = 30 * time.Second
)

// Run delivers until ctx ends. Then it begins nothing new; dialogues that have begun to transfer a message may finish within
// Config.DrainTimeout, and everything else goes back to the queue as if it had not been tried. Run returns nil once that
// is done and no goroutine of its own is left. It returns an error only if it can't start: [ErrRunning], or the
// queue's.
func (s *Sender) Run(ctx context.Context) error {
	if !s.begin() {
		return ErrRunning
	}
	defer s.ended()
	hard, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	soft, end := context.WithCancel(ctx)
	defer end()
	r := &run{
		Sender: s,
		soft:   soft,
		hard:   hard,
		state:  schedule.New(schedule.Limits{Total: s.config.Concurrency, PerSite: s.config.PerSite}),
		events: make(chan schedule.Event),
	}
	var wakes <-chan struct{}
	if q, ok := s.queue.(queue.Waker); ok {
		wakes = q.Wake(soft) // before the lanes are read, so that nothing arrives in between unheard
	}
	if err := r.learnLanes(); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("delivery: reading the queue: %w", err)
	}
	if wakes != nil {
		r.beside.Go(func() { r.followWakes(wakes) })
	}
	r.loop(stop)
	r.beside.Wait()
	return nil
}

// run is one call of Run: it feeds the scheduler with events and does what it says.
type run struct {
	*Sender
	soft   context.Context // ends when nothing new may begin
	hard   context.Context // ends when what is under way must stop
	state  *schedule.State
	events chan schedule.Event // from claims and attempts; the loop receives until all are over
	claims int                 // claims under way
	beside sync.WaitGroup      // goroutines that the loop doesn't hear of
}

// learnLanes puts the lanes that the queue has into the inbox, and that something may have expired.
func (r *run) learnLanes() error {
	r.note(schedule.Ready{Expires: time.Now()})
	for j, err := range r.queue.Jobs(r.soft, queue.Filter{Unfinished: true, Heads: true}) {
		if err != nil {
			return err
		}
		r.note(schedule.Ready{Lane: j.Lane(), Due: j.Claimable(), Expires: j.Message.Expires})
	}
	return nil
}

// followWakes learns the lanes anew whenever another process has enqueued, however often it takes.
func (r *run) followWakes(wakes <-chan struct{}) {
	for range wakes {
		for wait := firstWait; ; wait = min(2*wait, longestWait) {
			err := guard(r.learnLanes)
			if err == nil || r.soft.Err() != nil {
				break
			}
			r.observe(Trouble{Time: time.Now(), Err: err})
			select {
			case <-time.After(wait):
			case <-r.soft.Done():
			}
		}
	}
}

// loop runs until soft has ended and everything under way is over.
func (r *run) loop(stop context.CancelFunc) {
	draining := r.soft.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for draining != nil || r.state.Running() > 0 || r.claims > 0 {
		var event schedule.Event
		select {
		case event = <-r.events:
			if _, ok := event.(schedule.Claimed); ok {
				r.claims--
			}
		case <-r.wake:
			for _, e := range r.takeInbox() {
				r.do(r.state.Step(time.Now(), e))
			}
		case <-timer.C:
		case <-draining:
			draining, event = nil, schedule.Drain{}
			defer time.AfterFunc(r.config.DrainTimeout, stop).Stop()
		}
		r.do(r.state.Step(time.Now(), event))
		timer.Stop()
		if at := r.state.Wake(); !at.IsZero() {
			timer.Reset(time.Until(at))
		}
	}
}

// do starts what the scheduler asks for; each answers with an event.
func (r *run) do(actions []schedule.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case schedule.Claim:
			r.claims++
			go func() { r.events <- r.claim(a) }()
		case schedule.Attempt:
			go func() { r.events <- r.attempt(a) }()
		case schedule.Admission:
			a.Answer <- a.OK
		}
	}
}

func (r *run) claim(c schedule.Claim) schedule.Claimed {
	ctx, cancel := context.WithTimeout(r.hard, claimLimit)
	defer cancel()
	var claimed queue.Claimed
	err := guard(func() (err error) {
		claimed, err = r.queue.Claim(ctx, queue.ClaimRequest{
			Now:     time.Now(),
			Lease:   attemptLimit + leaseMargin,
			Limit:   c.Limit,
			Take:    c.Take,
			Expired: c.Expired,
		})
		return err
	})
	if err != nil {
		r.observe(Trouble{Time: time.Now(), Err: err})
	}
	return schedule.Claimed{Claimed: claimed, Err: err}
}

// attempt tries a claimed job, concludes what follows, and commits that.
func (r *run) attempt(a schedule.Attempt) schedule.Ended {
	j := a.Job
	ended := schedule.Ended{Attempt: a, Lane: j.Lane(), Due: j.Leased, Expires: j.Message.Expires}
	t := newTry(a, time.Now())
	err := guard(func() error { return r.end(t) })
	t.closing.Wait() // the slot stands for a connection too
	ended.Site = t.site
	switch {
	case err != nil:
		// The job is leased still, or lost to somebody else; it is claimable when the lease ends.
		r.observe(Trouble{Time: time.Now(), Key: j.Key, Err: err})
	case !j.Finished.IsZero():
		ended.Due, ended.Expires = time.Time{}, time.Time{}
	case j.Held:
		ended.Due = time.Time{}
	default:
		ended.Due, ended.Lane = j.Due, j.Lane() // a first attempt has become a retry
	}
	return ended
}

// end brings a job as far as it can be brought now, and commits that.
func (r *run) end(t *try) error {
	if t.due() {
		r.dialogue(t)
		if !t.attempted() {
			return r.release(t.job) // Run ends, or the site is full: back to the queue, as if nothing had been
		}
	}
	return r.conclude(t)
}

// release gives a job back as it was claimed.
func (r *run) release(j *queue.Job) error {
	ctx, cancel := r.commitContext()
	defer cancel()
	return r.commit(ctx, j, (&report{}).entries)
}
