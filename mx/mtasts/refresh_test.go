package mtasts

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Each step is some time after the one before.
type step struct {
	after   time.Duration
	do      func(*world)
	want    string // the route
	fetches int    // that the route causes, by the time that all is quiet
}

func TestRefresh(t *testing.T) {
	const day = 24 * time.Hour
	policy := func(id string, mode Mode, age time.Duration, patterns ...string) func(*world) {
		return func(w *world) { w.announce("example.org", id, file(mode, age, patterns...)) }
	}
	first := policy("1", Enforce, week, "mx1.example.org")
	for name, steps := range map[string][]step{
		"once a day": {
			{0, first, enforced, 1},
			{day - time.Minute, nil, enforced, 0},
			{time.Minute, nil, enforced, 1},
			{day - time.Minute, nil, enforced, 0},
			{time.Minute, nil, enforced, 1},
			{6 * day, nil, enforced, 1},
		},
		"at half of a short age": {
			{0, policy("1", Enforce, time.Hour, "mx1.example.org"), enforced, 1},
			{29 * time.Minute, nil, enforced, 0},
			{time.Minute, nil, enforced, 1},
			{29 * time.Minute, nil, enforced, 0},
		},
		"five minutes at least": {
			{0, policy("1", Enforce, 0, "mx1.example.org"), enforced, 1},
			{5*time.Minute - time.Second, nil, enforced, 0},
			{0, func(w *world) { w.withdraw("example.org") }, enforced, 0},
			{time.Second, nil, open, 0},
		},
		"a new id": {
			{0, first, enforced, 1},
			{time.Hour, policy("2", Enforce, week, "mx2.example.org"), enforced, 1}, // nobody waits for it
			{0, nil, "mx2.example.org verified", 0},
			{time.Hour, policy("3", None, day), "mx2.example.org verified", 1},
			{0, nil, open, 0},
			{day, nil, open, 1},
			{time.Hour, policy("4", Enforce, day, "mx1.example.org"), open, 1},
			{0, nil, enforced, 0},
		},
		"a new id too soon": {
			{0, first, enforced, 1},
			{time.Minute, policy("2", None, week), enforced, 0},
			{4 * time.Minute, nil, enforced, 1},
			{0, nil, open, 0},
		},
		"a new policy, the old id": {
			{0, first, enforced, 1},
			{time.Hour, policy("1", None, week), enforced, 0},
			{23 * time.Hour, nil, enforced, 1},
			{0, nil, open, 0},
		},
		"no host left: the new policy is waited for": {
			{0, policy("1", Enforce, week, "old.example.org"), "451 4.7.5", 1},
			{time.Hour, policy("2", Enforce, week, "mx1.example.org"), enforced, 1},
		},
		"no host left, nothing new": {
			{0, policy("1", Enforce, week, "old.example.org"), "451 4.7.5", 1},
			{time.Hour, nil, "451 4.7.5", 0},
			{0, func(w *world) { w.announce("example.org", "2", nil) }, "451 4.7.5", 1},
			{time.Minute, nil, "451 4.7.5", 0},
		},
		"the DNS is silenced, the policy host isn't": {
			{0, first, enforced, 1},
			{3 * day, func(w *world) { w.failDNS("example.org") }, enforced, 1},
			{6 * day, nil, enforced, 1},
		},
		"the record is gone, the policy host isn't": {
			{0, first, enforced, 1},
			{3 * day, func(w *world) { w.withdraw("example.org") }, enforced, 0},
			{4*day - time.Second, nil, enforced, 0},
			{time.Second, nil, open, 0},
		},
		"failures are repeated every five minutes": {
			{0, func(w *world) { w.announce("example.org", "1", nil) }, open, 1},
			{0, func(w *world) { w.announce("example.org", "2", nil) }, open, 0},
			{5*time.Minute - time.Second, nil, open, 0},
			{time.Second, nil, open, 1},
			{time.Minute, first, open, 0},
			{4 * time.Minute, nil, enforced, 1},
		},
		"a refresh that fails is repeated every five minutes": {
			{0, first, enforced, 1},
			{day, func(w *world) { w.announce("example.org", "1", nil) }, enforced, 1},
			{time.Minute, nil, enforced, 0},
			{4 * time.Minute, nil, enforced, 1},
			{5 * time.Minute, first, enforced, 1},
			{23 * time.Hour, nil, enforced, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				for i, s := range steps {
					time.Sleep(s.after)
					if s.do != nil {
						s.do(w)
					}
					before := time.Now()
					w.expect(w, "example.org", s.want)
					synctest.Wait()
					if n := w.fetches("example.org"); n != s.fetches {
						t.Errorf("step %d: %d fetches, want %d", i+1, n, s.fetches)
					}
					if took := time.Since(before); took != 0 {
						t.Errorf("step %d took %v", i+1, took)
					}
				}
			})
		})
	}
}

// A policy host that hangs delays its own domain's mail by Timeout, once in five minutes, and no other's.
func TestHangingHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.announce("slow.example", "1", hang)
		w.announce("example.org", "1", file(Enforce, week, "mx1.example.org"))
		start := time.Now()
		done := make(chan time.Duration)
		for range 3 {
			go func() {
				w.expect(w, "slow.example", open)
				done <- time.Since(start)
			}()
		}
		synctest.Wait()
		w.expect(w, "example.org", enforced)
		if took := time.Since(start); took != 0 {
			t.Errorf("the other domain waited %v", took)
		}
		for range 3 {
			if took := <-done; took != time.Minute {
				t.Errorf("waited %v", took)
			}
		}
		w.expect(w, "slow.example", open)
		if took := time.Since(start); took != time.Minute {
			t.Errorf("waited again, until %v", took)
		}
		if n := w.fetches("slow.example"); n != 1 {
			t.Errorf("%d fetches", n)
		}
		w.told()
		w.Timeout = time.Second
		time.Sleep(pause)
		start = time.Now()
		w.expect(w, "slow.example", open)
		if took := time.Since(start); took != time.Second {
			t.Errorf("waited %v, want the Timeout", took)
		}
	})
}

// A refresh isn't waited for, ends by itself, and is ended by Close.
func TestRefreshHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.announce("example.org", "1", file(Enforce, week, "mx1.example.org"))
		w.expect(w, "example.org", enforced)
		w.told()
		w.fetches("example.org")
		for _, closed := range []bool{false, true} {
			time.Sleep(24 * time.Hour)
			w.announce("example.org", "1", hang)
			start := time.Now()
			for range 3 {
				w.expect(w, "example.org", enforced)
			}
			synctest.Wait()
			if closed {
				w.Close()
			} else {
				w.flights.running.Wait()
			}
			if n, took := w.fetches("example.org"), time.Since(start); n != 1 || closed != (took == 0) || took > time.Minute {
				t.Errorf("%d fetches, the end after %v", n, took)
			}
			const told = "example.org: enforce, unmatched [mx2.example.org]"
			want := told + "; " + told + "; " + told + "; example.org: mtasts: example.org: context deadline exceeded"
			if closed {
				want = told + "; " + told + "; " + told
			}
			if got := w.told(); got != want {
				t.Errorf("told %q", got)
			}
		}
		time.Sleep(time.Hour)
		w.expect(w, "example.org", enforced)
		synctest.Wait()
		if n := w.fetches("example.org"); n != 0 {
			t.Errorf("%d fetches after Close", n)
		}
		w.Close()
	})
}

// However many policies are due, few are refreshed at a time.
func TestRefreshesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.Close()
		const n = 3 * maxRefreshes
		domain := func(i int) string { return fmt.Sprintf("d%d.example", i) }
		for i := range n {
			w.announce(domain(i), "1", file(Enforce, week, "mx1.example.org"))
			w.expect(w, domain(i), enforced)
			w.announce(domain(i), "1", hang)
			w.fetches(domain(i))
		}
		time.Sleep(24 * time.Hour)
		sum := func() (sum int) {
			for i := range n {
				w.expect(w, domain(i), enforced)
			}
			synctest.Wait()
			for i := range n {
				sum += w.fetches(domain(i))
			}
			return sum
		}
		for range 3 { // those that had none come next
			if got := sum(); got != maxRefreshes {
				t.Errorf("%d refreshes at a time", got)
			}
			time.Sleep(time.Minute + time.Second)
		}
		if got := sum(); got != 0 {
			t.Errorf("%d refreshes too soon", got)
		}
	})
}
