package pgqueue

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/queue"
)

// ledger is a server of which each transaction takes a second.
type ledger struct {
	mu       sync.Mutex // guards what follows
	together [][]int
	alone    []int
	err      error // of transactions of several
	refused  int   // is not done with others
}

func (l *ledger) gathering() *gathering[int] {
	return &gathering[int]{
		fits: func(list []int) bool { return len(list) <= 3 },
		done: func(one int) bool { return one != l.refused },
		together: func(ctx context.Context, list []int) error {
			l.mu.Lock()
			l.together = append(l.together, slices.Clone(list))
			l.mu.Unlock()
			return l.work(ctx, l.err)
		},
		alone: func(ctx context.Context, one int) error {
			l.mu.Lock()
			l.alone = append(l.alone, one)
			l.mu.Unlock()
			return l.work(ctx, nil)
		},
	}
}

func (l *ledger) work(ctx context.Context, err error) error {
	select {
	case <-time.After(time.Second):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// callers do 1 to n, one millisecond after the other, and return the errors.
func callers(t *testing.T, g *gathering[int], ctxs map[int]context.Context, n int) []error {
	t.Helper()
	errs := make([]error, n+1)
	var all sync.WaitGroup
	for i := 1; i <= n; i++ {
		all.Go(func() {
			ctx := t.Context()
			if ctxs[i] != nil {
				ctx = ctxs[i]
			}
			errs[i] = g.do(ctx, i)
		})
		time.Sleep(time.Millisecond)
	}
	all.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leaders != 0 || len(g.waiting) != 0 {
		t.Errorf("at the end there are %d leaders, and %d wait", g.leaders, len(g.waiting))
	}
	return errs
}

func TestGathering(t *testing.T) {
	ended := func(after time.Duration) func(t *testing.T) map[int]context.Context {
		return func(t *testing.T) map[int]context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			t.Cleanup(cancel)
			return map[int]context.Context{5: ctx}
		}
	}
	for _, tt := range []struct {
		name     string
		ledger   *ledger // nil for one without faults
		ctxs     func(t *testing.T) map[int]context.Context
		n        int
		together [][]int
		alone    []int
		errs     map[int]error
	}{
		{name: "two at once go alone", n: 2, alone: []int{1, 2}},
		{name: "who waits shares", n: 8, alone: []int{1, 2}, together: [][]int{{3, 4, 5}, {6, 7, 8}}},
		{name: "what fails together is tried alone", n: 5, ledger: &ledger{err: ErrUnavailable},
			alone: []int{1, 2, 3, 4, 5}, together: [][]int{{3, 4, 5}}},
		{name: "what isn't done is tried alone", n: 5, ledger: &ledger{refused: 4}, alone: []int{1, 2, 4}, together: [][]int{{3, 4, 5}}},
		{name: "doubt is everyone's", n: 5, ledger: &ledger{err: queue.ErrInDoubt}, alone: []int{1, 2}, together: [][]int{{3, 4, 5}},
			errs: map[int]error{3: queue.ErrInDoubt, 4: queue.ErrInDoubt, 5: queue.ErrInDoubt}},
		{name: "who waits may leave", n: 6, ctxs: ended(500 * time.Millisecond), alone: []int{1, 2}, together: [][]int{{3, 4, 6}},
			errs: map[int]error{5: context.DeadlineExceeded}},
		{name: "who was taken along waits for the end", n: 5, ctxs: ended(1500 * time.Millisecond), alone: []int{1, 2},
			together: [][]int{{3, 4, 5}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := cmp.Or(tt.ledger, &ledger{})
				var ctxs map[int]context.Context
				if tt.ctxs != nil {
					ctxs = tt.ctxs(t)
				}
				errs := callers(t, l.gathering(), ctxs, tt.n)
				for i, err := range errs {
					if !errors.Is(err, tt.errs[i]) {
						t.Errorf("%d: %v, want %v", i, err, tt.errs[i])
					}
				}
				slices.Sort(l.alone)
				if !slices.Equal(l.alone, tt.alone) || !slices.EqualFunc(l.together, tt.together, slices.Equal) {
					t.Errorf("alone %v, together %v; want %v, %v", l.alone, l.together, tt.alone, tt.together)
				}
			})
		})
	}
}

// TestGatheringInDoubt has a transaction of others that doesn't end.
func TestGatheringInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		g := l.gathering()
		g.together = func(context.Context, []int) error {
			time.Sleep(time.Hour)
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		errs := make(chan error, 1)
		time.AfterFunc(10*time.Millisecond, func() { errs <- g.do(ctx, 4) })
		time.AfterFunc(20*time.Millisecond, func() {
			err := <-errs
			if took := time.Since(began); !errors.Is(err, queue.ErrInDoubt) || took != 2*time.Second+grace {
				t.Errorf("%v after %v", err, took)
			}
		})
		callers(t, g, nil, 3)
	})
}
