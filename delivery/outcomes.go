package delivery

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// Outcome is what became of one recipient in the end: its State is Delivered, Bounced or Withdrawn, and never changes again;
// Decided is since when.
type Outcome struct {
	// Mark is the cursor: [Sender.Outcomes] goes on behind it. It fits into a signed integer of 64 bits.
	Mark      queue.Mark
	Recipient queue.Recipient
	// Job is the recipient's, as it is stored when the outcome is read. Outcomes of one job may share it; it must not be changed.
	Job *queue.Job
}

// String is one line, such as "ann@example.net: delivered to mx.example.net: 250 2.0.0 queued as 4c8xyz".
func (o Outcome) String() string { return o.Recipient.Address + ": " + ended(&o.Recipient, "") }

// Outcomes yields how every recipient ends, in the order of their marks, beginning behind since: zero is the beginning. When it has
// yielded all that there is, it waits for more, until ctx ends. That is no error; an error of the queue, which ends the
// sequence, is. Whoever calls it again with the Mark of the last outcome that it has dealt with misses none, and is shown none
// that comes before, whatever was killed meanwhile: an outcome is stored together with what it is about. So store the mark in
// one transaction with what the outcome changes, or be ready to see the outcomes after the stored mark again.
//
// The order is fixed once it was read. Several readers don't disturb each other, and Run need not be running. Reports are
// messages with outcomes of their own; their Message.From is "".
//
// Outcomes are read from the queue, and kept there as long as it keeps finished jobs: boltqueue.Options.Retention, 8 days if it
// doesn't say. A reader that stays away longer misses those that were removed meanwhile, and can't tell: marks have gaps anyway.
// A job that can't be read any more, because stored data is damaged, is passed over, and the error comes after what can be read.
//
// What this Sender commits wakes the reader at once. Where others commit to the same queue, which is then a [queue.Shared], it is
// looked at every few seconds, too.
func (s *Sender) Outcomes(ctx context.Context, since queue.Mark) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		w := s.watch(ctx)
		defer w.cancel()
		for since, goOn := since, true; goOn && ctx.Err() == nil; {
			rung := s.bell.hear() // before the queue is read, so that nothing ends in between unheard
			if since, goOn = s.readOutcomes(ctx, since, yield); goOn {
				w.wait(rung)
			}
		}
	}
}

// OutcomesSoFar yields what [Sender.Outcomes] does, and ends when it would wait. Here it is an error if ctx ends before.
func (s *Sender) OutcomesSoFar(ctx context.Context, since queue.Mark) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		_, ok := s.readOutcomes(ctx, since, yield)
		if err := ctx.Err(); ok && err != nil {
			yield(Outcome{}, fmt.Errorf("delivery: reading outcomes: %w", err))
		}
	}
}

// readOutcomes yields the outcomes that there are behind since. It returns the last mark, and whether to go on; an error that
// comes after the end of ctx is left to the caller.
func (s *Sender) readOutcomes(ctx context.Context, since queue.Mark, yield func(Outcome, error) bool) (last queue.Mark, goOn bool) {
	for j, err := range s.queue.Jobs(ctx, queue.Filter{Ended: true, Since: since}) {
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			yield(Outcome{}, fmt.Errorf("delivery: reading outcomes: %w", err))
			return since, false
		}
		for _, i := range endedSince(j, since) {
			r := j.Recipients[i]
			if since = r.Mark; !yield(Outcome{Mark: since, Recipient: r, Job: j}, nil) {
				return since, false
			}
		}
	}
	return since, true
}

// endedSince returns the indexes of the recipients with later marks, in the order of these.
func endedSince(j *queue.Job, since queue.Mark) (indexes []int) {
	for i := range j.Recipients {
		if j.Recipients[i].Mark > since {
			indexes = append(indexes, i)
		}
	}
	slices.SortFunc(indexes, func(a, b int) int { return cmp.Compare(j.Recipients[a].Mark, j.Recipients[b].Mark) })
	return indexes
}

// watch is how one reader waits for outcomes.
type watch struct {
	ctx    context.Context
	cancel context.CancelFunc
	waker  <-chan struct{} // nil: nobody else wakes
	shared bool
}

func (s *Sender) watch(ctx context.Context) *watch {
	w := &watch{}
	w.ctx, w.cancel = context.WithCancel(ctx)
	if q, ok := s.queue.(queue.Waker); ok {
		w.waker = q.Wake(w.ctx)
	}
	w.shared = s.shared != nil
	return w
}

// lookEvery is how often a queue is looked at to which others commit, on average.
const lookEvery = 2 * time.Second

// wait returns when there may be more, or ctx has ended.
func (w *watch) wait(rung <-chan struct{}) {
	var look <-chan time.Time
	if w.shared {
		t := time.NewTimer(lookEvery/2 + rand.N(lookEvery))
		defer t.Stop()
		look = t.C
	}
	select {
	case <-rung:
	case <-look:
	case _, ok := <-w.waker:
		if !ok {
			w.waker = nil // it is closed when ctx ends
		}
	case <-w.ctx.Done():
	}
}

// bell wakes whoever waits for outcomes.
type bell struct {
	mu   sync.Mutex    // guards rung
	rung chan struct{} // nil: nobody waits
}

// hear returns a channel that is closed when the bell rings next.
func (b *bell) hear() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}

// ring tells of a job that was committed, if somebody has ended there.
func (b *bell) ring(j *queue.Job) {
	if !slices.ContainsFunc(j.Recipients, func(r queue.Recipient) bool { return r.State.Final() }) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}
