package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

// keep keeps an event for wait and its like.
func (t *timeline) keep(e delivery.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := e.(type) {
	case delivery.Attempted:
		t.attempts[e.Key.ID] = append(t.attempts[e.Key.ID], e)
	case delivery.Bounced:
		t.bounces[e.Key.ID] = e
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// wait waits until n recipients of a message have ended, and returns all attempts at it.
func (t *timeline) wait(ctx context.Context, id queue.ID, n int) (attempts []delivery.Attempted, err error) {
	err = t.until(ctx, func() bool {
		attempts = slices.Clone(t.attempts[id])
		return ended(attempts) >= n
	})
	if err != nil {
		err = fmt.Errorf("%d of %d recipients have ended: %w", ended(attempts), n, err)
	}
	return attempts, err
}

// bounced waits until recipients of a message are given up, and returns who, and which message reports that.
func (t *timeline) bounced(ctx context.Context, id queue.ID) (b delivery.Bounced, err error) {
	err = t.until(ctx, func() (ok bool) {
		b, ok = t.bounces[id]
		return ok
	})
	if err != nil {
		err = fmt.Errorf("nobody has bounced: %w", err)
	}
	return b, err
}

// until waits for something to be true of what was kept.
func (t *timeline) until(ctx context.Context, done func() bool) error {
	for {
		t.mu.Lock()
		ok, changed := done(), t.changed
		t.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ended counts the recipients that have ended.
func ended(attempts []delivery.Attempted) (n int) {
	for _, a := range attempts {
		if a.Due.IsZero() {
			n++
		}
	}
	return n
}

// count counts the recipients that were delivered to, and those that failed. Reports don't count.
func (t *timeline) count() (delivered, failed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, attempts := range t.attempts {
		for _, a := range attempts {
			switch {
			case a.Message.From == "":
			case a.Outcome == delivery.OutcomeDelivered:
				delivered++
			case a.Outcome == delivery.OutcomeFailed:
				failed++
			}
		}
	}
	return delivered, failed
}

// wasDead reports whether a host could not be connected to.
func (t *timeline) wasDead(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.dead, name)
}
