package queuetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

func depthsCases() []testCase {
	return []testCase{
		{"DepthsCount", "Depths counts each unfinished job of a lane once: as leased, else as held, else as waiting.", depthsCount},
		{"DepthsLanes", "Depths lists each lane that has unfinished jobs, and no other.", depthsLanes},
		{"DepthsNow", "What Depths counts as leased is judged by now.", depthsNow},
		{"DepthsDue", "Due is the earliest Due of the jobs that are neither leased nor held, zero if there are none.", depthsDue},
		{"DepthsAsJobs", "Whatever happened before, Depths says what counting the jobs says.", depthsAsJobs},
		{"DepthsConcurrently", "While jobs come and go no count is below zero, and when they have gone all counts are right.", depthsConcurrently},
		{"DepthsReopen", "After a crash Depths counts what is stored.", depthsReopen},
		{"DepthsLoopBody", "The loop body of Depths may call any method.", depthsLoopBody},
		{"DepthsContext", "Depths gives ctx's error, and nothing else, if ctx has ended before it began.", depthsContext},
	}
}

func (r *run) withDepths() queue.Depths {
	d, ok := r.q.(queue.Depths)
	if !ok {
		r.skip("has no Depths")
	}
	return d
}

// depths shows what Depths says, a line for each lane.
func (r *run) depths(now time.Time) string {
	list := map[queue.Lane]queue.Depth{}
	for d, err := range r.withDepths().Depths(r.ctx, now) {
		r.ok(err, "Depths")
		if _, twice := list[d.Lane]; twice {
			r.fatalf("Depths lists the lane %+v twice", d.Lane)
		}
		list[d.Lane] = d
	}
	return showDepths(list)
}

// counted is what Depths is to say: it counts the listed jobs.
func (r *run) counted(now time.Time) string {
	list := map[queue.Lane]queue.Depth{}
	for _, j := range r.list(queue.Filter{Unfinished: true}) {
		d := list[j.Lane()]
		d.Lane = j.Lane()
		switch {
		case j.Leased.After(now):
			d.Leased++
		case j.Held:
			d.Held++
		default:
			if d.Waiting++; d.Waiting == 1 || j.Due.Before(d.Due) {
				d.Due = j.Due
			}
		}
		list[d.Lane] = d
	}
	return showDepths(list)
}

func showDepths(list map[queue.Lane]queue.Depth) string {
	var lines []string
	for _, d := range list {
		name := fmt.Sprintf("%s %q %d", d.Lane.Domain, d.Lane.Tenant, d.Lane.Priority)
		if d.Lane.Retry {
			name += " retry"
		}
		lines = append(lines, fmt.Sprintf("%s: %d waiting, %d leased, %d held, due %s", name, d.Waiting, d.Leased, d.Held, moment(d.Due)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func depthsCount(r *run) {
	r.withDepths()
	held, both := message("held"), message("both")
	held.Jobs[0].Held, both.Jobs[0].Held = true, true
	r.add(message("due"), message("later", job("example.com", time.Hour)), message("leased"), held, both, message("finished"))
	r.takeKey(queue.Key{ID: "leased"}, 0)
	r.takeKey(queue.Key{ID: "both"}, 0)
	r.commit(finish(r.takeKey(queue.Key{ID: "finished"}, 0)))
	equal(r, r.depths(at(0)), `example.com "" 0: 2 waiting, 2 leased, 1 held, due 0s`, "the lane's depth")
}

func depthsLanes(r *run) {
	r.withDepths()
	equal(r, r.depths(at(0)), "", "the depths of an empty queue")
	held := message("held", job("held.example", 0))
	held.Jobs[0].Held = true
	r.add(
		held,
		message("a", job("a.example", 0), job("b.example", 0)),
		inLane("b", queue.Lane{Domain: "a.example", Tenant: "t", Priority: queue.Low}, 0),
		message("finished", finish(job("finished.example", 0))),
		message("last", job("last.example", 0)),
	)
	r.commit(finish(r.takeKey(queue.Key{ID: "last"}, 0)))
	j := r.takeKey(queue.Key{ID: "a", N: 1}, 0)
	j.Tries, j.Due = 1, at(time.Minute)
	r.commit(j)
	equal(r, r.depths(at(0)), strings.Join([]string{
		`a.example "" 0: 1 waiting, 0 leased, 0 held, due 0s`,
		`a.example "t" -1: 1 waiting, 0 leased, 0 held, due 0s`,
		`b.example "" 0 retry: 1 waiting, 0 leased, 0 held, due 1m0s`,
		`held.example "" 0: 0 waiting, 0 leased, 1 held, due never`,
	}, "\n"), "the depths")
}

func depthsNow(r *run) {
	r.withDepths()
	r.add(message("a"), message("b"))
	r.takeKey(queue.Key{ID: "a"}, 0)
	show := func(d time.Duration) string { return strings.TrimPrefix(r.depths(at(d)), `example.com "" 0: `) }
	equal(r, show(lease-time.Microsecond), "1 waiting, 1 leased, 0 held, due 0s", "the depth before the lease's end")
	equal(r, show(lease), "2 waiting, 0 leased, 0 held, due 0s", "the depth at the lease's end")
	r.claim(queue.ClaimRequest{Now: at(2 * lease)}) // looks ahead only
	equal(r, show(0), "1 waiting, 1 leased, 0 held, due 0s", "the depth at an earlier moment")
}

func depthsDue(r *run) {
	r.withDepths()
	held := message("held", job("example.com", -time.Hour))
	held.Jobs[0].Held = true
	r.add(held, message("c", job("example.com", time.Hour)), message("b", job("example.com", time.Minute)), message("a"))
	due := func() string {
		_, due, _ := strings.Cut(r.depths(at(time.Second)), "due ")
		return due
	}
	for _, want := range []string{"0s", "1m0s", "1h0m0s", "never"} {
		equal(r, due(), want, "Due")
		if want != "never" {
			r.claim(queue.ClaimRequest{Now: at(time.Hour), Limit: 1})
		}
	}
	j := r.takeKey(queue.Key{ID: "held"}, 0)
	j.Held = false
	r.commit(j)
	equal(r, due(), "-1h0m0s", "Due when the held job was released")
}

func depthsAsJobs(r *run) {
	r.withDepths()
	h := r.history()
	for range 150 {
		for range 1 + h.IntN(4) {
			h.step()
		}
		h.claimed(r.claim(h.request()).Jobs)
		now := at(h.some(110))
		equal(r, r.depths(now), r.counted(now), "the depths %v after the beginning", moment(now))
	}
}

func depthsConcurrently(r *run) {
	q := r.withDepths()
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for n := range 10 {
				r.work(message(queue.ID(fmt.Sprintf("m%d-%d", w, n)), job(fmt.Sprintf("d%d.example", n%3), 0)))
				for d, err := range q.Depths(r.ctx, at(0)) {
					if err != nil || d.Waiting < 0 || d.Leased < 0 || d.Held < 0 {
						r.errorf("Depths lists %+v, error %v", d, err)
					}
				}
			}
		})
	}
	workers.Wait()
	equal(r, r.depths(at(0)), r.counted(at(0)), "the depths when all is done")
}

// work enqueues e, and claims a job and commits it as tried.
func (r *run) work(e *queue.Entry) {
	if _, err := r.q.Enqueue(r.ctx, e); err != nil {
		r.errorf("Enqueue: %v", err)
	}
	c, err := r.q.Claim(r.ctx, queue.ClaimRequest{Now: at(0), Lease: lease, Limit: 1})
	if err != nil {
		r.errorf("Claim: %v", err)
	}
	for _, j := range c.Jobs {
		j.Tries, j.Due = 1, at(time.Hour)
		if err := r.q.Commit(r.ctx, j); err != nil {
			r.errorf("Commit of %s: %v", j.Key, err)
		}
	}
}

func depthsReopen(r *run) {
	r.withDepths()
	h := r.history()
	for range 5 {
		for range 30 {
			h.step()
			h.claimed(r.claim(h.request()).Jobs)
		}
		now := at(1000 * time.Hour) // when it doesn't matter whether a crash ends leases
		before := r.depths(now)
		r.reopen()
		equal(r, r.depths(now), before, "the depths after reopening")
		equal(r, r.depths(at(0)), r.counted(at(0)), "the depths after reopening")
		h.leased = nil
	}
}

func depthsLoopBody(r *run) {
	q := r.withDepths()
	seen := map[string]bool{}
	for i := range 5 {
		domain := fmt.Sprintf("d%d.example", i)
		r.add(message(queue.ID(domain), job(domain, 0)))
		seen[domain] = false
	}
	for d, err := range q.Depths(r.ctx, at(0)) {
		r.ok(err, "Depths")
		seen[d.Lane.Domain] = true
		j := r.takeKey(queue.Key{ID: queue.ID(d.Lane.Domain)}, 0)
		r.commit(finish(j), message("more-"+j.Key.ID, job(d.Lane.Domain, 0)))
		r.body("more-" + j.Key.ID)
		r.depths(at(0))
	}
	equal(r, slices.Contains(slices.Collect(maps.Values(seen)), false), false, "whether a lane was left out")
	for range q.Depths(r.ctx, at(0)) {
		break
	}
	equal(r, r.depths(at(0)), r.counted(at(0)), "the depths after a loop that was left early")
}

func depthsContext(r *run) {
	q := r.withDepths()
	r.add(message("a"))
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	r.noDepths(q, ctx, context.Canceled)
}

// noDepths checks that Depths gives one error, want, and nothing else.
func (r *run) noDepths(q queue.Depths, ctx context.Context, want error) {
	errs := 0
	for d, err := range q.Depths(ctx, at(0)) {
		if errs++; d != (queue.Depth{}) {
			r.fatalf("Depths lists %+v, want the error %v alone", d, want)
		}
		r.is(err, want, "Depths")
	}
	equal(r, errs, 1, "how many errors Depths gives")
}
