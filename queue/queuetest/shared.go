package queuetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

func sharedCases() []testCase {
	return []testCase{
		{"AnotherSees", "What one process stores another one lists, reads, claims and commits.", anotherSees},
		{"AnotherClaims", "A job that one process has leased is no other's, however many claim at once.", anotherClaims},
		{"WakeReceives", "The channel of Wake receives after another process has enqueued, by itself or with a commit.", wakeReceives},
		{"WakeUnread", "Who enqueues doesn't wait for those who are to be woken.", wakeUnread},
		{"WakeEnds", "The channel of Wake is closed when ctx ends.", wakeEnds},
		{"SharedNow", "The queue's clock is one for all its users, and doesn't go back.", sharedNow},
		{"SharedContext", "Now and Beat return ctx's error if ctx has ended before they began.", sharedContext},
		{"BeatAlone", "A holder that is alone may use all it would use.", beatAlone},
		{"BeatShares", "Holders together never have more of a site than one of them would use alone, and each gets some.", beatShares},
		{"BeatUsed", "What a holder uses is nobody else's, even if it has come to have less.", beatUsed},
		{"BeatSilent", "What a holder had that has been silent for its ttl is free, its leases included, and no other's is.", beatSilent},
		{"BeatForgotten", "What a holder leases without a Beat, or since others have taken leave of it, is free after another's next one.", beatForgotten},
	}
}

// another opens the queue once more.
func (r *run) another() (q queue.Queue) {
	if r.hooks.another == nil {
		r.skip("needs the option Another")
	}
	r.inTest(func() { q = r.hooks.another(r.q) })
	return q
}

func anotherSees(r *run) {
	here, there := r.q, r.another()
	r.add(message("a"), message("b"))
	r.q = there
	equal(r, keys(r.list(queue.Filter{})), "a b", "what the other process lists")
	equal(r, r.body("a"), text("a"), "the body as the other process reads it")
	_, err := r.q.Enqueue(r.ctx, other("a"))
	r.is(err, queue.ErrConflict, "Enqueue of a stored ID with another Digest by the other process")
	r.commit(finish(r.takeKey(queue.Key{ID: "a"}, 0)), bounce("bounce"))
	r.q = here
	equal(r, keys(r.list(queue.Filter{Unfinished: true})), "b bounce", "what is unfinished after the other process's commit")
	equal(r, keys(r.list(queue.Filter{Ended: true})), "a", "what has ended")
	j := r.take(0)
	r.q = there
	equal(r, keys(r.due(0)), "", "what the other process can claim")
	equal(r, r.get(j.Key).Leased.Equal(j.Leased), true, "whether the other process lists the lease")
	equal(r, keys(r.due(lease)), "b", "what the other process can claim when the lease has ended")
	r.q = here
	r.is(r.q.Commit(r.ctx, finish(j)), queue.ErrLeaseLost, "Commit of a job that the other process has claimed since")
}

func anotherClaims(r *run) {
	const n = 100
	queues := []queue.Queue{r.q, r.another()}
	if _, ok := r.q.(queue.Shared); ok {
		r.beat("holder0", time.Hour, nil)
		r.beat("holder1", time.Hour, nil)
	}
	for i := range n {
		r.add(message(queue.ID(fmt.Sprintf("m%03d", i)), job(fmt.Sprintf("d%d.example", i%7), 0)))
	}
	var mu sync.Mutex
	owners, tokens := map[queue.Key]int{}, map[queue.Token]bool{}
	var wg sync.WaitGroup
	for g := range 6 {
		r.fails(&wg, func() error {
			for {
				c, err := queues[g%2].Claim(r.ctx, queue.ClaimRequest{Now: at(0), Lease: lease, Limit: 3, Holder: fmt.Sprint("holder", g%2)})
				if err != nil || len(c.Jobs) == 0 {
					return err
				}
				for _, j := range c.Jobs {
					mu.Lock()
					owners[j.Key]++
					tokens[j.Token] = true
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for k, times := range owners {
		equal(r, times, 1, "how many claimers got %s", k)
	}
	equal(r, len(owners), n, "how many jobs were claimed")
	equal(r, len(tokens), n, "how many tokens were given out")
}

func (r *run) waker() queue.Waker {
	w, ok := r.q.(queue.Waker)
	if !ok {
		r.skip("has no Wake")
	}
	return w
}

// woken waits until c receives.
func (r *run) woken(c <-chan struct{}, format string, args ...any) {
	select {
	case _, ok := <-c:
		equal(r, ok, true, "whether the channel is open, "+format, args...)
	case <-r.ctx.Done():
		r.fatalf("the channel never receives, "+format, args...)
	}
}

func wakeReceives(r *run) {
	w, there := r.waker(), r.another()
	first, second := w.Wake(r.ctx), w.Wake(r.ctx)
	_, err := there.Enqueue(r.ctx, message("a"))
	r.ok(err, "Enqueue")
	r.woken(first, "after an Enqueue by another process")
	r.woken(second, "which is the second one, after an Enqueue by another process")
	c, err := there.Claim(r.ctx, queue.ClaimRequest{Now: at(0), Lease: lease, Limit: 1})
	r.ok(err, "Claim")
	equal(r, keys(c.Jobs), "a", "what the other process claims")
	third := w.Wake(r.ctx)
	r.ok(there.Commit(r.ctx, finish(c.Jobs[0]), bounce("bounce")), "Commit")
	r.woken(third, "after a Commit with more by another process")
	equal(r, keys(r.due(time.Hour)), "bounce", "what is claimable")
}

func wakeUnread(r *run) {
	w, there := r.waker(), r.another()
	unread := w.Wake(r.ctx)
	for i := range 50 {
		_, err := there.Enqueue(r.ctx, message(queue.ID(fmt.Sprintf("m%02d", i))))
		r.ok(err, "Enqueue while nobody receives")
	}
	r.woken(unread, "after many an Enqueue")
	equal(r, len(r.due(0)), 50, "how many jobs are claimable")
}

func wakeEnds(r *run) {
	w := r.waker()
	ctx, cancel := context.WithCancel(r.ctx)
	c := w.Wake(ctx)
	cancel()
	for _, c := range []<-chan struct{}{c, w.Wake(ctx)} {
		for open := true; open; {
			select {
			case _, open = <-c:
			case <-r.ctx.Done():
				r.fatalf("the channel of a ctx that has ended is never closed")
			}
		}
	}
}

func (r *run) shared() queue.Shared {
	s, ok := r.q.(queue.Shared)
	if !ok {
		r.skip("has no Beat")
	}
	return s
}

func sharedNow(r *run) {
	users := []queue.Shared{r.shared()}
	if r.hooks.another != nil {
		users = append(users, r.another().(queue.Shared))
	}
	var last time.Time
	for i := range 20 {
		now, err := users[i%len(users)].Now(r.ctx)
		r.ok(err, "Now")
		equal(r, now.Before(last), false, "whether the clock has gone back, by %v", last.Sub(now))
		last = now
	}
	equal(r, last.IsZero(), false, "whether the clock shows zero")
}

func sharedContext(r *run) {
	s := r.shared()
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	_, err := s.Now(ctx)
	r.is(err, context.Canceled, "Now")
	_, err = s.Beat(ctx, "a", time.Hour, nil)
	r.is(err, context.Canceled, "Beat")
}

func (r *run) beat(holder string, ttl time.Duration, want map[string]int) map[string]int {
	return r.beatUsing(holder, ttl, want, nil)
}

func (r *run) beatUsing(holder string, ttl time.Duration, want, used map[string]int) map[string]int {
	slots := make(map[string]queue.Slots)
	for site, n := range want {
		slots[site] = queue.Slots{Want: n, Used: used[site]}
	}
	have, err := r.shared().Beat(r.ctx, holder, ttl, slots)
	r.ok(err, "Beat of %s", holder)
	for site, n := range have {
		if n < 0 || n > want[site] {
			r.fatalf("%s wants %d slots of %s and has %d", holder, want[site], site, n)
		}
	}
	return have
}

func beatAlone(r *run) {
	for _, want := range []map[string]int{{"x": 10, "y": 1}, {"x": 3, "z": 20}, {"x": 10}, nil, {"y": 0}} {
		have := r.beat("a", time.Hour, want)
		for site, n := range want {
			equal(r, have[site], n, "how many slots of %s a holder has that is alone", site)
		}
	}
}

func beatShares(r *run) {
	wants := map[string]map[string]int{"a": {"x": 10}, "b": {"x": 10, "y": 3}, "c": {"x": 4}}
	has := map[string]int{}
	for range 20 {
		for _, holder := range []string{"a", "b", "c"} {
			have := r.beat(holder, time.Hour, wants[holder])
			has[holder] = have["x"]
			equal(r, has["a"]+has["b"]+has["c"] <= 10, true, "whether %v of a site is no more than the 10 that one alone would use", has)
			equal(r, have["y"], wants[holder]["y"], "what %s has of a site that nobody else wants", holder)
		}
	}
	for holder, n := range has {
		equal(r, n > 0, true, "whether %s has some of a site in the end, out of %v", holder, has)
	}
}

func beatUsed(r *run) {
	all := map[string]int{"x": 10}
	equal(r, r.beat("a", time.Hour, all)["x"], 10, "how many slots a holder has that is alone")
	a, b := 10, 0
	for range 20 { // a begins nothing, and what it has begun takes its time
		b = r.beat("b", time.Hour, all)["x"]
		equal(r, b, 0, "how many slots b has while a uses them all")
		a = r.beatUsing("a", time.Hour, all, all)["x"]
	}
	equal(r, a < 10, true, "whether a is to come down in the end, from 10 to %d", a)
	for used := 9; used >= 0; used-- {
		a = r.beatUsing("a", time.Hour, all, map[string]int{"x": used})["x"]
		b = r.beat("b", time.Hour, all)["x"]
		equal(r, max(a, used)+b <= 10, true, "whether %d of b, %d of a and %d that a uses are no more than 10", b, a, used)
	}
	equal(r, b > 0, true, "whether b has some when a has come down")
}

func beatSilent(r *run) {
	all := map[string]int{"x": 6}
	r.beat("lively", time.Hour, map[string]int{"y": 1})
	var lost *queue.Job
	for _, holder := range []string{"lively", "", "silent"} {
		r.add(message(queue.ID("of-" + holder)))
		lost = r.claim(queue.ClaimRequest{Now: at(0), Limit: 1, Holder: holder}).Jobs[0]
	}
	r.beat("silent", time.Millisecond, all)
	heir := queue.ClaimRequest{Now: at(0), Lease: lease, Limit: 9, Holder: "heir"}
	var jobs []*queue.Job
	for slots := 0; slots < 6 || len(jobs) == 0; time.Sleep(time.Millisecond) { // for the queue's clock to go on
		if r.ctx.Err() != nil {
			r.fatalf("the heir of a silent holder has %d of 6 slots, and leases %q", slots, keys(jobs))
		}
		slots = r.beat("heir", time.Hour, all)["x"]
		jobs = append(jobs, r.claim(heir).Jobs...)
	}
	equal(r, keys(jobs), "of-silent", "what a silent holder's heir can claim")
	equal(r, jobs[0].Lapses, 1, "its Lapses")
	r.is(r.q.Commit(r.ctx, finish(lost)), queue.ErrLeaseLost, "Commit by the silent holder")
	r.commit(finish(jobs[0]))
}

func beatForgotten(r *run) {
	leases := func(holder string) {
		id := queue.ID("of-" + holder)
		r.add(message(id))
		equal(r, keys(r.claim(queue.ClaimRequest{Now: at(0), Limit: 1, Holder: holder}).Jobs), string(id), "what %s leases", holder)
	}
	inherits := func(want, format string, args ...any) {
		r.beat("heir", time.Hour, nil)
		jobs := r.claim(queue.ClaimRequest{Now: at(0), Limit: 9, Holder: "heir"}).Jobs
		equal(r, keys(jobs), want, "what another can claim after its Beat "+format, args...)
	}
	leases("")
	leases("stranger")
	inherits("of-stranger", "of what was leased without one")
	r.beat("silent", time.Millisecond, nil)
	time.Sleep(20 * time.Millisecond)
	inherits("", "that takes leave of a holder without leases")
	leases("silent")
	inherits("of-silent", "of what was leased after that")
	r.beat("stranger", time.Hour, nil)
	r.add(message("new"))
	equal(r, keys(r.claim(queue.ClaimRequest{Now: at(0), Limit: 1, Holder: "stranger"}).Jobs), "new", "what is leased after a Beat")
	inherits("", "of that")
}
