package dnsclient

import (
	"context"
	"sync"
)

// flights are the lookups under way, one for each question.
type flights struct {
	mu sync.Mutex // guards what follows, and the waiters of each flight
	m  map[question]*flight
}

// flight is a lookup that one or more callers wait for.
type flight struct {
	waiters int
	cancel  context.CancelFunc
	done    chan struct{} // closed once outcome is there
	outcome outcome
}

// do calls resolve, or waits for a call for the same question, which it reports. The call goes on for as long as someone waits
// for it; the last one to leave waits for its end.
func (s *flights) do(ctx context.Context, q question, resolve func(context.Context, question) outcome) (out outcome, shared bool) {
	if err := ctx.Err(); err != nil {
		return outcome{err: err}, false
	}
	f, shared := s.board(ctx, q, resolve)
	select {
	case <-f.done:
		return f.outcome, shared
	case <-ctx.Done():
		s.leave(q, f)
		return outcome{err: ctx.Err()}, shared
	}
}

// board joins the flight for q, or begins one.
func (s *flights) board(ctx context.Context, q question, resolve func(context.Context, question) outcome) (f *flight, shared bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f = s.m[q]; f != nil {
		f.waiters++
		return f, true
	}
	f = &flight{waiters: 1, done: make(chan struct{})}
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if s.m == nil {
		s.m = make(map[question]*flight)
	}
	s.m[q] = f
	go func() {
		defer close(f.done)
		defer f.cancel()
		f.outcome = resolve(ctx, q)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forget(q, f)
	}()
	return f, false
}

func (s *flights) leave(q question, f *flight) {
	s.mu.Lock()
	f.waiters--
	last := f.waiters == 0
	if last {
		s.forget(q, f)
	}
	s.mu.Unlock()
	if last {
		f.cancel()
		<-f.done
	}
}

// forget makes the next one to ask begin anew. s.mu is held.
func (s *flights) forget(q question, f *flight) {
	if s.m[q] == f {
		delete(s.m, q)
	}
}
