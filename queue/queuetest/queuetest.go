// Package queuetest checks that a backend keeps the rules of package queue. Each case is a subtest that checks one rule and
// fails with a message that says which.
package queuetest

import (
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// Run checks the queues that open makes. Open is called for every case and returns an empty queue; what must be closed or
// removed afterwards it hands to t.Cleanup. The rules of [queue.Bulk], [queue.Leaser], [queue.Notes], [queue.Depths],
// [queue.Waker] and [queue.Shared] are checked if a queue has these methods, and what holds after Close if it has a method
// Close() error.
//
// A backend that deadlocks fails: no case takes longer than a minute.
func Run(t *testing.T, open func(t *testing.T) queue.Queue, options ...Option) {
	var h hooks
	for _, o := range options {
		o(&h)
	}
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			r := c.play(open(t), h.of(t), time.Minute)
			for _, f := range r.failures {
				t.Errorf("rule broken: %s\n%s", c.rule, f)
			}
			if r.skipped != "" && len(r.failures) == 0 {
				t.Skip(r.skipped)
			}
		})
	}
}

// Option adds what [Run] can't do through the methods of a queue. Cases that need an option are skipped without it.
type Option func(*hooks)

// Reopen lets Run check what must survive a crash. It abandons q as a crash would, as far as that is possible, opens the same
// storage again and returns the new queue.
func Reopen(reopen func(t *testing.T, q queue.Queue) queue.Queue) Option {
	return func(h *hooks) { h.reopen = reopen }
}

// Cut lets Run check that half a message is never taken for a whole one. It removes the end of a stored body behind the back
// of q, and returns the queue to go on with: q, or the same storage opened again if q had to be closed.
func Cut(cut func(t *testing.T, q queue.Queue, id queue.ID) queue.Queue) Option {
	return func(h *hooks) { h.cut = cut }
}

// Another lets Run check what several processes do with one queue, and the rules of [queue.Waker] and [queue.Shared] that take
// two. It opens the storage of q, which goes on, once more, as another process would.
func Another(another func(t *testing.T, q queue.Queue) queue.Queue) Option {
	return func(h *hooks) { h.another = another }
}

// Full lets Run check the limits of a queue. Its function opens an empty queue, as Run's does, that takes in so many unfinished
// messages and no more. Where it has other limits as well, they must be far away.
func Full(open func(t *testing.T, messages int) queue.Queue) Option {
	return func(h *hooks) { h.full = open }
}

type hooks struct {
	full    func(*testing.T, int) queue.Queue
	reopen  func(*testing.T, queue.Queue) queue.Queue
	cut     func(*testing.T, queue.Queue, queue.ID) queue.Queue
	another func(*testing.T, queue.Queue) queue.Queue
}

// bound is hooks that belong to a test; nil if they weren't given.
type bound struct {
	full    func(int) queue.Queue
	reopen  func(queue.Queue) queue.Queue
	cut     func(queue.Queue, queue.ID) queue.Queue
	another func(queue.Queue) queue.Queue
}

func (h hooks) of(t *testing.T) (b bound) {
	if h.full != nil {
		b.full = func(messages int) queue.Queue { return h.full(t, messages) }
	}
	if h.reopen != nil {
		b.reopen = func(q queue.Queue) queue.Queue { return h.reopen(t, q) }
	}
	if h.cut != nil {
		b.cut = func(q queue.Queue, id queue.ID) queue.Queue { return h.cut(t, q, id) }
	}
	if h.another != nil {
		b.another = func(q queue.Queue) queue.Queue { return h.another(t, q) }
	}
	return b
}

func cases() []testCase {
	return slices.Concat(
		enqueueCases(), entryCases(), claimCases(), takeCases(), expiredCases(), nextCases(), commitCases(), moreCases(), bodyCases(),
		jobsCases(), endedCases(), contextCases(), reopenCases(), bulkCases(), leaserCases(), notesCases(), depthsCases(), modelCases(), concurrentCases(),
		sharedCases(), fullCases(),
	)
}
