package mtasts

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Bounds on fetches.
const (
	pause        = 5 * time.Minute // between two of one domain, whatever came of the first (RFC 8461, section 3.3)
	maxRefreshes = 64              // under way that no Route waits for
	maxFlights   = 4096            // remembered because they failed; to forget one costs another fetch
)

// flight is one fetch of a domain's policy.
type flight struct {
	domain string
	id     string             // what the TXT record says, to be stored with the policy
	cancel context.CancelFunc // ends a refresh

	done      chan struct{} // closed when the fetch has ended; what follows doesn't change any more then
	ended     time.Time
	policy    *kept // nil if none was found
	abandoned bool  // it ended because nobody wanted it any more, which says nothing about the policy host
}

// flights has the flights that are under way and, for a while, those that failed; at most one for each domain.
type flights struct {
	running sync.WaitGroup // refreshes

	mu         sync.Mutex // guards what follows
	byDomain   map[string]*flight
	refreshing int
	closed     bool
}

// errTimeout tells the end of a fetch's own time from that of its caller.
var errTimeout = errors.New("mtasts: no policy in time")

// fetch returns what the policy host says, nil if that is no policy. One asks at a time, and others wait for the answer; when
// the one who asks gives up, another one takes over. A policy host that failed isn't asked again for a while.
func (r *Router) fetch(ctx context.Context, domain, id string) *kept {
	for {
		f, mine := r.flights.join(domain, id)
		if mine {
			r.run(ctx, f)
			return f.policy
		}
		select {
		case <-f.done:
			if !f.abandoned {
				return f.policy
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// refresh fetches a policy in the background, unless too much is going on there. ctx gives only its values.
func (r *Router) refresh(ctx context.Context, domain, id string) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), r.timeout(), errTimeout)
	f := r.flights.refresh(domain, id, cancel)
	if f == nil {
		cancel()
		return
	}
	go func() {
		defer r.flights.refreshed()
		defer cancel()
		r.run(ctx, f)
	}()
}

// run makes the fetch that f stands for, unless somebody else, this process or another one, has just done so.
func (r *Router) run(ctx context.Context, f *flight) {
	var err error
	if current, _ := r.load(ctx, f.domain); current != nil && current.recent(time.Now()) {
		f.policy = current
	} else {
		f.policy, err = r.get(ctx, f)
	}
	f.abandoned = f.policy == nil && ctx.Err() != nil && context.Cause(ctx) != errTimeout
	if err != nil && !f.abandoned {
		r.tell(Failed{f.domain, err})
	}
	r.flights.end(f, err == nil || f.abandoned)
}

// get fetches a policy and stores it. If only the latter fails, there are a policy and an error.
func (r *Router) get(ctx context.Context, f *flight) (*kept, error) {
	policy, err := r.download(ctx, f.domain)
	if err != nil {
		return nil, err
	}
	k := &kept{policy, f.id, time.Now().Truncate(time.Second)}
	return k, r.store().Set(ctx, storeKey(f.domain), k.marshal())
}

// join returns the flight of a domain to wait for, or a new one that is the caller's to run.
func (s *flights) join(domain, id string) (f *flight, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joinLocked(domain, id)
}

func (s *flights) joinLocked(domain, id string) (f *flight, mine bool) {
	if f := s.byDomain[domain]; f != nil && !f.stale() {
		return f, false
	}
	if len(s.byDomain) >= maxFlights {
		s.forget()
	}
	if s.byDomain == nil {
		s.byDomain = make(map[string]*flight)
	}
	f = &flight{domain: domain, id: id, done: make(chan struct{})}
	s.byDomain[domain] = f
	return f, true
}

// refresh returns a new flight that nobody waits for, nil if there is to be none now.
func (s *flights) refresh(domain, id string, cancel context.CancelFunc) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.refreshing == maxRefreshes {
		return nil
	}
	f, mine := s.joinLocked(domain, id)
	if !mine {
		return nil
	}
	f.cancel = cancel
	s.refreshing++
	s.running.Add(1)
	return f
}

func (s *flights) refreshed() {
	s.mu.Lock()
	s.refreshing--
	s.mu.Unlock()
	s.running.Done()
}

// end makes f's outcome known to those who wait, and to those who come later unless there is nothing in it for them.
func (s *flights) end(f *flight, forget bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.ended = time.Now()
	if forget {
		delete(s.byDomain, f.domain)
	}
	close(f.done)
}

// stale reports, with the lock held, whether it is time for another fetch after f.
func (f *flight) stale() bool {
	return !f.ended.IsZero() && time.Since(f.ended) >= pause
}

// forget removes flights that have ended: those that are stale or, if all are recent, half of them.
func (s *flights) forget() {
	for domain, f := range s.byDomain {
		if f.stale() {
			delete(s.byDomain, domain)
		}
	}
	for domain, f := range s.byDomain {
		if len(s.byDomain) <= maxFlights/2 {
			return
		}
		if !f.ended.IsZero() {
			delete(s.byDomain, domain)
		}
	}
}

// close ends the refreshes under way, waits for them, and lets no more begin.
func (s *flights) close() {
	s.mu.Lock()
	s.closed = true
	for _, f := range s.byDomain {
		if f.cancel != nil {
			f.cancel()
		}
	}
	s.mu.Unlock()
	s.running.Wait()
}
