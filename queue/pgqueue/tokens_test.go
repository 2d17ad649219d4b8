package pgqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// Each token is drawn once, many with one statement.
func TestTokens(t *testing.T) {
	pool, q := openInside(t)
	var mu sync.Mutex
	var all []int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range 20 {
				list, err := q.draw(t.Context(), n)
				if err != nil || len(list) != n {
					t.Errorf("%d tokens instead of %d, error %v", len(list), n, err)
				}
				mu.Lock()
				all = append(all, list...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if slices.Sort(all); len(slices.Compact(slices.Clone(all))) != 8*190 || all[0] < 1 {
		t.Error("not all tokens differ")
	}
	var drawn int64
	if err := pool.QueryRow(t.Context(), in(q.schema, "SELECT last_value FROM postroad.tokens")).Scan(&drawn); err != nil || drawn != 2*drawAtOnce {
		t.Errorf("%d were drawn, error %v", drawn, err)
	}
	<-q.tokens
	q.putBack(all[:7]) // somebody is drawing
	q.tokens <- all[7:9]
	q.putBack(all[9:10])
	if list, err := q.draw(t.Context(), 3); err != nil || !slices.Equal(list, all[7:10]) {
		t.Errorf("%v, error %v, want %v", list, err, all[7:10])
	}
	if list, err := q.draw(t.Context(), 3*drawAtOnce); err != nil || len(list) != 3*drawAtOnce {
		t.Errorf("%d tokens, error %v", len(list), err)
	}
}

// Who waits for another that draws gives up with its ctx, and who fails to draw leaves the place to the next.
func TestTokensContext(t *testing.T) {
	_, q := openInside(t)
	list := <-q.tokens // somebody draws
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := q.draw(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("while somebody draws: %v", err)
	}
	q.tokens <- list
	if _, err := q.draw(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("when ctx has ended: %v", err)
	}
	if _, err := q.draw(t.Context(), 1); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Leases that may have been made are remembered for a while, and so many of them.
func TestUntold(t *testing.T) {
	now := time.Now()
	tokens := func(from, to int64) (list []int64) {
		for t := from; t < to; t++ {
			list = append(list, t)
		}
		return list
	}
	u := &untold{}
	check := func(now time.Time, want string) {
		t.Helper()
		list := u.current(now)
		got := fmt.Sprint(len(list))
		if len(list) > 0 {
			got = fmt.Sprint(len(list), " from ", list[0], " to ", list[len(list)-1])
		}
		if got != want {
			t.Errorf("%s are remembered, want %s", got, want)
		}
	}
	check(now, "0")
	u.add(tokens(0, 3), now)
	u.add(tokens(3, 5), now.Add(time.Second))
	check(now.Add(untoldTime), "5 from 0 to 4")
	check(now.Add(untoldTime+1), "2 from 3 to 4")
	u.add(tokens(5, 7), now.Add(untoldTime))
	check(now.Add(2*untoldTime), "2 from 5 to 6")
	u.add(tokens(7, maxUntold+6), now.Add(untoldTime))
	check(now.Add(2*untoldTime), fmt.Sprint(maxUntold, " from 6 to ", maxUntold+5))
	check(now.Add(3*untoldTime), "0")
}

// Other processes are told only of what they can claim.
func TestLeasedNews(t *testing.T) {
	_, q := openInside(t)
	now := time.Now()
	for _, news := range []bool{false, true} {
		e := &queue.Entry{Message: queue.Message{ID: queue.ID(fmt.Sprint(news)), Expires: now}}
		for n := range 2 {
			e.Jobs = append(e.Jobs, &queue.Job{
				Key: queue.Key{ID: e.Message.ID, N: n}, Domain: "a.example", Due: now, Held: news && n > 0, Recipients: []queue.Recipient{{Address: "a@a.example"}},
			})
		}
		if _, _, err := q.EnqueueLeased(t.Context(), e, queue.LeaseRequest{Now: now, Lease: time.Hour, Jobs: func() []int { return []int{0, 1} }}); err != nil {
			t.Fatal(err)
		}
		q.news.mu.Lock()
		if q.news.active != news {
			t.Errorf("others are told: %v, want %v", q.news.active, news)
		}
		q.news.mu.Unlock()
	}
}
