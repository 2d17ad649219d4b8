package pgqueue

import (
	"context"
	"sync"
	"time"
)

const (
	// purgeBatch is how many messages one statement deletes.
	purgeBatch = 200
	// purgePause is how often claims look for something to delete.
	purgePause = 10 * time.Second
	// purgeLimit is how long a statement may take that deletes.
	purgeLimit = time.Minute
)

// tidiness is when something was last deleted by the way.
type tidiness struct {
	mu     sync.Mutex
	latest time.Time
	active bool
}

// Purge deletes up to 200 messages that finished longer than [Options].Retention ago, and up to 200 bodies that were
// written ahead and given up a day ago, and returns how many it has deleted. Claim does so by itself, ten seconds apart and until there
// is nothing left, so only a queue on which nobody claims needs it.
func (q *Queue) Purge(ctx context.Context) (deleted int, err error) {
	err = q.write(ctx, func(ctx context.Context, a *attempt) error {
		deleted = 0
		if q.options.Retention > 0 {
			if _, err := one(ctx, q.own(a.conn), q.sql["purge"], []any{q.options.Retention.Seconds(), purgeBatch}, &deleted); err != nil {
				return err
			}
		}
		swept := 0
		_, err := one(ctx, q.own(a.conn), q.sql["sweep"], []any{purgeBatch}, &swept)
		deleted += swept
		return err
	})
	return deleted, err
}

// purgeSometimes deletes what there is to delete, beside the caller.
func (q *Queue) purgeSometimes() {
	t := &q.tidy
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.active || time.Since(t.latest) < purgePause {
		return
	}
	t.active = true
	q.goBeside(func() {
		for {
			ctx, cancel := context.WithTimeout(q.life, purgeLimit)
			n, err := q.Purge(ctx)
			cancel()
			if n < purgeBatch || err != nil { // it is tried again anyway
				break
			}
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.active, t.latest = false, time.Now()
	})
}
