package boltqueue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// crash opens what a kill leaves of q now, and appends to events what that tells.
func crash(t *testing.T, q *Queue, events *[]Event) *Queue {
	t.Helper()
	path := newPath(t)
	copyFile(t, q.path, path)
	q = mustOpen(t, path, Options{Observe: func(e Event) {
		if events != nil {
			*events = append(*events, e)
		}
	}})
	waitTold(q)
	return q
}

// waitTold waits until every event was told.
func waitTold(q *Queue) {
	for q.observer.busy() {
		time.Sleep(time.Millisecond)
	}
}

// busy reports whether there are events that were not told yet.
func (o *observer) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.telling
}

// newCrashed is a queue of these messages, each of one job in a lane of its own, after an unclean end at which nothing was noted.
func newCrashed(t *testing.T, ids ...queue.ID) *Queue {
	t.Helper()
	q := mustOpen(t, newPath(t), Options{})
	for i, id := range ids {
		e := message(id, random(i, 100), string(id)+".example")
		e.Jobs[0].Due = start.Add(time.Duration(i) * time.Millisecond) // the order in which they are claimed
		mustEnqueue(t, q, e)
	}
	return crash(t, q, nil)
}

// claimSome claims at most n of what is due a moment after start, and returns the IDs.
func claimSome(t *testing.T, q *Queue, n int, after time.Duration) ([]queue.ID, []*queue.Job) {
	t.Helper()
	c, err := q.Claim(t.Context(), queue.ClaimRequest{Now: start.Add(time.Second + after), Lease: time.Hour, Limit: n})
	if err != nil {
		t.Fatal(err)
	}
	var ids []queue.ID
	for _, j := range c.Jobs {
		ids = append(ids, j.Key.ID)
	}
	return ids, c.Jobs
}

func wantClaim(t *testing.T, q *Queue, after time.Duration, want ...queue.ID) []*queue.Job {
	t.Helper()
	ids, jobs := claimSome(t, q, 100, after)
	if !slices.Equal(ids, want) {
		t.Fatalf("claimed %q, want %q", ids, want)
	}
	return jobs
}

// suspected are the suspects, with the ends of each.
func suspected(t *testing.T, q *Queue) string {
	t.Helper()
	q.claims.mu.Lock()
	defer q.claims.mu.Unlock()
	return fmt.Sprint(q.claims.ends)
}

func wantSuspects(t *testing.T, q *Queue, want map[queue.Key]int) {
	t.Helper()
	if got := suspected(t, q); got != fmt.Sprint(want) {
		t.Errorf("suspects and their ends: %s, want %v", got, want)
	}
}

func notes(t *testing.T, q *Queue) (list []note) {
	t.Helper()
	if err := q.view(func(x *tx) (err error) { list, err = x.allNotes(); return err }); err != nil {
		t.Fatal(err)
	}
	return list
}

// One job ends the process whenever it is claimed, eight at a time are worked on, and ends come at every stage of the work on
// the others. After five ends the job is held, one to begin with, one to become a suspect, and three as one; no other is.
func TestPoison(t *testing.T) {
	for seed := range 12 {
		var events []Event
		q := mustOpen(t, newPath(t), Options{})
		for i := range 40 {
			mustEnqueue(t, q, message(queue.ID(fmt.Sprintf("m%02d", i)), random(i, 100), fmt.Sprintf("d%d.example", i%7)))
			if i == seed {
				mustEnqueue(t, q, message("poison", random(1, 100), "d3.example"))
			}
		}
		ends := 0
		var work []*queue.Job
		for moment, left := time.Duration(0), 40; left > 0 || len(events) == 0 && ends < 10; moment += 100 * time.Millisecond {
			_, claimed := claimSome(t, q, 8-len(work), moment)
			work = append(work, claimed...)
			if i := slices.IndexFunc(work, func(j *queue.Job) bool { return j.Key.ID == "poison" }); i >= 0 && len(work) > min(left, seed%4) {
				for _, j := range slices.Delete(work, i, i+1)[:min(left, seed%2)] { // some are just being committed
					finish(t, q, j, start)
					left--
				}
				q, work = crash(t, q, &events), nil
				ends++
				continue
			}
			if len(work) > 0 && work[0].Key.ID != "poison" {
				finish(t, q, work[0], start)
				work, left = work[1:], left-1
			}
		}
		if ends != 5 {
			t.Errorf("seed %d: it ended %d times", seed, ends)
		}
		if !slices.Equal(events, []Event{Poisoned{queue.Key{ID: "poison"}}}) {
			t.Errorf("seed %d: events %v", seed, events)
		}
		for j, err := range q.Jobs(t.Context(), queue.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if poison := j.Key.ID == "poison"; j.Held != poison || j.Finished.IsZero() != poison {
				t.Errorf("seed %d: %q is held: %v, finished: %v", seed, j.Key, j.Held, !j.Finished.IsZero())
			}
		}
		checkIndexes(t, q)
	}
}

// Suspects are given out one at a time, beside those that are none, and each is cleared by its commit.
func TestSuspectsWaitForEachOther(t *testing.T) {
	q := newCrashed(t, "a", "b", "c", "d", "e")
	if ids, _ := claimSome(t, q, 3, 0); len(ids) != 3 {
		t.Fatal(ids)
	}
	q = crash(t, q, nil)
	a, b, c := queue.Key{ID: "a"}, queue.Key{ID: "b"}, queue.Key{ID: "c"}
	wantSuspects(t, q, map[queue.Key]int{a: 1, b: 1, c: 1})
	jobs := wantClaim(t, q, 0, "a", "d", "e")
	wantClaim(t, q, time.Second)

	finish(t, q, jobs[1], start) // which is no suspect
	wantClaim(t, q, time.Second)
	finish(t, q, jobs[0], start)
	wantSuspects(t, q, map[queue.Key]int{b: 1, c: 1})
	if jobs = wantClaim(t, q, time.Second, "b"); jobs[0].Lapses != 0 {
		t.Errorf("%d lapses of a job that nobody has had", jobs[0].Lapses)
	}
	for i, j := range wantClaim(t, q, time.Second+time.Hour, "b", "e") { // their leases have ended
		if j.Lapses != 1 {
			t.Errorf("%d lapses of %q, whose lease has ended", j.Lapses, j.Key)
		}
		if i == 0 {
			finish(t, q, j, start)
		}
	}
	wantClaim(t, q, time.Second+time.Hour, "c")
	checkIndexes(t, q)
}

// Every way to claim by time keeps suspects apart, and asks to come back soon. By key they are had at any time.
func TestWaysToClaimSuspects(t *testing.T) {
	lanes := []queue.Take{{Lane: queue.Lane{Domain: "b.example"}, N: 5}, {Lane: queue.Lane{Domain: "c.example"}, N: 5}}
	for name, r := range map[string]queue.ClaimRequest{
		"any lane": {},
		"by lane":  {Take: lanes},
		"expired":  {Take: []queue.Take{}, Expired: true},
	} {
		q := newCrashed(t, "a", "b", "c")
		wantClaim(t, q, 0, "a", "b", "c")
		q = crash(t, q, nil)
		if ids, _ := claimSome(t, q, 1, 0); !slices.Equal(ids, []queue.ID{"a"}) {
			t.Fatal(ids)
		}
		r.Now, r.Lease, r.Limit = start.Add(59*time.Minute), 10*time.Hour, 100
		if r.Expired {
			r.Now = start.Add(60 * time.Minute)
		}
		for range 3 {
			c, err := q.Claim(t.Context(), r)
			if err != nil || len(c.Jobs) != 0 {
				t.Errorf("%s: %v, error %v", name, c.Jobs, err)
			}
			for _, next := range append(c.Lanes, c.Next) {
				if wait := next.Sub(r.Now); wait <= 0 || wait > suspectWait {
					t.Errorf("%s: to come back in %v", name, wait)
				}
			}
			r.Now = r.Now.Add(suspectWait / 4)
			for _, j := range listed(t, q) {
				if (j.Key.ID == "a") == j.Leased.IsZero() || j.Lapses != 0 {
					t.Errorf("%s: %q is listed as leased until %v, with %d lapses", name, j.Key, j.Leased, j.Lapses)
				}
			}
		}
		r.Now = start.Add(2 * time.Hour) // the lease of a has ended
		if c, err := q.Claim(t.Context(), r); err != nil || len(c.Jobs) != 1 {
			t.Errorf("%s: %v, error %v", name, c.Jobs, err)
		}
		r.Keys = []queue.Key{{ID: "a"}, {ID: "b"}, {ID: "c"}}
		if c, err := q.Claim(t.Context(), r); err != nil || len(c.Jobs) != 2 {
			t.Errorf("%s: by key %v, error %v", name, c.Jobs, err)
		}
	}
}

func listed(t *testing.T, q *Queue) (jobs []*queue.Job) {
	t.Helper()
	for j, err := range q.Jobs(t.Context(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// A job that was a suspect, and is worked on again, keeps no suspect waiting.
func TestClearedSuspectKeepsNobodyWaiting(t *testing.T) {
	q := newCrashed(t, "a", "b")
	wantClaim(t, q, 0, "a", "b")
	q = crash(t, q, nil)
	if err := q.Commit(t.Context(), wantClaim(t, q, 0, "a")[0]); err != nil {
		t.Fatal(err)
	}
	if ids, _ := claimSome(t, q, 1, 0); !slices.Equal(ids, []queue.ID{"a"}) {
		t.Fatal(ids)
	}
	wantClaim(t, q, 0, "b")
}

// Who had a suspect last can commit it while it waits for another one.
func TestLateCommitOfSuspect(t *testing.T) {
	q := newCrashed(t, "a", "b")
	wantClaim(t, q, 0, "a", "b")
	q = crash(t, q, nil)
	late := wantClaim(t, q, 0, "a")[0]
	c, err := q.Claim(t.Context(), queue.ClaimRequest{
		Now: start.Add(2 * time.Hour), Lease: time.Hour, Limit: 5, Take: []queue.Take{{Lane: queue.Lane{Domain: "b.example"}, N: 1}},
	})
	if err != nil || len(c.Jobs) != 1 {
		t.Fatalf("%v, error %v", c.Jobs, err)
	}
	wantClaim(t, q, 2*time.Hour) // puts a off
	finish(t, q, late, start)
	wantSuspects(t, q, map[queue.Key]int{{ID: "b"}: 1})
}

// Ends that hit the only suspect leased count against it, and nothing but its own commit takes that back: not time, and
// not a life that ended with Close.
func TestEndsInARow(t *testing.T) {
	a, b := queue.Key{ID: "a"}, queue.Key{ID: "b"}
	var events []Event
	q := newCrashed(t, "a", "b")
	wantClaim(t, q, 0, "a", "b")
	q = crash(t, q, &events)
	wantSuspects(t, q, map[queue.Key]int{a: 1, b: 1})
	q = crash(t, q, &events) // with nothing leased
	wantSuspects(t, q, map[queue.Key]int{a: 1, b: 1})
	wantClaim(t, q, time.Hour, "a")
	q = crash(t, q, &events)
	wantSuspects(t, q, map[queue.Key]int{a: 2, b: 1})

	wantClaim(t, q, 0, "a")
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = mustOpen(t, q.path, Options{})
	wantSuspects(t, q, map[queue.Key]int{a: 2, b: 1})
	if q.claims.noting {
		t.Error("claims are noted after a life that ended with Close")
	}
	for _, n := range notes(t, q) {
		if n.leased {
			t.Errorf("%q is noted as leased after Close", n.key)
		}
	}
	wantClaim(t, q, 0, "a") // a suspect, so it is noted
	q = crash(t, q, &events)
	wantSuspects(t, q, map[queue.Key]int{a: 3, b: 1})

	jobs := wantClaim(t, q, 0, "a")
	jobs[0].Due = start.Add(time.Hour)
	if err := q.Commit(t.Context(), jobs[0]); err != nil {
		t.Fatal(err)
	}
	q = crash(t, q, &events)
	wantSuspects(t, q, map[queue.Key]int{b: 1})
	if len(events) > 0 {
		t.Errorf("events %v", events)
	}
}

// poisoned is a queue whose job "a" is held as poison.
func poisoned(t *testing.T) *Queue {
	t.Helper()
	var events []Event
	q := newCrashed(t, "a")
	for range 4 {
		wantClaim(t, q, 0, "a")
		if len(events) > 0 {
			t.Fatalf("events before the last end: %v", events)
		}
		q = crash(t, q, &events)
	}
	if !slices.Equal(events, []Event{Poisoned{queue.Key{ID: "a"}}}) {
		t.Fatalf("events %v", events)
	}
	return crash(t, q, &events) // which is told once only
}

// A job that is held as poison is had by key, and once it has expired, as any held job.
func TestHeldPoison(t *testing.T) {
	q := poisoned(t)
	if jobs := listed(t, q); len(jobs) != 1 || !jobs[0].Held {
		t.Fatalf("listed: %+v", jobs)
	}
	wantClaim(t, q, 0)
	c, err := q.Claim(t.Context(), queue.ClaimRequest{Now: start.Add(time.Hour), Lease: time.Hour, Limit: 1, Expired: true})
	if err != nil || len(c.Jobs) != 1 {
		t.Fatalf("once it has expired: %v, error %v", c.Jobs, err)
	}
	if list := notes(t, q); len(list) != 1 || !list[0].leased {
		t.Errorf("it is not noted when claimed: %+v", list)
	}
	var events []Event
	q = crash(t, q, &events)
	if len(events) > 0 {
		t.Errorf("what is held already is told again: %v", events)
	}
	checkIndexes(t, q)
}

// A job that the host releases is no suspect any more.
func TestReleasedPoison(t *testing.T) {
	q := poisoned(t)
	a := queue.Key{ID: "a"}
	c, err := q.Claim(t.Context(), queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 1, Keys: []queue.Key{a}})
	if err != nil || len(c.Jobs) != 1 {
		t.Fatalf("by key: %v, error %v", c.Jobs, err)
	}
	c.Jobs[0].Held = false
	if err := q.Commit(t.Context(), c.Jobs[0]); err != nil {
		t.Fatal(err)
	}
	wantSuspects(t, q, map[queue.Key]int{})
	wantClaim(t, q, 0, "a")
	q = crash(t, q, nil)
	wantSuspects(t, q, map[queue.Key]int{a: 1})
	checkIndexes(t, q)
}

// Whatever happens while there are suspects, no two are leased by claims that could have had either, the lanes in memory are
// those of the file, and in the end all mail has been claimed.
func TestLanesAmongSuspects(t *testing.T) {
	for seed := range uint64(6) {
		w := wanderer{t: t, q: mustOpen(t, newPath(t), Options{}), r: rand.New(rand.NewPCG(seed, 1)), now: start}
		for i := range 240 {
			if i%40 == 20 {
				w.q, w.leased = crash(t, w.q, nil), nil
			}
			if w.r.IntN(2) == 0 {
				w.claimApart()
			} else if w.r.IntN(3) == 0 {
				w.enqueue()
			} else {
				w.commit()
			}
			w.now = w.now.Add(time.Duration(w.r.IntN(90)) * time.Second)
			w.check()
		}
		for round := 0; len(list(t, w.q, queue.Filter{Unfinished: true})) > 0; round++ {
			if round > 1000 {
				t.Fatalf("seed %d: never claimed: %q", seed, list(t, w.q, queue.Filter{Unfinished: true}))
			}
			w.now = w.now.Add(time.Minute)
			for _, j := range w.claimApart() {
				finish(t, w.q, j, w.now)
			}
			w.check()
		}
	}
}

// claimApart claims, and sees that no two suspects are leased.
func (w *wanderer) claimApart() []*queue.Job {
	w.t.Helper()
	c, err := w.q.Claim(w.t.Context(), queue.ClaimRequest{Now: w.now, Lease: 10 * time.Minute, Limit: 1 + w.r.IntN(6), Expired: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.leased = append(w.leased, c.Jobs...)
	w.q.claims.mu.Lock()
	defer w.q.claims.mu.Unlock()
	var leased []queue.Key
	for k := range w.q.claims.ends {
		if l := w.q.claims.leases[k]; l != nil && !l.idle && l.end.After(w.now) {
			leased = append(leased, k)
		}
	}
	if len(leased) > 1 {
		w.t.Fatalf("suspects are leased at the same time: %q", leased)
	}
	return c.Jobs
}
