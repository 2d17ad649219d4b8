package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	if err := errors.Join(s.measureClock(soft), s.renewRules(soft), s.loadLevels(soft)); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	last, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	defer context.AfterFunc(hard, func() { time.AfterFunc(claimLimit, abandon) })()
	r := &run{
		Sender: s,
		soft:   soft,
		hard:   hard,
		last:   last,
		state: schedule.New(schedule.Config{
			Total:  s.config.Concurrency,
			Policy: s.rules.Load().policy,
			Rand:   rand.New(globalRand{}),
			Source: s.sourceOf,
			Shared: s.shared != nil,
		}),
		claims:    make(chan schedule.Claim, 1),
		workers:   make(map[schedule.Worker]*worker),
		returning: make(map[queue.Key]chan struct{}),
		timer:     time.NewTimer(0),
		rest:      make(chan struct{}),
	}
	var wakes <-chan struct{}
	if q, ok := s.queue.(queue.Waker); ok {
		wakes = q.Wake(soft) // before the lanes are read, so that nothing arrives in between unheard
	}
	if err := r.tryQueue(); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("delivery: reading the queue: %w", err)
	}
	endShares, farewell := r.share()
	r.beside.Go(func() { r.followLanes(wakes) })
	r.beside.Go(func() { r.keepLevels(soft) })
	r.beside.Go(r.answerClaims)
	r.state.Step(s.now(), schedule.Pauses{Pauses: s.rules.Load().pauses()})
	s.listen(r)
	r.loop(stop)
	close(r.claims)
	endShares()
	r.beside.Wait()
	r.storeLevels(ctx)
	farewell()
	return nil
}

// run is one call of Run: it feeds the scheduler with events and does what it says.
type run struct {
	*Sender
	soft   context.Context     // ends when nothing new may begin
	hard   context.Context     // ends when what is under way must stop
	last   context.Context     // ends a moment later: what has happened by then is still to be stored
	claims chan schedule.Claim // for answerClaims; has room for the one that there is at a time
	beside sync.WaitGroup      // every goroutine but the loop's

	holder  string   // this Run, in a queue that others share; else ""
	sharing *sharing // nil: nobody else uses the queue

	notices  notices
	suspects suspects

	rest chan struct{} // closed when Run is to end and nothing is under way

	// stepping is held for one step of the scheduler, in which nothing waits. Whoever has an event makes the step: to hand it to
	// a goroutine that makes all steps took longer than the step. It guards what follows.
	stepping sync.Mutex
	state    *schedule.State
	workers  map[schedule.Worker]*worker
	timer    *time.Timer
	alarm    time.Time // when the timer goes off; zero: it doesn't
	draining bool
	ended    bool // rest is closed
	// The claim that is under way, and the jobs on their way back to the queue; each is closed when that is over.
	claiming  chan struct{}
	returning map[queue.Key]chan struct{}
}

// tryQueue finds out whether the queue can be read.
func (r *run) tryQueue() error {
	for _, err := range r.queue.Jobs(r.soft, queue.Filter{Unfinished: true, Heads: true}) {
		return err
	}
	return nil
}

// learnLanes puts the lanes that the queue has into the inbox, and that something may have expired.
func (r *run) learnLanes() error {
	r.note(schedule.Ready{Expires: r.now()})
	for j, err := range r.queue.Jobs(r.soft, queue.Filter{Unfinished: true, Heads: true}) {
		if err != nil {
			return err
		}
		r.note(schedule.Ready{Lane: j.Lane(), Due: j.Claimable(), Expires: j.Message.Expires})
	}
	return nil
}

const (
	// wakePause is how long the lanes aren't read again after they were because others have enqueued, however many they are.
	wakePause = time.Second
	// wakePoll is about how often they are read in any case where others enqueue: word of that may be lost.
	wakePoll = 30 * time.Second
)

// followLanes learns the lanes that there are, beside the loop, since a million of them take their time; and then anew whenever
// another process has enqueued, or may have.
func (r *run) followLanes(wakes <-chan struct{}) {
	for {
		for wait := firstWait; r.soft.Err() == nil; wait = min(2*wait, longestWait) {
			err := guard(r.learnLanes)
			if err == nil || r.soft.Err() != nil {
				break
			}
			r.trouble(queue.Key{}, err)
			sleep(r.soft, wait)
		}
		if wakes == nil && r.sharing == nil {
			return
		}
		sleep(r.soft, wakePause)
		var poll <-chan time.Time
		if r.sharing != nil {
			poll = time.After(wakePoll*3/4 + rand.N(wakePoll/2))
		}
		select {
		case _, ok := <-wakes:
			if !ok {
				wakes = nil
			}
		case <-poll:
		case <-r.soft.Done():
			return
		}
	}
}

// answerClaims makes one claim after the other, on a stack that has grown for the first.
func (r *run) answerClaims() {
	for c := range r.claims {
		r.post(r.claim(c))
	}
}

func (r *run) claim(c schedule.Claim) schedule.Claimed {
	ctx, cancel := context.WithTimeout(r.hard, claimLimit)
	defer cancel()
	var claimed queue.Claimed
	began := time.Now()
	err := guard(func() (err error) {
		claimed, err = r.queue.Claim(ctx, queue.ClaimRequest{
			Now:     r.now(),
			Holder:  r.holder,
			Lease:   attemptLimit + leaseMargin,
			Limit:   c.Limit,
			Take:    c.Take,
			Expired: c.Expired,
		})
		return err
	})
	if err != nil {
		r.trouble(queue.Key{}, err)
	}
	var took time.Duration
	if r.sharing != nil { // else there is no server that would have less for others
		took = time.Since(began)
	}
	claimed.Jobs = r.sift(claimed.Jobs)
	return schedule.Claimed{Claimed: claimed, Err: err, Took: took}
}
