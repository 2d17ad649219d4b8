package delivery

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/queue"
)

// clock is how a queue's clock differs from this machine's. Its zero value doesn't.
type clock struct {
	offset   atomic.Int64 // nanoseconds that the queue's is ahead
	measured atomic.Int64 // when, in this machine's Unix seconds; 0: never
}

// clockAge is how old a measurement may be that an Enqueue goes by. Run makes one with each beat.
const clockAge = 10 * time.Minute

// now is the time by the queue's clock, if it has one, which others who use the queue go by.
func (s *Sender) now() time.Time { return time.Now().Add(time.Duration(s.clock.offset.Load())) }

// measure asks for the queue's time. What was known stays if it may be as right: the answer takes its time, too.
func (c *clock) measure(ctx context.Context, q queue.Shared) error {
	asked := time.Now()
	var now time.Time
	err := guard(func() (err error) { now, err = q.Now(ctx); return err })
	if err != nil {
		return err
	}
	half := time.Since(asked) / 2
	offset := now.Sub(asked.Round(0)) - half // Round: by the wall clock, which is what is compared
	if known := time.Duration(c.offset.Load()); c.measured.Load() == 0 || (offset-known).Abs() > half {
		c.offset.Store(int64(offset))
	}
	c.measured.Store(asked.Unix())
	return nil
}

// measureClock measures the queue's clock, if it has one.
func (s *Sender) measureClock(ctx context.Context) error {
	if s.shared == nil {
		return nil
	}
	if err := s.clock.measure(ctx, s.shared); err != nil {
		return fmt.Errorf("delivery: asking for the time: %w", err)
	}
	return nil
}

// keepTime measures the queue's clock if nobody has lately. If that fails so will what it is wanted for.
func (s *Sender) keepTime(ctx context.Context) {
	if s.shared != nil && time.Now().Unix()-s.clock.measured.Load() > int64(clockAge/time.Second) {
		_ = s.clock.measure(ctx, s.shared)
	}
}
