package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/delivery/internal/verdict"
	"github.com/postroad/postroad/queue"
)

const (
	// changeLease is how long a job that the host program changes is kept from being sent, if the change never ends.
	changeLease = time.Minute
	// changeAtOnce is how many jobs are leased together: few enough that their commits take less than changeLease.
	changeAtOnce = 100
	// recalls is how often the scheduler is asked for jobs that it has claimed and not begun: those that a claim brings meanwhile
	// are with it the next time.
	recalls = 3
	// recallTime is how long what it gives back is kept from it, so that the change comes first.
	recallTime = 5 * time.Second
)

// Hold holds the jobs that a selector matches and that are in the queue now, until [Sender.Release], [Sender.Withdraw] or their
// expiry. Mail that comes later is not held; [Sender.Pause] is for that. It returns how many it has held, and an error that
// wraps [ErrInFlight] if some are being sent, which are not changed, or queue.ErrNotFound if the selector names a message
// that has no unfinished jobs. Calling it again is harmless. If ctx ends half-way, what was changed stays so, and is counted.
func (s *Sender) Hold(ctx context.Context, sel Selector) (int, error) {
	n, err := s.change(ctx, sel, func(j *queue.Job, now time.Time) bool {
		was := j.Held
		j.Held = true
		return !was
	})
	s.counters.add(countHeld, n)
	return n, err
}

// Release lets the held jobs that a selector matches go on at once. What it returns is as for [Sender.Hold].
func (s *Sender) Release(ctx context.Context, sel Selector) (int, error) {
	return s.change(ctx, sel, func(j *queue.Job, now time.Time) bool {
		if !j.Held {
			return false
		}
		j.Held, j.Due = false, now
		return true
	})
}

// Withdraw takes what a selector matches, and is in the queue now, back from those recipients for whom nothing is decided yet.
// They end as withdrawn, and nobody is told. There is no way back, and a selector with nothing set is all mail. What it returns
// is as for [Sender.Hold].
func (s *Sender) Withdraw(ctx context.Context, sel Selector) (int, error) {
	n, err := s.change(ctx, sel, func(j *queue.Job, now time.Time) bool {
		if verdict.Pending(j) == 0 {
			return false
		}
		for i := range j.Recipients {
			if j.Recipients[i].State == queue.Pending {
				j.Recipients[i].State, j.Recipients[i].Decided = queue.Withdrawn, now
			}
		}
		j.Held = false // what is left to do, if anything, is a report, which waits for nobody
		if verdict.Ended(j) {
			j.Finished = now
		}
		return true
	})
	s.counters.add(countWithdrawn, n)
	return n, err
}

// change leases each unfinished job that a selector matches, has f change it, and commits it, unless f says that it didn't. It
// returns how many were changed. f is called for listed jobs, too, to leave alone what needs no change.
func (s *Sender) change(ctx context.Context, sel Selector, f func(*queue.Job, time.Time) bool) (changed int, err error) {
	if sel, err = sel.checked(); err != nil {
		return 0, err
	}
	found, missed := 0, 0
	var keys []queue.Key
	some := func() error {
		n, busy, err := s.changeSome(ctx, keys, f)
		changed, missed, keys = changed+n, missed+busy, nil
		return err
	}
	at := s.siteNames(ctx)
	filter := sel.filter()
	filter.Unfinished = true
	for j, err := range s.queue.Jobs(ctx, filter) {
		if err != nil {
			return changed, fmt.Errorf("delivery: %w", err)
		}
		if sel.Site != "" && at(j.Domain) != sel.Site {
			continue
		}
		found++
		if f(j, s.now()) {
			keys = append(keys, j.Key)
		}
		if len(keys) == changeAtOnce {
			if err := some(); err != nil {
				return changed, fmt.Errorf("delivery: %w", err)
			}
		}
	}
	if err := some(); err != nil {
		return changed, fmt.Errorf("delivery: %w", err)
	}
	switch {
	case found == 0 && sel.ID != "":
		return 0, fmt.Errorf("delivery: %v: %w", sel, queue.ErrNotFound)
	case missed > 0:
		return changed, fmt.Errorf("%w: %d of %d jobs of %v", ErrInFlight, missed, found, sel)
	}
	return changed, nil
}

// changeSome changes those jobs that can be leased, and returns how many it has changed, and how many are being sent. Some may
// be with the scheduler without having been begun; it is asked to give them back.
func (s *Sender) changeSome(ctx context.Context, keys []queue.Key, f func(*queue.Job, time.Time) bool) (changed, busy int, err error) {
	for try := 0; len(keys) > 0 && try <= recalls; try++ {
		n, err := s.changeFree(ctx, keys, f)
		changed += n
		if err != nil {
			return changed, 0, err
		}
		if keys, err = s.toChange(ctx, keys, f); err != nil {
			return changed, 0, err
		}
		s.recall(ctx, keys)
	}
	return changed, len(keys), ctx.Err()
}

// changeFree changes those jobs that nobody has leased. Once it has leased them they are committed even if ctx ends, so that none
// is kept from being sent for nothing; and at the same time, which many queues store together.
func (s *Sender) changeFree(ctx context.Context, keys []queue.Key, f func(*queue.Job, time.Time) bool) (changed int, err error) {
	if err := s.leasing.take(ctx); err != nil { // so that one command doesn't take what another one has leased for being sent
		return 0, err
	}
	defer s.leasing.end()
	now := s.now()
	claimed, err := s.queue.Claim(ctx, queue.ClaimRequest{Now: now, Lease: changeLease, Limit: len(keys), Keys: keys})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeLease)
	defer cancel()
	var commits sync.WaitGroup
	did, errs := make([]bool, len(claimed.Jobs)), make([]error, len(claimed.Jobs))
	for i, j := range claimed.Jobs {
		did[i] = f(j, now)
		commits.Go(func() {
			errs[i] = guard(func() error { return s.queue.Commit(ctx, j) })
			s.bell.ring(j)
		})
	}
	commits.Wait()
	for i, j := range claimed.Jobs {
		if errs[i] == nil && did[i] {
			changed++
		}
		if j.Finished.IsZero() {
			s.noteJob(j) // whatever the error: it may be there
		}
	}
	return changed, errors.Join(errs...)
}

// noteJob tells a running Run of a job that was changed.
func (s *Sender) noteJob(j *queue.Job) {
	e := schedule.Ready{Lane: j.Lane(), Due: j.Due, Expires: j.Message.Expires}
	if j.Held {
		e = schedule.Ready{Expires: j.Message.Expires}
	}
	s.note(e)
}

// toChange returns those of keys whose jobs are unfinished, and not yet as f has them.
func (s *Sender) toChange(ctx context.Context, keys []queue.Key, f func(*queue.Job, time.Time) bool) (left []queue.Key, err error) {
	for _, k := range keys {
		for j, err := range s.queue.Jobs(ctx, queue.Filter{ID: k.ID, Unfinished: true}) {
			if err != nil {
				return nil, err
			}
			if j.Key == k && f(j, s.now()) {
				left = append(left, k)
			}
		}
	}
	return left, nil
}

// recall has the scheduler give back those of the jobs that it has claimed and not begun, and waits for them, for those that are
// on their way back already, and for what is just being claimed.
func (s *Sender) recall(ctx context.Context, keys []queue.Key) {
	if len(keys) == 0 {
		return
	}
	wanted := make(map[queue.Key]bool, len(keys))
	for _, k := range keys {
		wanted[k] = true
	}
	var coming []chan struct{}
	s.tell(ctx, func(r *run) {
		now := s.now()
		r.do(r.state.Step(now, schedule.Recall{Match: func(j *queue.Job) bool { return wanted[j.Key] }, Until: now.Add(recallTime)}))
		coming = r.comingFree(wanted)
	})
	for _, over := range coming {
		select {
		case <-over:
		case <-ctx.Done():
			return
		}
	}
}

// comingFree returns what to wait for until such of the wanted jobs can be leased, or seen with a worker, as neither can now.
func (r *run) comingFree(wanted map[queue.Key]bool) (waits []chan struct{}) {
	for k := range wanted {
		if over := r.returning[k]; over != nil {
			waits = append(waits, over)
		}
	}
	if r.claiming != nil {
		waits = append(waits, r.claiming)
	}
	return waits
}

// siteNames returns a function that finds the site of a domain, as far as Run knows it. While Run doesn't run, or doesn't know,
// each domain is a site of its own.
func (s *Sender) siteNames(ctx context.Context) func(domain string) string {
	known := make(map[string]string)
	return func(domain string) string {
		if name, ok := known[domain]; ok {
			return name
		}
		name := domain
		s.tell(ctx, func(r *run) { name = r.state.SiteOf(domain) })
		known[domain] = name
		return name
	}
}
