package queuetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

func claimCases() []testCase {
	return []testCase{
		{"ClaimOrder", "Without Take, jobs go by priority, then by Due, then by key.", claimOrder},
		{"ClaimRetry", "Without Take, first attempts and retries are in one order.", claimRetry},
		{"ClaimPriorities", "Every priority is kept and has its place in the order.", claimPriorities},
		{"ClaimDue", "A job is claimable from its Due on, and not before.", claimDue},
		{"ClaimLimit", "Limit bounds a claim, and 0 leases none.", claimLimit},
		{"ClaimInvalid", "A Lease that is not positive is ErrInvalid.", claimInvalid},
		{"ClaimStored", "A claimed job is the stored one, with Token and Leased.", claimStored},
		{"ClaimOwner", "A leased job is nobody else's until its lease ends.", claimOwner},
		{"ClaimLeaseEnd", "A job whose lease has ended is claimable again.", claimLeaseEnd},
		{"ClaimLapses", "A lease that ends without a commit is one of the job's Lapses; the committer resets them.", claimLapses},
		{"ClaimToken", "No token is zero or given out twice.", claimToken},
		{"ClaimHeld", "A held job is not claimed because it is due.", claimHeld},
		{"ClaimNow", "What is due or leased is judged by the request's Now, even if an earlier claim had a later one.", claimNow},
		{"ClaimCopies", "A claimed job is the caller's copy.", claimCopies},
		{"ClaimConcurrently", "Concurrent claimers never share a job, and together they get all.", claimConcurrently},
		{"ClaimKeys", "Claiming by key leases jobs in the order of Keys, due or not, held or not.", claimKeys},
		{"ClaimKeysPassesOver", "Claiming by key passes over what is unknown, leased or finished.", claimKeysPassesOver},
		{"ClaimKeysAlone", "With Keys, Take and Expired are not looked at, and Limit is.", claimKeysAlone},
	}
}

func claimOrder(r *run) {
	lane := func(domain string, p queue.Priority) queue.Lane { return queue.Lane{Domain: domain, Priority: p} }
	r.add(
		inLane("low", lane("a.example", queue.Low), -time.Hour),
		inLane("normal-late", lane("a.example", queue.Normal), -time.Minute),
		inLane("normal-early", lane("b.example", queue.Normal), -time.Hour),
		inLane("high-late", lane("c.example", queue.High), 0),
		inLane("equal-b", lane("z.example", queue.High), -time.Second),
		inLane("equal-a", lane("b.example", queue.High), -time.Second),
		inLane("equal-c", lane("a.example", queue.High), -time.Second),
	)
	equal(r, keys(r.due(0)), "equal-a equal-b equal-c high-late normal-early normal-late low", "the order of the claim")

	many := make([]*queue.Job, 12)
	for i := range many {
		many[i] = job("example.com", 0)
	}
	r.add(message("many", many...))
	equal(r, keys(r.due(0)), "many many/1 many/2 many/3 many/4 many/5 many/6 many/7 many/8 many/9 many/10 many/11",
		"the order of jobs that differ in their number")
}

func claimRetry(r *run) {
	lane := func(retry bool) queue.Lane { return queue.Lane{Domain: "example.com", Retry: retry} }
	r.add(
		inLane("c", lane(false), -time.Minute),
		inLane("b", lane(true), -2*time.Minute),
		inLane("d", lane(true), 0),
		inLane("a", lane(false), -3*time.Minute),
	)
	equal(r, keys(r.due(0)), "a b c d", "the order of the claim")
}

func claimPriorities(r *run) {
	want := ""
	for i, p := range []queue.Priority{127, 100, queue.High, queue.Normal, queue.Low, -100, -128} {
		id := queue.ID(fmt.Sprintf("p%d", 6-i))
		r.add(inLane(id, queue.Lane{Domain: "example.com", Priority: p}, 0))
		equal(r, r.get(queue.Key{ID: id}).Message.Priority, p, "the stored priority")
		want += " " + string(id)
	}
	equal(r, " "+keys(r.due(0)), want, "the order of the claim")
}

func claimDue(r *run) {
	r.add(message("a", job("example.com", time.Hour)))
	equal(r, keys(r.due(time.Hour-time.Microsecond)), "", "what is claimable before Due")
	equal(r, keys(r.due(time.Hour)), "a", "what is claimable at Due")
}

func claimLimit(r *run) {
	r.add(message("a"), message("b"), message("c"))
	claim := func(limit int) string { return keys(r.claim(queue.ClaimRequest{Now: at(0), Limit: limit}).Jobs) }
	equal(r, claim(0), "", "a claim with Limit 0")
	equal(r, claim(2), "a b", "a claim with Limit 2")
	equal(r, claim(2), "c", "the next claim")
}

func claimInvalid(r *run) {
	r.add(message("a"))
	for _, d := range []time.Duration{0, -1} {
		_, err := r.q.Claim(r.ctx, queue.ClaimRequest{Now: at(0), Limit: 1, Lease: d})
		r.is(err, queue.ErrInvalid, "Claim with a Lease of %v", d)
	}
	equal(r, keys(r.due(0)), "a", "what is claimable")
}

func claimStored(r *run) {
	e := full("a")
	r.add(e)
	now := lease + 3*time.Microsecond
	for i := range e.Jobs {
		k := queue.Key{ID: "a", N: i}
		stored := r.get(k)
		j := r.takeKey(k, now)
		equal(r, j.Leased.Equal(at(now+lease)), true, "whether Leased of %s is Now plus Lease", k)
		listed := r.get(k)
		equal(r, listed.Leased.Equal(j.Leased), true, "whether the listed Leased of %s is the claimed one", k)
		equal(r, listed.Token, 0, "the listed Token of %s", k)
		j.Token, j.Leased = 0, time.Time{}
		equal(r, describe(j), describe(stored), "the claimed job but for Token and Leased")
	}
}

func claimOwner(r *run) {
	r.add(message("a"), message("b"))
	equal(r, keys(r.due(0)), "a b", "the first claim")
	lane := queue.Lane{Domain: "example.com"}
	for _, d := range []time.Duration{0, lease - time.Microsecond} {
		equal(r, keys(r.due(d)), "", "a claim %v later", d)
		c := r.claim(queue.ClaimRequest{Now: at(d), Limit: 5, Take: []queue.Take{{Lane: lane, N: 5}}, Expired: true})
		equal(r, keys(c.Jobs), "", "a claim by lane %v later", d)
		c = r.claim(queue.ClaimRequest{Now: at(d), Limit: 5, Keys: []queue.Key{{ID: "a"}, {ID: "b"}}})
		equal(r, keys(c.Jobs), "", "a claim by key %v later", d)
	}
}

func claimLeaseEnd(r *run) {
	r.add(message("a"), message("b", job("example.com", time.Minute)))
	first := r.take(0)
	equal(r, keys(r.due(lease)), "a b", "a claim when the lease has ended")
	err := r.q.Commit(r.ctx, finish(first))
	r.is(err, queue.ErrLeaseLost, "Commit by the first owner")
	equal(r, keys(r.claim(queue.ClaimRequest{Now: at(2 * lease), Limit: 5, Keys: []queue.Key{{ID: "b"}}}).Jobs), "b",
		"a claim by key when the lease has ended again")
}

func claimLapses(r *run) {
	r.add(message("a"))
	for i := range 3 {
		j := r.take(time.Duration(i) * lease)
		equal(r, j.Lapses, i, "Lapses in claim %d", i+1)
	}
	j := r.takeKey(queue.Key{ID: "a"}, 3*lease)
	equal(r, j.Lapses, 3, "Lapses in the fourth claim")
	r.commit(j)
	j = r.take(3 * lease)
	equal(r, j.Lapses, 3, "Lapses after a commit that left them")
	j.Lapses = 0
	r.commit(j)
	equal(r, r.take(3*lease).Lapses, 0, "Lapses after a commit that reset them")
	equal(r, r.take(4*lease).Lapses, 1, "Lapses after the next lapse")
}

func claimToken(r *run) {
	seen := map[queue.Token]bool{0: true}
	r.add(message("a"), message("b"))
	for i := range 6 {
		for _, j := range r.due(time.Duration(i) * lease) {
			equal(r, seen[j.Token], false, "whether token %d is zero or was given out before", j.Token)
			seen[j.Token] = true
			if i%2 == 0 {
				r.commit(j)
			}
		}
	}
}

func claimHeld(r *run) {
	e := message("a")
	e.Jobs[0].Held = true
	r.add(e, message("b"))
	equal(r, keys(r.due(time.Hour)), "b", "what is claimable")
	c := r.claim(queue.ClaimRequest{Now: at(time.Hour), Limit: 5, Take: []queue.Take{{Lane: queue.Lane{Domain: "example.com"}, N: 5}}})
	equal(r, keys(c.Jobs), "", "what is claimable by lane")
	j := r.takeKey(queue.Key{ID: "a"}, time.Hour)
	j.Held = false
	r.commit(j)
	equal(r, keys(r.due(time.Hour)), "a", "what is claimable when it is no longer held")
}

func claimNow(r *run) {
	r.add(message("a"), message("b", job("example.com", time.Hour)))
	r.take(0)
	r.claim(queue.ClaimRequest{Now: at(2 * time.Hour)}) // looks ahead only
	c := r.claim(queue.ClaimRequest{Now: at(time.Minute), Limit: 5})
	equal(r, keys(c.Jobs), "", "a claim before the lease's end and the other's Due")
	equal(r, moment(c.Next), moment(at(lease)), "its Next")
	equal(r, keys(r.due(lease)), "a", "a claim at the lease's end")
	equal(r, keys(r.due(time.Hour)), "a b", "a claim at the other's Due")
}

func claimCopies(r *run) {
	r.add(full("a"))
	j := r.takeKey(queue.Key{ID: "a"}, 0)
	before := r.state()
	j.Recipients[0].Address, j.Attempts[0].TLS, j.Message.Labels[0], j.Held = "changed", "changed", "changed", false
	r.unchanged(before, "a change of the claimed job")
}

func claimConcurrently(r *run) {
	const n = 200
	for i := range n {
		d := fmt.Sprintf("d%d.example", i%5)
		r.add(message(queue.ID(fmt.Sprintf("m%03d", i)), job(d, 0)))
	}
	var mu sync.Mutex
	owners := map[queue.Key]int{}
	var wg sync.WaitGroup
	for g := range 8 {
		request := queue.ClaimRequest{Now: at(0), Lease: lease, Limit: 3}
		if g%2 == 0 {
			for d := range 5 {
				request.Take = append(request.Take, queue.Take{Lane: queue.Lane{Domain: fmt.Sprintf("d%d.example", d)}, N: 1})
			}
		}
		wg.Go(func() {
			for {
				c, err := r.q.Claim(r.ctx, request)
				if err != nil {
					r.errorf("Claim: %v", err)
					return
				}
				if len(c.Jobs) == 0 {
					return
				}
				for i, j := range c.Jobs {
					mu.Lock()
					owners[j.Key]++
					mu.Unlock()
					if i == 0 { // commits in between, due again when the test is over
						j.Due = at(lease)
						if err := r.q.Commit(r.ctx, j); err != nil {
							r.errorf("Commit of %s: %v", j.Key, err)
						}
					}
				}
			}
		})
	}
	wg.Wait()
	for k, times := range owners {
		equal(r, times, 1, "how many claimers got %s", k)
	}
	equal(r, len(owners), n, "how many jobs were claimed")
}

func claimKeys(r *run) {
	held := message("held")
	held.Jobs[0].Held = true
	r.add(held, message("later", job("example.com", time.Hour), job("example.net", time.Hour)), message("due"))
	c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 5, Keys: []queue.Key{{ID: "later", N: 1}, {ID: "held"}, {ID: "due"}}})
	equal(r, keys(c.Jobs), "later/1 held due", "the claimed jobs")
}

func claimKeysPassesOver(r *run) {
	r.add(message("leased"))
	r.take(0)
	r.add(message("finished"))
	r.commit(finish(r.take(0)))
	r.add(message("free"))
	c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 9, Keys: []queue.Key{
		{ID: "unknown"}, {ID: "leased"}, {ID: "free", N: 1}, {ID: "free", N: -1}, {ID: "finished"}, {}, {ID: "free"}, {ID: "free"},
	}})
	equal(r, keys(c.Jobs), "free", "the claimed jobs")
}

func claimKeysAlone(r *run) {
	expired := message("expired")
	expired.Message.Expires = at(-time.Hour)
	r.add(expired, message("a"), message("b"), message("c"))
	c := r.claim(queue.ClaimRequest{
		Now: at(0), Limit: 2, Expired: true,
		Take: []queue.Take{{Lane: queue.Lane{Domain: "example.com"}, N: 5}},
		Keys: []queue.Key{{ID: "c"}, {ID: "b"}, {ID: "a"}},
	})
	equal(r, keys(c.Jobs), "c b", "the claimed jobs")
	c = r.claim(queue.ClaimRequest{Now: at(0), Keys: []queue.Key{{ID: "a"}}})
	equal(r, keys(c.Jobs), "", "a claim by key with Limit 0")
}
