package dnsclient

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/postroad/postroad/mx"
)

// Lookups of the same at the same time are one; of something else, another.
func TestOneFlightForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s flights
		var mu sync.Mutex
		calls := map[question]int{}
		land := make(chan struct{})
		resolve := func(ctx context.Context, q question) outcome {
			mu.Lock()
			calls[q]++
			mu.Unlock()
			<-land
			return outcome{server: q.name, err: ctx.Err()}
		}
		shared := 0
		var wg sync.WaitGroup
		for i := range 300 {
			q := question{[]string{"x.", "y."}[i%2], uint16(i % 3)}
			wg.Go(func() {
				out, joined := s.do(t.Context(), q, resolve)
				if out.server != q.name || out.err != nil {
					t.Errorf("%v: %+v", q, out)
				}
				mu.Lock()
				defer mu.Unlock()
				if joined {
					shared++
				}
			})
		}
		synctest.Wait()
		close(land)
		wg.Wait()
		if shared != 294 || len(calls) != 6 {
			t.Errorf("%d of 300 lookups were shared, %d calls", shared, len(calls))
		}
		s.do(t.Context(), question{"x.", 0}, resolve)
		if n := calls[question{"x.", 0}]; n != 2 || len(s.m) != 0 {
			t.Errorf("%d calls after one more lookup, %d still under way", n, len(s.m))
		}
	})
}

// Who gives up leaves the others alone. The last to leave ends the lookup, and the next begins anew.
func TestLeavingAFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s flights
		q := question{"x.", 1}
		calls, ended := 0, 0
		land := make(chan struct{})
		resolve := func(ctx context.Context, q question) outcome {
			calls++
			select {
			case <-land:
				return outcome{answer: mx.Answer{Canonical: "fine"}}
			case <-ctx.Done():
				ended++
				return outcome{err: ctx.Err()}
			}
		}
		board := func() (cancel context.CancelFunc, result chan outcome) {
			ctx, cancel := context.WithCancel(t.Context())
			result = make(chan outcome, 1)
			go func() {
				out, _ := s.do(ctx, q, resolve)
				result <- out
			}()
			synctest.Wait()
			return cancel, result
		}
		cancel1, first := board()
		cancel2, second := board()
		cancel1()
		if out := <-first; !errors.Is(out.err, context.Canceled) {
			t.Errorf("who gave up got %+v", out)
		}
		if synctest.Wait(); ended != 0 {
			t.Error("the one who began it took the lookup along")
		}
		cancel2()
		if out := <-second; !errors.Is(out.err, context.Canceled) || ended != 1 {
			t.Errorf("the last to leave got %+v, %d lookups ended", out, ended)
		}
		cancel3, third := board()
		defer cancel3()
		close(land)
		if out := <-third; out.err != nil || out.answer.Canonical != "fine" || calls != 2 {
			t.Errorf("the next got %+v, %d calls", out, calls)
		}
	})
}

// Nothing is asked for a ctx that has ended.
func TestNoFlightForTheDead(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &Client{Servers: []string{"127.0.0.1:1"}}
	if _, err := c.Lookup(ctx, "x.example", mx.TypeA); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
