package mtasts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Routes that come while a policy is fetched wait for it, and fetch nothing.
func TestOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.announce("example.org", "1", slow(time.Second, file(Enforce, week, "mx1.example.org")))
		done := make(chan bool)
		for range 10 {
			go func() {
				w.expect(w, "example.org", enforced)
				done <- true
			}()
		}
		for range 10 {
			<-done
		}
		if n := w.fetches("example.org"); n != 1 {
			t.Errorf("%d fetches", n)
		}
		if n := len(w.flights.byDomain); n != 0 {
			t.Errorf("%d fetches are remembered, though the policies are stored", n)
		}
	})
}

// When the one who fetches gives up, one of those who wait goes on; nobody takes that for a failure of the policy host.
func TestLeaderGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.announce("example.org", "1", slow(10*time.Second, file(Enforce, week, "mx1.example.org")))
		cancelled, cancel := context.WithCancel(t.Context())
		deadline, stop := context.WithTimeout(t.Context(), 2*time.Second)
		defer stop()
		done := make(chan string)
		for _, ctx := range []context.Context{cancelled, deadline, t.Context()} {
			go func() { done <- outcome(w.Route(ctx, "example.org")) }()
			synctest.Wait()
		}
		time.Sleep(time.Second)
		cancel()
		for i, want := range []string{"451 4.3.0", "451 4.3.0", enforced} {
			if got := <-done; got != want {
				t.Errorf("the end %d is %s, want %s", i+1, got, want)
			}
		}
		if told := w.told(); told != "example.org: enforce, unmatched [mx2.example.org]" {
			t.Errorf("told %q", told)
		}
	})
}

// A Route whose caller has no time is an error, not a route without a policy.
func TestCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.announce("example.org", "1", hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Route(ctx, "example.org"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if _, err := w.Route(ctx, "example.org"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		w.announce("example.org", "1", file(Enforce, week, "mx1.example.org"))
		w.expect(w, "example.org", enforced)
		w.fetches("example.org")
		time.Sleep(48 * time.Hour)
		if _, err := w.Route(ctx, "example.org"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		synctest.Wait()
		if n := w.fetches("example.org"); n != 0 {
			t.Errorf("%d fetches for a caller who is gone", n)
		}
	})
}

// Close returns when nothing goes on any more.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.announce("example.org", "1", file(Enforce, week, "mx1.example.org"))
		w.expect(w, "example.org", enforced)
		time.Sleep(24 * time.Hour)
		w.announce("example.org", "1", tripFunc(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			time.Sleep(time.Second)
			return nil, r.Context().Err()
		}))
		w.expect(w, "example.org", enforced)
		start := time.Now()
		w.Close()
		if took := time.Since(start); took != time.Second {
			t.Errorf("closed after %v", took)
		}
	})
}

// A refresh that Close ends doesn't take those along who wait for it.
func TestCloseWithWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.announce("example.org", "1", file(Enforce, time.Hour, "mx1.example.org"))
		w.expect(w, "example.org", enforced)
		time.Sleep(time.Hour - 30*time.Second)
		w.announce("example.org", "1", slow(50*time.Second, file(Enforce, week, "mx2.example.org")))
		w.expect(w, "example.org", enforced) // and refreshes
		time.Sleep(30 * time.Second)         // expired
		done := make(chan bool)
		go func() {
			w.expect(w, "example.org", "mx2.example.org verified")
			done <- true
		}()
		synctest.Wait()
		w.Close()
		<-done
	})
}

// One who comes too late to wait for a fetch finds what it stored, as does another process.
func TestFetchedMeanwhile(t *testing.T) {
	w := newWorld(t)
	store := &disk{}
	w.announce("example.org", "1", file(Enforce, week, "mx1.example.org"))
	w.expect(w.start(store), "example.org", enforced)
	if found := w.start(store).fetch(t.Context(), "example.org", "2"); found == nil || found.id != "1" {
		t.Errorf("found %+v", found)
	}
	if n := w.fetches("example.org"); n != 1 {
		t.Errorf("%d fetches", n)
	}
	if _, due := w.due(t.Context(), "example.org", &kept{&Policy{}, "2", time.Now()}); due {
		t.Error("another fetch is due at once")
	}
}

// What is remembered of fetches is bounded, and fetches under way are not forgotten.
func TestFlightsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s flights
		running, _ := s.join("running.example", "1")
		for i := range 3 * maxFlights {
			f, mine := s.join(fmt.Sprintf("%d.example", i), "1")
			if !mine {
				t.Fatalf("%s was there before", f.domain)
			}
			s.end(f, false)
		}
		if n := len(s.byDomain); n > maxFlights || n < maxFlights/2 {
			t.Errorf("%d are remembered", n)
		}
		if f, mine := s.join("running.example", "1"); mine || f != running {
			t.Error("a flight was forgotten while it was under way")
		}
		time.Sleep(pause)
		s.forget()
		if n := len(s.byDomain); n != 1 {
			t.Errorf("%d are remembered after the pause", n)
		}
	})
}

// Many at once: the race detector's test.
func TestConcurrentRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.announce("good.example", "1", file(Enforce, 10*time.Minute, "mx1.example.org"))
		w.announce("slow.example", "1", slow(2*time.Second, file(Enforce, 10*time.Minute, "mx1.example.org")))
		w.announce("hanging.example", "1", hang)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*10*time.Minute)
				defer cancel()
				for ctx.Err() == nil {
					time.Sleep(time.Duration(i+1) * time.Second)
					for domain, want := range map[string]string{"good.example": enforced, "slow.example": enforced, "hanging.example": open} {
						if got := outcome(w.Route(ctx, domain)); got != want && ctx.Err() == nil {
							t.Errorf("%s: %s", domain, got)
						}
					}
				}
			})
		}
		time.Sleep(100 * time.Minute)
		w.Close()
		wg.Wait()
	})
}
