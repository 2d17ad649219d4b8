package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

const (
	// changeLease is how long a job that the host program changes is kept from being sent, if the change never ends.
	changeLease = time.Minute
	// changeAtOnce is how many jobs are leased together: few enough that their commits take less than changeLease.
	changeAtOnce = 100
)

// Release lets the held jobs of a message go on at once. The error wraps queue.ErrNotFound if the message has no unfinished
// jobs, and [ErrInFlight] if some of them are being sent, which are not changed; calling it again is harmless.
func (s *Sender) Release(ctx context.Context, id queue.ID) error {
	return s.change(ctx, id, func(j *queue.Job, now time.Time) {
		if j.Held {
			j.Held, j.Due = false, now
		}
	})
}

// Withdraw takes a message back from those recipients for whom nothing is decided yet. They end as withdrawn, and nobody is
// told. The errors are those of [Sender.Release].
func (s *Sender) Withdraw(ctx context.Context, id queue.ID) error {
	return s.change(ctx, id, func(j *queue.Job, now time.Time) {
		for i := range j.Recipients {
			if j.Recipients[i].State == queue.Pending {
				j.Recipients[i].State = queue.Withdrawn
			}
		}
		if pending(j) == 0 {
			j.Held = false // what is left to do is a report, which waits for nobody
		}
		if ended(j) {
			j.Finished = now
		}
	})
}

// change leases each unfinished job of a message, changes it and commits it.
func (s *Sender) change(ctx context.Context, id queue.ID, f func(*queue.Job, time.Time)) error {
	var keys []queue.Key
	for j, err := range s.queue.Jobs(ctx, queue.Filter{ID: id, Unfinished: true}) {
		if err != nil {
			return fmt.Errorf("delivery: %w", err)
		}
		keys = append(keys, j.Key)
	}
	if len(keys) == 0 {
		return fmt.Errorf("delivery: %q: %w", id, queue.ErrNotFound)
	}
	missed := 0
	for some := range slices.Chunk(keys, changeAtOnce) {
		n, err := s.changeSome(ctx, some, f)
		if err != nil {
			return fmt.Errorf("delivery: %w", err)
		}
		missed += len(some) - n
	}
	if missed > 0 {
		return fmt.Errorf("%w: %d of %d jobs of %q", ErrInFlight, missed, len(keys), id)
	}
	return nil
}

// changeSome changes those jobs that can be leased, and returns how many these are.
func (s *Sender) changeSome(ctx context.Context, keys []queue.Key, f func(*queue.Job, time.Time)) (int, error) {
	now := time.Now()
	claimed, err := s.queue.Claim(ctx, queue.ClaimRequest{Now: now, Lease: changeLease, Limit: len(keys), Keys: keys})
	if err != nil {
		return 0, err
	}
	for _, j := range claimed.Jobs {
		f(j, now)
		if err := s.queue.Commit(ctx, j); err != nil {
			return 0, err
		}
		if j.Finished.IsZero() && !j.Held {
			s.note(schedule.Ready{Lane: j.Lane(), Due: j.Due, Expires: j.Message.Expires})
		}
	}
	return len(claimed.Jobs), nil
}
