package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

// changeLease is how long a job that the host program changes is kept from being sent, if the change never ends.
const changeLease = time.Minute

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
		if ended(j) {
			j.Finished, j.Held = now, false
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
	now := time.Now()
	claimed, err := s.queue.Claim(ctx, queue.ClaimRequest{Now: now, Lease: changeLease, Limit: len(keys), Keys: keys})
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	for _, j := range claimed.Jobs {
		f(j, now)
		if err := s.queue.Commit(ctx, j); err != nil {
			return fmt.Errorf("delivery: %w", err)
		}
		if j.Finished.IsZero() && !j.Held {
			s.note(schedule.Ready{Lane: j.Lane(), Due: j.Due, Expires: j.Message.Expires})
		}
	}
	if len(claimed.Jobs) < len(keys) {
		return fmt.Errorf("%w: %d of %d jobs of %q", ErrInFlight, len(keys)-len(claimed.Jobs), len(keys), id)
	}
	return nil
}
