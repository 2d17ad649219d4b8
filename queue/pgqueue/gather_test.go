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

// ledger is a server of which each transaction takes 15 ms.
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
	case <-time.After(15 * time.Millisecond):
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
	ended := func(after time.Duration, whose ...int) func(t *testing.T) map[int]context.Context {
		return func(t *testing.T) map[int]context.Context {
			ctxs := map[int]context.Context{}
			for _, i := range whose {
				ctx, cancel := context.WithTimeout(t.Context(), after)
				t.Cleanup(cancel)
				ctxs[i] = ctx
			}
			return ctxs
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
		{name: "two go alone", n: 2, alone: []int{1, 2}},
		{name: "who waits shares", n: 7, alone: []int{1}, together: [][]int{{2, 3, 4}, {5, 6, 7}}},
		{name: "what fails together is tried alone", n: 4, ledger: &ledger{err: ErrUnavailable},
			alone: []int{1, 2, 3, 4}, together: [][]int{{2, 3, 4}}},
		{name: "what isn't done is tried alone", n: 4, ledger: &ledger{refused: 3}, alone: []int{1, 3}, together: [][]int{{2, 3, 4}}},
		{name: "doubt is everyone's", n: 4, ledger: &ledger{err: queue.ErrInDoubt}, alone: []int{1}, together: [][]int{{2, 3, 4}},
			errs: map[int]error{2: queue.ErrInDoubt, 3: queue.ErrInDoubt, 4: queue.ErrInDoubt}},
		{name: "who waits may leave", n: 5, ctxs: ended(8*time.Millisecond, 3), alone: []int{1}, together: [][]int{{2, 4, 5}},
			errs: map[int]error{3: context.DeadlineExceeded}},
		{name: "who was taken along waits for the end", n: 4, ctxs: ended(25*time.Millisecond, 3), alone: []int{1},
			together: [][]int{{2, 3, 4}}},
		{name: "who leads others waits for the end, too", n: 4, ctxs: ended(25*time.Millisecond, 2), alone: []int{1},
			together: [][]int{{2, 3, 4}}},
		{name: "what nobody waits for any more is broken off", n: 4, ctxs: ended(25*time.Millisecond, 2, 3, 4), alone: []int{1, 2, 3, 4},
			together: [][]int{{2, 3, 4}}, errs: map[int]error{2: context.DeadlineExceeded, 3: context.DeadlineExceeded, 4: context.DeadlineExceeded}},
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

// TestGatheringInDoubt has a transaction that takes an hour, for whoever leads it, and for whom it takes along.
func TestGatheringInDoubt(t *testing.T) {
	for _, impatient := range []int{2, 3} {
		synctest.Test(t, func(t *testing.T) {
			l := &ledger{}
			g := l.gathering()
			g.together = func(context.Context, []int) error {
				time.Sleep(time.Hour)
				return nil
			}
			began := time.Now()
			var all sync.WaitGroup
			for i := 1; i <= 5; i++ {
				all.Go(func() {
					ctx, cancel := t.Context(), func() {}
					if i == impatient {
						ctx, cancel = context.WithTimeout(ctx, 2*time.Second)
					}
					defer cancel()
					err := g.do(ctx, i)
					took := time.Since(began).Truncate(time.Second)
					switch {
					case i == impatient && (!errors.Is(err, queue.ErrInDoubt) || took != 2*time.Second+grace):
						t.Errorf("%d: %v after %v", i, err, took)
					case i != impatient && (err != nil || (i >= 2 && i <= 4) != (took == time.Hour)): // 1 and 5 go alone
						t.Errorf("%d: %v after %v", i, err, took)
					}
				})
				time.Sleep(time.Millisecond)
			}
			all.Wait()
		})
	}
}

// TestGatheringHarmless has nobody wait for what changes nothing when its ctx ends, wherever it is by then, and the others go on.
func TestGatheringHarmless(t *testing.T) {
	for end := range 30 {
		synctest.Test(t, func(t *testing.T) {
			l := &ledger{}
			g := l.gathering()
			g.harmless = true
			began := time.Now()
			var all sync.WaitGroup
			for i := 1; i <= 8; i++ {
				all.Go(func() {
					ctx := t.Context()
					if limit := time.Duration(end) * time.Millisecond; i%2 == 0 {
						over, cancel := context.WithTimeout(ctx, limit-time.Since(began))
						defer cancel()
						ctx = over
						defer func() {
							if took := time.Since(began); took > limit && took > 8*time.Millisecond {
								t.Errorf("%d returned after %v, had %v", i, took, limit)
							}
						}()
					}
					err := g.do(ctx, i)
					if errors.Is(err, queue.ErrInDoubt) || i%2 == 1 && err != nil {
						t.Errorf("%d: %v", i, err)
					}
				})
				time.Sleep(time.Millisecond)
			}
			all.Wait()
			time.Sleep(time.Minute)
			if g.leaders != 0 || len(g.waiting) != 0 {
				t.Errorf("at the end there are %d leaders, and %d wait", g.leaders, len(g.waiting))
			}
		})
	}
}

// TestGatheringStuck has a transaction that waits for a lock: who comes later goes on without it.
func TestGatheringStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		g := l.gathering()
		g.alone = func(_ context.Context, one int) error {
			if one == 1 {
				time.Sleep(time.Minute)
			}
			return nil
		}
		go callers(t, g, nil, 1)
		synctest.Wait()
		for i := range 3 {
			began := time.Now()
			err := g.do(t.Context(), 2+i)
			if took := time.Since(began); err != nil || took > impatience {
				t.Errorf("%v after %v", err, took)
			}
		}
		time.Sleep(time.Minute)
	})
}

// TestGatheringCrowd has so many wait that they need several transactions at once, and no more than that.
func TestGatheringCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		g := l.gathering()
		g.fits = func([]int) bool { return true }
		under, most := 0, 0
		g.alone = func(context.Context, int) error {
			l.mu.Lock()
			under++
			most = max(most, under)
			l.mu.Unlock()
			time.Sleep(impatience / 2)
			l.mu.Lock()
			under--
			l.mu.Unlock()
			return nil
		}
		g.together = func(ctx context.Context, _ []int) error { return g.alone(ctx, 0) }
		var all sync.WaitGroup
		for i := range 2*crew + 2 {
			all.Go(func() { _ = g.do(t.Context(), i+1) })
		}
		all.Wait()
		if most != 2 {
			t.Errorf("at most %d transactions at once for %d callers, want 2", most, 2*crew+2)
		}
	})
}

// TestGatheringRests has a rest after a transaction that several have shared, until enough have come, or for so many times as long
// as it took. After what one did alone there is none.
func TestGatheringRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		g := l.gathering()
		g.rest, g.fits = 2, func([]int) bool { return true }
		began := time.Now()
		var times []time.Duration
		g.alone = func(context.Context, int) error {
			times = append(times, time.Since(began))
			time.Sleep(2 * time.Millisecond)
			return nil
		}
		g.together = func(_ context.Context, list []int) error {
			times = append(times, time.Since(began), time.Duration(len(list)))
			time.Sleep(2 * time.Millisecond)
			return nil
		}
		var all sync.WaitGroup
		at := func(when time.Duration, n int) {
			for range n {
				all.Go(func() {
					time.Sleep(when*time.Millisecond - time.Since(began))
					_ = g.do(t.Context(), 1)
				})
			}
		}
		at(0, 1) // alone
		at(1, 3) // at 2
		at(3, 1) // too few, until 8
		at(7, 2)
		at(9, 6)  // enough for 3; at 10
		at(13, 1) // too few for 6, until 16; then there is no rest
		at(19, 1)
		all.Wait()
		time.Sleep(time.Second)
		ms := time.Millisecond
		if want := []time.Duration{0, 2 * ms, 3, 8 * ms, 3, 10 * ms, 6, 16 * ms, 19 * ms}; !slices.Equal(times, want) {
			t.Errorf("transactions at %d, want %d", times, want)
		}
		if g.leaders != 0 || g.resting != nil || len(g.waiting) != 0 {
			t.Errorf("at the end %d lead and %d wait", g.leaders, len(g.waiting))
		}
	})
}
