package boltqueue

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// Whatever happens, the lanes in memory are those of the file, and each begins where nothing is leased.
func TestLanesFollowTheFile(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			q := mustOpen(t, newPath(t), Options{})
			w := wanderer{t: t, q: q, r: rand.New(rand.NewPCG(seed, 0)), now: start}
			for range 150 {
				w.step()
				w.check()
			}
		})
	}
}

// wanderer does what comes to its mind with a queue.
type wanderer struct {
	t      *testing.T
	q      *Queue
	r      *rand.Rand
	now    time.Time
	leased []*queue.Job
	n      int
}

func (w *wanderer) soon() time.Time { return w.now.Add(time.Duration(w.r.IntN(40)-20) * time.Minute) }

func (w *wanderer) step() {
	w.t.Helper()
	switch w.r.IntN(6) {
	case 0, 1:
		w.enqueue()
	case 2, 3:
		w.claim()
	case 4:
		w.commit()
	case 5: // mostly onward
		w.now = w.now.Add(time.Duration(w.r.IntN(40)-10) * time.Minute)
	}
}

func (w *wanderer) enqueue() {
	var domains []string
	for range 1 + w.r.IntN(4) {
		domains = append(domains, fmt.Sprintf("d%d.example", w.r.IntN(5)))
	}
	e := message(queue.ID(fmt.Sprintf("m%d", w.n)), nil, domains...)
	w.n++
	e.Message.Priority = queue.Priority(w.r.IntN(3) - 1)
	e.Message.Expires = w.now.Add(time.Duration(w.r.IntN(300)) * time.Minute)
	for _, j := range e.Jobs {
		j.Due, j.Held = w.soon(), w.r.IntN(5) == 0
	}
	mustEnqueue(w.t, w.q, e)
}

func (w *wanderer) claim() {
	r := queue.ClaimRequest{Now: w.now, Lease: time.Duration(1+w.r.IntN(60)) * time.Minute, Limit: w.r.IntN(5), Expired: w.r.IntN(2) == 0}
	switch w.r.IntN(3) {
	case 0:
		for d := range 3 {
			l := queue.Lane{Domain: fmt.Sprintf("d%d.example", d), Retry: w.r.IntN(2) == 0}
			r.Take = append(r.Take, queue.Take{Lane: l, N: w.r.IntN(4)})
		}
	case 1:
		for range 3 {
			r.Keys = append(r.Keys, queue.Key{ID: queue.ID(fmt.Sprintf("m%d", w.r.IntN(w.n+1))), N: w.r.IntN(2)})
		}
	}
	want := r.Select(w.jobs())
	c, err := w.q.Claim(context.Background(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	key := func(j *queue.Job) queue.Key { return j.Key }
	if got, want := mapped(c.Jobs, key), mapped(want.Jobs, key); !slices.Equal(got, want) {
		w.t.Fatalf("Claim %+v: %q, want %q", r, got, want)
	}
	if same := sameFuture(r.Now); !same(c.Next, want.Next) || !slices.EqualFunc(c.Lanes, want.Lanes, same) {
		w.t.Fatalf("Claim %+v: next %v %v, want %v %v", r, c.Next, c.Lanes, want.Next, want.Lanes)
	}
	w.leased = append(w.leased, c.Jobs...)
}

// sameFuture compares moments of which all up to now are alike.
func sameFuture(now time.Time) func(a, b time.Time) bool {
	return func(a, b time.Time) bool {
		return a.Equal(b) || !a.IsZero() && !b.IsZero() && !a.After(now) && !b.After(now)
	}
}

func (w *wanderer) jobs() (all []*queue.Job) {
	for j, err := range w.q.Jobs(context.Background(), queue.Filter{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, j)
	}
	return all
}

func mapped[A, B any](list []A, f func(A) B) (out []B) {
	for _, a := range list {
		out = append(out, f(a))
	}
	return out
}

// commit ends a lease, if it isn't lost, however long ago it was given.
func (w *wanderer) commit() {
	if len(w.leased) == 0 {
		return
	}
	i := w.r.IntN(len(w.leased))
	j := w.leased[i]
	w.leased = append(w.leased[:i], w.leased[i+1:]...)
	j.Due, j.Held, j.Tries = w.soon(), w.r.IntN(5) == 0, w.r.IntN(3)
	if w.r.IntN(2) == 0 {
		j.Recipients[0].State, j.Finished = queue.Delivered, w.now
	}
	_ = w.q.Commit(context.Background(), j) // the lease may be lost
}

// check compares the lanes in memory with what opening the file anew would find.
func (w *wanderer) check() {
	w.t.Helper()
	c := w.q.claims
	c.mu.Lock()
	defer c.mu.Unlock()
	stored, held := map[queue.Lane][]entry{}, map[queue.Lane]int{}
	err := w.q.view(func(t *tx) error {
		return t.lanes().ForEach(func(k, v []byte) error {
			l, isHeld, n, err := parseLane(k)
			if err != nil {
				return err
			}
			if isHeld {
				held[l]++
				return nil
			}
			e, err := readEntry(k, v, n)
			stored[l] = append(stored[l], e)
			return err
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for name, entries := range stored {
		l := c.lanes.all[name]
		if l == nil {
			w.t.Fatalf("%v is not in memory", name)
		}
		w.checkLane(l, entries)
	}
	for name, n := range held {
		if l := c.lanes.all[name]; l == nil || l.held != n {
			w.t.Fatalf("%v has %d held jobs, in memory: %+v", name, n, l)
		}
	}
	for name, l := range c.lanes.all {
		if stored[name] == nil && held[name] == 0 && !l.stale {
			w.t.Fatalf("%v is in memory and has no job", name)
		}
		if l.free != len(stored[name]) || l.held != held[name] {
			w.t.Fatalf("%v has %d jobs and %d held ones, in memory %d and %d", name, len(stored[name]), held[name], l.free, l.held)
		}
	}
}

// checkLane looks whether l has those of all its entries that it should have.
func (w *wanderer) checkLane(l *lane, all []entry) {
	w.t.Helper()
	c := w.q.claims
	first, away := -1, 0
	for i, e := range all {
		switch le := c.leases[e.key]; {
		case le != nil && le.from == l:
			away++
		case first < 0:
			first = i
		}
	}
	if away != len(l.away) {
		w.t.Fatalf("%v has %d entries of leased jobs, %d in memory", l.Lane, away, len(l.away))
	}
	if l.place >= 0 && (*c.lanes.orderOf(l))[l.place] != l {
		w.t.Fatalf("%v is not where it says", l.Lane)
	}
	switch {
	case first < 0 && l.place >= 0 && !l.stale:
		w.t.Fatalf("%v has no free entry, but a head", l.Lane)
	case first >= 0 && l.place < 0:
		w.t.Fatalf("%v has no head", l.Lane)
	case first >= 0 && l.head.compare(all[first]) > 0, first >= 0 && !l.stale && l.head.compare(all[first]) != 0:
		w.t.Fatalf("%v begins with %v, in memory with %v", l.Lane, all[first], l.head)
	}
}

// Claiming, whatever it is asked for, writes nothing.
func TestClaimWritesNothing(t *testing.T) {
	q := mustOpen(t, newPath(t), Options{})
	for i := range 20 {
		mustEnqueue(t, q, message(queue.ID(fmt.Sprintf("m%d", i)), random(i, 100), "a.example", "b.example"))
	}
	id, before := transactions(t, q), contents(t, q)
	for i, r := range []queue.ClaimRequest{
		{Limit: 5},
		{Limit: 5, Take: []queue.Take{{Lane: queue.Lane{Domain: "b.example"}, N: 5}}},
		{Limit: 5, Keys: []queue.Key{{ID: "m19"}}},
		{Now: start.Add(24 * time.Hour), Limit: 50, Expired: true}, // and the leases before have lapsed
	} {
		r.Lease = time.Hour
		if r.Now.IsZero() {
			r.Now = start
		}
		c, err := q.Claim(context.Background(), r)
		if err != nil || len(c.Jobs) == 0 {
			t.Fatalf("claim %d: %d jobs, error %v", i, len(c.Jobs), err)
		}
	}
	if n := transactions(t, q) - id; n > 0 {
		t.Errorf("claims took %d transactions", n)
	}
	if contents(t, q) != before {
		t.Error("the file has changed")
	}
}

// contents is a sum of all that is in the file.
func contents(t *testing.T, q *Queue) [32]byte {
	t.Helper()
	b, err := os.ReadFile(q.path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// What is claimed while the commit that added it, or that gave it back, is still being noted in memory is not lost to it.
func TestLanesUnderLoad(t *testing.T) {
	q := mustOpen(t, newPath(t), Options{})
	w := wanderer{t: t, q: q, now: start}
	errs := make(chan error)
	const workers, rounds = 16, 40
	for i := range workers {
		go func() { errs <- workOn(q, i, rounds) }()
	}
	for range workers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	w.check()
	for lane, l := range q.claims.lanes.all {
		if len(l.away) > 0 || l.stale {
			t.Errorf("%v: %d leased, stale is %v, and nobody has anything", lane, len(l.away), l.stale)
		}
	}
	if n, jobs := len(claimAll(t, q, start)), len(w.jobs()); n != jobs || n != workers*rounds {
		t.Errorf("%d of %d jobs can be claimed, of %d", n, jobs, workers*rounds)
	}
}

// workOn enqueues messages, and claims and returns as many jobs, its own or those of others.
func workOn(q *Queue, worker, rounds int) error {
	ctx := context.Background()
	for n := range rounds {
		e := message(queue.ID(fmt.Sprintf("w%d-%d", worker, n)), nil, fmt.Sprintf("d%d.example", n%3))
		if _, err := q.Enqueue(ctx, e); err != nil {
			return err
		}
		c, err := q.Claim(ctx, queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 2})
		if err != nil {
			return err
		}
		for _, j := range c.Jobs {
			if err := q.Commit(ctx, j); err != nil {
				return err
			}
		}
	}
	return nil
}
