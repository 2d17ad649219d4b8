package queuetest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/queue"
)

func leasedCases() []testCase {
	return []testCase{
		{"LeasedAsClaimed", "EnqueueLeased returns the jobs as Claim would: the stored ones, with Token and Leased, in the order of their numbers.", leasedAsClaimed},
		{"LeasedToken", "No token is zero or given out twice, be it by Claim or by EnqueueLeased.", leasedToken},
		{"LeasedPassesOver", "EnqueueLeased passes over jobs that are finished, held, or not due at Now.", leasedPassesOver},
		{"LeasedOthers", "Jobs that are not named are not leased by EnqueueLeased, and can be claimed at once.", leasedOthers},
		{"LeasedMany", "EnqueueLeased leases any number of jobs.", leasedMany},
		{"LeasedOwner", "A job that EnqueueLeased has leased is nobody else's until its lease ends.", leasedOwner},
		{"LeasedLapses", "A job whose lease of EnqueueLeased has ended is claimable, under another token, and has lapsed once.", leasedLapses},
		{"LeasedDepths", "Depths counts a job that EnqueueLeased has leased as leased until its lease ends.", leasedDepths},
		{"LeasedCommit", "A job that EnqueueLeased has leased is committed as one that was claimed.", leasedCommit},
		{"LeasedAtOnce", "A message is stored and leased in one: no claim comes in between.", leasedAtOnce},
		{"LeasedReopen", "What EnqueueLeased has stored is there after a crash, and claimable when the lease has ended, at the latest.", leasedReopen},
		{"LeasedSilent", "What EnqueueLeased has leased for a holder that is silent, or has never called Beat, is free as if it had been claimed.", leasedSilent},
	}
}

func leasedAsClaimed(r *run) {
	e := full("a")
	e.Jobs[0].Held = false
	for i := len(e.Jobs); i < 12; i++ {
		e.Jobs = append(e.Jobs, job("example.org", 0))
		e.Jobs[i].Key = queue.Key{ID: "a", N: i}
	}
	now := lease + 3*time.Microsecond
	jobs := r.addLeased(e, leasing(now, 11, 2, 0, 10, 1))
	equal(r, keys(jobs), "a a/1 a/2 a/10 a/11", "the leased jobs")
	for _, j := range jobs {
		equal(r, j.Token != 0, true, "whether %s has a Token", j.Key)
		equal(r, moment(j.Leased), moment(at(now+lease)), "Leased of %s, which is Now plus Lease", j.Key)
		listed := r.get(j.Key)
		equal(r, listed.Token, 0, "the listed Token of %s", j.Key)
		j.Token = 0
		equal(r, describe(j), describe(listed), "the leased job but for Token, and the listed one")
		j.Leased = time.Time{}
		equal(r, describe(j), describe(want(e, len(text("a")), e.Jobs[j.Key.N])), "the leased job but for Token and Leased")
	}
}

func leasedToken(r *run) {
	r.leaser()
	seen := map[queue.Token]bool{0: true}
	for i := range 6 {
		now := time.Duration(i) * lease
		id := queue.ID(fmt.Sprint("m", i))
		jobs := r.addLeased(message(id, job("a.example", 0), job("b.example", 0), job("c.example", 0)), leasing(now, 1, 0))
		for _, j := range append(jobs, r.due(now)...) {
			equal(r, seen[j.Token], false, "whether token %d is zero or was given out before", j.Token)
			seen[j.Token] = true
			if i%2 == 0 {
				r.commit(finish(j))
			}
		}
	}
}

func leasedPassesOver(r *run) {
	held := job("held.example", 0)
	held.Held = true
	now := time.Hour
	e := func(id queue.ID) *queue.Entry {
		e := message(id, held, job("late.example", now+time.Microsecond), finish(job("done.example", 0)), job("due.example", now))
		e.Message.Expires = at(0) // which makes nothing due
		return e
	}
	equal(r, keys(r.addLeased(e("a"), leasing(now, 0, 1, 2, 3))), "a/3", "the leased jobs")
	equal(r, keys(r.addLeased(e("b"), leasing(now, 0, 1, 2))), "", "the leased jobs where none can be")
	equal(r, keys(r.addLeased(e("c"), leasing(now))), "", "the leased jobs where none is named")
	for _, id := range []queue.ID{"a", "b", "c"} {
		for n := range 3 {
			equal(r, r.get(queue.Key{ID: id, N: n}).Leased.IsZero(), true, "whether job %d of %s, which was passed over, has no lease", n, id)
		}
	}
	equal(r, keys(r.due(now)), "b/3 c/3", "what is claimable at once")
	equal(r, keys(r.due(now+time.Microsecond)), "a/1 b/1 c/1", "what is claimable when the next jobs are due")
	r.takeKey(queue.Key{ID: "a"}, now)
}

func leasedOthers(r *run) {
	e := message("a", job("a.example", 0), job("b.example", 0), job("a.example", 0), job("c.example", 0))
	jobs := r.addLeased(e, leasing(0, 2, 1))
	equal(r, keys(jobs), "a/1 a/2", "the leased jobs")
	free := r.due(0)
	equal(r, keys(free), "a a/3", "what is claimable")
	for _, j := range append(jobs, free...) {
		equal(r, j.Lapses, 0, "Lapses of %s", j.Key)
		r.commit(finish(j))
	}
}

func leasedMany(r *run) {
	const n = 1200
	var jobs []*queue.Job
	var numbers []int
	for i := range n {
		jobs = append(jobs, job([]string{"example.com", "example.net"}[i%2], 0))
		numbers = append(numbers, n-1-i)
	}
	leased := r.addLeased(message("a", jobs...), leasing(0, numbers...))
	equal(r, len(leased), n, "how many jobs are leased")
	for i, j := range leased {
		equal(r, j.Key.N, i, "the number of leased job %d", i)
	}
	equal(r, keys(r.due(0)), "", "what is claimable")
}

// claims are requests of each kind for the first job of a message with this ID, d after the beginning.
func claims(id queue.ID, d time.Duration) map[string]queue.ClaimRequest {
	return map[string]queue.ClaimRequest{
		"any lane": {Now: at(d), Limit: 5},
		"its lane": {Now: at(d), Limit: 5, Take: []queue.Take{{Lane: lane("example.com"), N: 5}}},
		"its key":  {Now: at(d), Limit: 5, Keys: []queue.Key{{ID: id}}},
		"expired":  {Now: at(d), Limit: 5, Take: []queue.Take{}, Expired: true},
	}
}

func leasedOwner(r *run) {
	r.addLeased(expiring("a", -time.Hour), leasing(0, 0))
	for _, d := range []time.Duration{0, lease - time.Microsecond} {
		for kind, c := range claims("a", d) {
			equal(r, keys(r.claim(c).Jobs), "", "a claim of %s, %v later", kind, d)
		}
	}
	next := r.claim(queue.ClaimRequest{Now: at(0), Limit: 5, Expired: true}).Next
	equal(r, moment(next), moment(at(lease)), "Next of a claim while the lease lasts")
}

func leasedLapses(r *run) {
	r.leaser()
	round := time.Duration(0)
	for kind := range claims("", 0) {
		id := queue.ID(fmt.Sprint("m", int(round/lease)))
		first := r.addLeased(expiring(id, -time.Hour), leasing(round, 0))[0]
		round += lease
		jobs := r.claim(claims(id, round)[kind]).Jobs
		equal(r, keys(jobs), string(id), "a claim of %s when the lease has ended", kind)
		equal(r, jobs[0].Lapses, 1, "Lapses")
		equal(r, jobs[0].Token != first.Token, true, "whether the Token is another one")
		r.is(r.q.Commit(r.ctx, finish(first)), queue.ErrLeaseLost, "Commit by the first owner")
		r.commit(finish(jobs[0]))
	}
	late := r.addLeased(message("late"), leasing(0, 0))[0]
	r.claim(queue.ClaimRequest{Now: at(2 * lease)}) // leases nothing
	r.commit(finish(late))
}

func leasedDepths(r *run) {
	r.leaser()
	r.withDepths()
	held := job("example.com", 0)
	held.Held = true
	r.addLeased(message("a", job("example.com", 0), job("example.com", time.Minute), held), leasing(0, 0, 1, 2))
	equal(r, r.depths(at(0)), `example.com "" 0: 1 waiting, 1 leased, 1 held, due 1m0s`, "the lane's depth")
	equal(r, r.depths(at(lease)), `example.com "" 0: 2 waiting, 0 leased, 1 held, due 0s`, "the lane's depth when the lease has ended")
}

func leasedCommit(r *run) {
	jobs := r.addLeased(message("a", job("a.example", 0), job("b.example", 0), job("c.example", 0)), leasing(0, 0, 1, 2))
	retry := jobs[0]
	retry.Tries, retry.Due = 1, at(time.Minute)
	r.commit(retry)
	equal(r, r.get(retry.Key).Leased.IsZero(), true, "whether the lease has ended with the commit")
	take := []queue.Take{{Lane: queue.Lane{Domain: "a.example", Retry: true}, N: 1}}
	again := r.claim(queue.ClaimRequest{Now: at(time.Minute), Limit: 9, Take: take}).Jobs
	equal(r, keys(again), "a", "what is claimable of the retries")
	equal(r, again[0].Lapses, 0, "its Lapses")
	r.commit(finish(again[0]))
	r.commit(finish(jobs[1]))
	equal(r, r.body("a"), text("a"), "the body while there is a job left")
	last := jobs[2]
	last.Recipients[0].State, last.Finished = queue.Bounced, at(time.Second)
	r.commit(last, bounce("bounce"))
	before := r.state()
	for _, j := range jobs[1:] {
		r.commit(j, bounce("another"))
	}
	r.unchanged(before, "repeated commits")
	_, err := r.q.Open(r.ctx, "a")
	r.is(err, queue.ErrNotFound, "Open when all jobs are finished")
	equal(r, keys(r.list(queue.Filter{Ended: true})), "a a/1 a/2", "what has ended")
	equal(r, keys(r.due(time.Hour)), "bounce", "what is claimable")
}

func leasedAtOnce(r *run) {
	l := r.leaser()
	const n = 40
	var enqueuing atomic.Int64
	enqueuing.Store(2)
	var wg sync.WaitGroup
	for g := range 2 {
		r.fails(&wg, func() error {
			defer enqueuing.Add(-1)
			for i := range n {
				id := queue.ID(fmt.Sprintf("m%d-%02d", g, i))
				jobs, added, err := l.EnqueueLeased(r.ctx, message(id, job("a.example", 0), job("b.example", 0)), leasing(0, 0, 1))
				if err != nil || !added || len(jobs) != 2 {
					return fmt.Errorf("EnqueueLeased of %s leases %q of two jobs: %v, %v", id, keys(jobs), added, err)
				}
				for _, j := range jobs {
					if err := r.q.Commit(r.ctx, finish(j)); err != nil {
						return fmt.Errorf("committing %s: %w", j.Key, err)
					}
				}
			}
			return nil
		})
		r.fails(&wg, func() error {
			for enqueuing.Load() > 0 {
				c, err := r.q.Claim(r.ctx, queue.ClaimRequest{Now: at(0), Lease: lease, Limit: 5})
				if err != nil || len(c.Jobs) > 0 {
					return fmt.Errorf("a claim leases %q, which were stored as leased: %v", keys(c.Jobs), err)
				}
			}
			return nil
		})
	}
	wg.Wait()
	equal(r, len(r.list(queue.Filter{Ended: true})), 4*n, "how many jobs have ended")
}

func leasedReopen(r *run) {
	r.leaser()
	first := r.addLeased(message("a", job("a.example", 0), job("b.example", 0)), leasing(0, 0, 1))
	r.commit(finish(first[1]))
	r.reopen()
	equal(r, keys(r.list(queue.Filter{})), "a a/1", "what is stored")
	equal(r, r.body("a"), text("a"), "the body")
	j := r.take(lease)
	equal(r, keys([]*queue.Job{j}), "a", "what is claimable at the end of the lease")
	given := []queue.Token{0, first[0].Token, first[1].Token}
	equal(r, slices.Contains(given, j.Token), false, "whether the token is zero or was given out before")
	next := r.addLeased(message("b"), leasing(lease, 0))[0]
	equal(r, slices.Contains(append(given, j.Token), next.Token), false, "whether the next one is")
}

func leasedSilent(r *run) {
	r.leaser()
	r.shared()
	leases := func(holder string) *queue.Job {
		l := leasing(0, 0)
		l.Holder = holder
		return r.addLeased(message(queue.ID("of-"+holder)), l)[0]
	}
	inherits := func(want string, silent *queue.Job) {
		var jobs []*queue.Job
		for len(jobs) == 0 {
			r.ok(r.ctx.Err(), "waiting for what %s is to leave", want)
			r.beat("heir", time.Hour, nil)
			jobs = r.claim(queue.ClaimRequest{Now: at(0), Limit: 9, Holder: "heir"}).Jobs
			time.Sleep(time.Millisecond) // for the queue's clock to go on
		}
		equal(r, keys(jobs), want, "what is free")
		equal(r, jobs[0].Lapses, 1, "its Lapses")
		r.is(r.q.Commit(r.ctx, finish(silent)), queue.ErrLeaseLost, "Commit by the silent holder")
		r.commit(finish(jobs[0]))
	}
	r.beat("lively", time.Hour, nil)
	r.beat("silent", time.Hour, nil)
	lively, nobody, silent := leases("lively"), leases(""), leases("silent")
	r.beat("silent", time.Millisecond, nil)
	inherits("of-silent", silent)
	inherits("of-stranger", leases("stranger"))
	r.commit(finish(lively))
	r.commit(finish(nobody))
}
