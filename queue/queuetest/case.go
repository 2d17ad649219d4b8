package queuetest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// testCase checks one rule.
type testCase struct {
	name string
	rule string
	run  func(*run)
}

// run is a case under way. Cases don't see testing.T: they run in a goroutine that can be left behind if the backend hangs,
// and on queues that are meant to fail.
type run struct {
	q     queue.Queue
	ctx   context.Context
	hooks bound
	calls chan func() // to be called by the test's own goroutine

	mu       sync.Mutex // guards what follows
	failures []string
	skipped  string
}

// play runs c on q. A case that isn't done when limit is over has failed.
func (c testCase) play(q queue.Queue, hooks bound, limit time.Duration) *run {
	ctx, cancel := context.WithTimeout(context.Background(), limit/2)
	defer cancel()
	r := &run{q: q, ctx: ctx, hooks: hooks, calls: make(chan func())}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		c.run(r)
	}()
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		select {
		case <-done:
			return r
		case f := <-r.calls:
			f()
		case <-over.C:
			r.errorf("still running after %v: a method hangs", limit)
			return &run{failures: r.taken()} // r belongs to the case, which may go on
		}
	}
}

func (r *run) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failures
}

// inTest runs f in the test's own goroutine, where it may end the test.
func (r *run) inTest(f func()) {
	done := make(chan struct{})
	select {
	case r.calls <- func() { defer close(done); f() }:
		<-done
	case <-r.ctx.Done():
		r.fatalf("%v", r.ctx.Err())
	}
}

// errorf notes a failure. It may be called from any goroutine.
func (r *run) errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, where()+fmt.Sprintf(format, args...))
}

// fatalf notes a failure and ends the goroutine that calls it, which is the case's.
func (r *run) fatalf(format string, args ...any) {
	r.errorf(format, args...)
	runtime.Goexit()
}

func (r *run) skip(why string) {
	r.mu.Lock()
	r.skipped = why
	r.mu.Unlock()
	runtime.Goexit()
}

// where names the line of the case that failed: the outermost one of this package but play.
func where() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	line := ""
	for {
		f, more := frames.Next()
		if !strings.Contains(f.Function, "/queuetest.") || strings.Contains(f.Function, ".play") {
			return line
		}
		line = fmt.Sprintf("%s:%d: ", filepath.Base(f.File), f.Line)
		if !more {
			return line
		}
	}
}

// ok ends the case if err is not nil.
func (r *run) ok(err error, format string, args ...any) {
	if err != nil {
		r.fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// is ends the case if err doesn't wrap want.
func (r *run) is(err, want error, format string, args ...any) {
	if !errors.Is(err, want) {
		r.fatalf("%s: error %v, want one that wraps %q", fmt.Sprintf(format, args...), err, want)
	}
}

// equal ends the case if got is not want.
func equal[T comparable](r *run, got, want T, format string, args ...any) {
	if got != want {
		g, w := difference(fmt.Sprint(got), fmt.Sprint(want))
		r.fatalf("%s:\n got %s\nwant %s", fmt.Sprintf(format, args...), g, w)
	}
}

// difference leaves out the lines that a and b have in common at their beginning and end.
func difference(a, b string) (string, string) {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for len(as) > 1 && len(bs) > 1 && as[0] == bs[0] {
		as, bs = as[1:], bs[1:]
	}
	for len(as) > 1 && len(bs) > 1 && as[len(as)-1] == bs[len(bs)-1] {
		as, bs = as[:len(as)-1], bs[:len(bs)-1]
	}
	return strings.Join(as, "\n"), strings.Join(bs, "\n")
}
