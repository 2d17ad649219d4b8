package queuetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/iotest"
	"time"

	"github.com/postroad/postroad/queue"
)

func leaserCases() []testCase {
	return slices.Concat([]testCase{
		{"LeaserStores", "EnqueueLeased stores an entry as Enqueue does.", leaserStores},
		{"LeaserHead", "EnqueueLeased looks at Digest only after Head has returned, and stores what it returns before Body.", leaserHead},
		{"LeaserSameID", "EnqueueLeased of an ID that is stored with the same Digest changes nothing and leases nothing.", leaserSameID},
		{"LeaserConflict", "EnqueueLeased of an ID that is stored with another Digest is ErrConflict, and leases nothing.", leaserConflict},
		{"LeaserConcurrently", "Of several EnqueueLeased of one ID exactly one adds it, and only that one leases.", leaserConcurrently},
		{"LeaserInvalid", "A Lease that is not positive, a job that the entry doesn't have, and a bad entry are ErrInvalid: nothing is stored.", leaserInvalid},
		{"LeaserAsks", "EnqueueLeased asks once which jobs to lease, when Body and Head were read.", leaserAsks},
		{"LeaserBodyFails", "An error of Body or Head is returned by EnqueueLeased, wrapped, and nothing is stored.", leaserBodyFails},
		{"LeaserSlow", "A Body or Head that takes its time keeps no other method waiting for EnqueueLeased.", leaserSlow},
		{"LeaserCopies", "The entry, the request and the leased jobs are the caller's when EnqueueLeased returns.", leaserCopies},
		{"LeaserContext", "EnqueueLeased returns ctx's error, and reads no body, if ctx has ended before it began.", leaserContext},
		{"LeaserEnds", "When ctx ends during EnqueueLeased, the error says whether the message was stored.", leaserEnds},
		{"LeaserFull", "EnqueueLeased to a full queue is ErrFull, as Enqueue is, and leases nothing.", leaserFull},
		{"LeaserWakes", "The channel of Wake receives after another process has enqueued with EnqueueLeased and left something to be claimed.", leaserWakes},
	}, leasedCases())
}

func (r *run) leaser() queue.Leaser {
	l, ok := r.q.(queue.Leaser)
	if !ok {
		r.skip("has no EnqueueLeased")
	}
	return l
}

// leasing asks for these jobs, d after the beginning.
func leasing(d time.Duration, jobs ...int) queue.LeaseRequest {
	return queue.LeaseRequest{Now: at(d), Lease: lease, Jobs: named(jobs...)}
}

// named is what names jobs by these numbers.
func named(numbers ...int) func() []int { return func() []int { return numbers } }

// addLeased enqueues a new message and leases what l names of it.
func (r *run) addLeased(e *queue.Entry, l queue.LeaseRequest) []*queue.Job {
	jobs, added, err := r.leaser().EnqueueLeased(r.ctx, e, l)
	r.ok(err, "EnqueueLeased %s", e.Message.ID)
	equal(r, added, true, "EnqueueLeased %s: added", e.Message.ID)
	return jobs
}

// addsNothing checks that EnqueueLeased ends with want, which may be nil, and neither adds nor leases.
func (r *run) addsNothing(ctx context.Context, e *queue.Entry, l queue.LeaseRequest, want error, format string, args ...any) {
	jobs, added, err := r.leaser().EnqueueLeased(ctx, e, l)
	if want == nil {
		r.ok(err, "EnqueueLeased "+format, args...)
	} else {
		r.is(err, want, "EnqueueLeased "+format, args...)
	}
	equal(r, added, false, "added, EnqueueLeased "+format, args...)
	equal(r, len(jobs), 0, "how many jobs are leased, EnqueueLeased "+format, args...)
}

func leaserStores(r *run) {
	e := full("a")
	e.Jobs = append(e.Jobs, job("example.org", 0), finish(job("example.edu", 0)))
	e.Jobs[2].Key, e.Jobs[3].Key = queue.Key{ID: "a", N: 2}, queue.Key{ID: "a", N: 3}
	e.Jobs[1].Token, e.Jobs[1].Leased, e.Jobs[1].Lapses = 77, at(lease), 5
	equal(r, keys(r.addLeased(e, leasing(0, 2))), "a/2", "the leased jobs")
	jobs := r.list(queue.Filter{})
	equal(r, keys(jobs), "a a/1 a/2 a/3", "what Jobs lists")
	for i, j := range jobs {
		w := want(e, len(text("a")), e.Jobs[i])
		switch i {
		case 1:
			w.Leased = time.Time{}
		case 2:
			w.Leased = at(lease)
		case 3:
			equal(r, j.Mark() > 0, true, "whether the recipient has a mark that had ended")
			w.Recipients[0].Mark = j.Mark()
		}
		equal(r, describe(j), describe(w), "job %d as listed", i)
	}
	equal(r, r.body("a"), text("a"), "the body")
}

func leaserHead(r *run) {
	make := func(word string) *queue.Entry {
		e := message("a")
		e.Message.Digest = [32]byte{}
		e.Head = func() ([]byte, error) {
			e.Message.Digest, e.Message.UTF8 = sha256.Sum256([]byte(word)), true
			return []byte("Received: here\r\n"), nil
		}
		return e
	}
	j := r.addLeased(make("one"), leasing(0, 0))[0]
	equal(r, r.body("a"), "Received: here\r\n"+text("a"), "the body")
	equal(r, j.Message.Size, int64(len(r.body("a"))), "Size of the leased job")
	equal(r, j.Message.UTF8, true, "UTF8 of the leased job, which Head set")
	equal(r, j.Message.Digest, sha256.Sum256([]byte("one")), "Digest of the leased job, which Head set")
	r.addsNothing(r.ctx, make("one"), leasing(0, 0), nil, "with the same Digest, set by Head")
	r.addsNothing(r.ctx, make("two"), leasing(0, 0), queue.ErrConflict, "with another Digest, set by Head")
}

func leaserSameID(r *run) {
	j := r.addLeased(message("leased"), leasing(0, 0))[0]
	r.add(message("waiting"))
	r.commit(finish(r.addLeased(message("finished"), leasing(0, 0))[0]))
	before := r.state()
	for _, id := range []queue.ID{"leased", "waiting", "finished"} {
		again := message(id, job("example.net", 0), job("example.org", 0))
		r.addsNothing(r.ctx, again, leasing(0, 0, 1), nil, "of a stored ID, %s", id)
		r.unchanged(before, "EnqueueLeased of a stored ID, %s", id)
		added, err := r.q.Enqueue(r.ctx, message(id))
		r.ok(err, "Enqueue of a stored ID, %s", id)
		equal(r, added, false, "added")
	}
	equal(r, keys(r.due(0)), "waiting", "what is claimable")
	r.commit(finish(j))
}

func leaserConflict(r *run) {
	j := r.addLeased(message("leased"), leasing(0, 0))[0]
	r.add(message("waiting"))
	before := r.state()
	for _, id := range []queue.ID{"leased", "waiting"} {
		r.addsNothing(r.ctx, other(id), leasing(0, 0), queue.ErrConflict, "with another Digest of %s", id)
		r.unchanged(before, "EnqueueLeased with another Digest of %s", id)
		_, err := r.q.Enqueue(r.ctx, other(id))
		r.is(err, queue.ErrConflict, "Enqueue with another Digest of %s", id)
	}
	equal(r, keys(r.due(0)), "waiting", "what is claimable")
	r.commit(finish(j))
}

func leaserConcurrently(r *run) {
	l := r.leaser()
	for _, id := range []queue.ID{"a", "b", "c", "d"} {
		var wg sync.WaitGroup
		var count atomic.Int64
		for range 8 {
			r.fails(&wg, func() error {
				jobs, added, err := l.EnqueueLeased(r.ctx, message(id), leasing(0, 0))
				if !added && len(jobs) == 0 || err != nil {
					return err
				}
				count.Add(1)
				if len(jobs) != 1 {
					return fmt.Errorf("EnqueueLeased leases %q, want one job of %s", keys(jobs), id)
				}
				return r.q.Commit(r.ctx, finish(jobs[0]))
			})
		}
		wg.Wait()
		equal(r, count.Load(), 1, "how many of 8 EnqueueLeased of %s have added or leased it", id)
	}
	equal(r, keys(r.list(queue.Filter{Ended: true})), "a b c d", "what has ended")
}

func leaserInvalid(r *run) {
	bad := map[string]func(*queue.Entry, *queue.LeaseRequest){
		"no lease":                      func(_ *queue.Entry, l *queue.LeaseRequest) { l.Lease = 0 },
		"a lease that ends before it":   func(_ *queue.Entry, l *queue.LeaseRequest) { l.Lease = -1 },
		"no lease of no job":            func(_ *queue.Entry, l *queue.LeaseRequest) { l.Lease, l.Jobs = 0, named() },
		"a job that is one too far":     func(_ *queue.Entry, l *queue.LeaseRequest) { l.Jobs = named(2) },
		"a job before the first one":    func(_ *queue.Entry, l *queue.LeaseRequest) { l.Jobs = named(-1) },
		"a job too many":                func(_ *queue.Entry, l *queue.LeaseRequest) { l.Jobs = named(0, 1, 2) },
		"an entry without jobs":         func(e *queue.Entry, _ *queue.LeaseRequest) { e.Jobs = nil },
		"an entry with a nil job":       func(e *queue.Entry, _ *queue.LeaseRequest) { e.Jobs[1] = nil },
		"an entry that has a bad field": func(e *queue.Entry, _ *queue.LeaseRequest) { e.Jobs[1].Recipients = nil },
	}
	for name, change := range bad {
		e, l := message("a", job("a.example", 0), job("b.example", 0)), leasing(0, 0, 1)
		change(e, &l)
		r.addsNothing(r.ctx, e, l, queue.ErrInvalid, "with %s", name)
	}
	r.nothing("a")
}

func leaserAsks(r *run) {
	e, l := message("a", job("a.example", 0), job("b.example", 0)), leasing(0)
	var calls []string
	call := func(name string) { calls = append(calls, name) }
	e.Body = io.MultiReader(e.Body, action(func() { call("Body") }))
	e.Head = func() ([]byte, error) { call("Head"); return nil, nil }
	l.Jobs = func() []int { call("Jobs"); return []int{1} }
	equal(r, keys(r.addLeased(e, l)), "a/1", "the leased jobs")
	equal(r, strings.Join(calls, " "), "Body Head Jobs", "what was called")
}

func leaserBodyFails(r *run) {
	broken := errors.New("broken")
	for _, read := range []string{"", "half a body", strings.Repeat("much of a body\r\n", 50_000)} {
		e := message("a")
		e.Body = io.MultiReader(strings.NewReader(read), iotest.ErrReader(broken))
		r.addsNothing(r.ctx, e, leasing(0, 0), broken, "with a Body that fails after %d octets", len(read))
	}
	e := message("a")
	e.Head = func() ([]byte, error) { return []byte("Half-"), broken }
	r.addsNothing(r.ctx, e, leasing(0, 0), broken, "with a Head that fails")
	r.nothing("a")
}

func leaserSlow(r *run) {
	busy := func(id queue.ID) {
		r.commit(finish(r.addLeased(message(id), leasing(0, 0))[0]))
		r.add(message(id + "-too"))
		r.commit(finish(r.take(0)))
		equal(r, keys(r.list(queue.Filter{ID: "a"})), "", "what is stored of a message whose body is read")
	}
	e := message("a")
	e.Body = io.MultiReader(e.Body, action(func() { busy("b") }))
	e.Head = func() ([]byte, error) { busy("c"); return nil, nil }
	equal(r, keys(r.addLeased(e, leasing(0, 0))), "a", "the leased jobs")
	equal(r, r.body("a"), text("a"), "the body")
}

func leaserCopies(r *run) {
	e, numbers := full("a"), []int{1, 0}
	l := leasing(0, numbers...)
	e.Jobs[0].Held = false
	jobs := r.addLeased(e, l)
	equal(r, keys(jobs), "a a/1", "the leased jobs")
	equal(r, slices.Equal(numbers, []int{1, 0}), true, "whether what Jobs of the request returns is as it was")
	before, own := r.state(), describe(jobs[0])
	change := func(m *queue.Message, j *queue.Job) {
		m.Labels[0], m.Tenant, j.Recipients[0].Address, j.Attempts[0].TLS, j.Held = "changed", "changed", "changed", "changed", true
	}
	change(&e.Message, e.Jobs[0])
	numbers[0] = 0
	r.unchanged(before, "a change of the caller's entry")
	equal(r, describe(jobs[0]), own, "a leased job after a change of the entry")
	change(&jobs[0].Message, jobs[0])
	r.unchanged(before, "a change of a leased job")
}

func leaserContext(r *run) {
	cancelled, cancel := context.WithCancel(r.ctx)
	cancel()
	late, cancel := context.WithDeadline(r.ctx, time.Unix(0, 0))
	defer cancel()
	for _, ctx := range []context.Context{cancelled, late} {
		e := message("a")
		e.Body = action(func() { r.errorf("the body was read") })
		e.Head = func() ([]byte, error) { r.errorf("Head was called"); return nil, nil }
		r.addsNothing(ctx, e, leasing(0, 0), ctx.Err(), "with a ctx that had ended")
	}
	r.nothing("a")
}

func leaserEnds(r *run) {
	l := r.leaser()
	r.endsDuring("EnqueueLeased", func(ctx context.Context, e *queue.Entry) (bool, error) {
		jobs, added, err := l.EnqueueLeased(ctx, e, leasing(0, 0))
		equal(r, len(jobs) == 1, added, "whether the job is leased after EnqueueLeased returned added %v and %v", added, err)
		return added, err
	})
}

func leaserFull(r *run) {
	r.leaser()
	r.fill()
	before := r.state()
	r.addsNothing(r.ctx, message("more"), leasing(0, 0), queue.ErrFull, "to a full queue")
	r.addsNothing(r.ctx, message("m1"), leasing(0, 0), nil, "of a stored ID")
	r.addsNothing(r.ctx, other("m1"), leasing(0, 0), queue.ErrConflict, "of a stored ID with another Digest")
	r.unchanged(before, "EnqueueLeased to a full queue")
	_, err := r.q.Open(r.ctx, "more")
	r.is(err, queue.ErrNotFound, "Open of a message that was refused")
	r.ends(queue.Key{ID: "m1"})
	r.ends(queue.Key{ID: "m1", N: 1})
	j := r.addLeased(message("more"), leasing(0, 0))[0]
	r.isFull("yet-more")
	r.commit(finish(j))
	r.addLeased(message("yet-more"), leasing(0, 0))
}

func leaserWakes(r *run) {
	r.leaser()
	w, there := r.waker(), r.another().(queue.Leaser)
	c := w.Wake(r.ctx)
	_, _, err := there.EnqueueLeased(r.ctx, message("a", job("a.example", 0), job("b.example", 0)), leasing(0, 0))
	r.ok(err, "EnqueueLeased")
	r.woken(c, "after an EnqueueLeased by another process")
	equal(r, keys(r.due(0)), "a/1", "what is claimable")
}
