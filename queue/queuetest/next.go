package queuetest

import (
	"time"

	"github.com/postroad/postroad/queue"
)

func nextCases() []testCase {
	return []testCase{
		{"NextNever", "Next is zero if time alone never makes the request lease more.", nextNever},
		{"NextDue", "Next is the earliest Due that is to come.", nextDue},
		{"NextLeaseEnd", "Next is the end of a lease, or the Due after it.", nextLeaseEnd},
		{"NextNow", "Next is not after Now if more could be leased now, whatever Limit and N are.", nextNow},
		{"NextExpired", "With Expired, Next is also the earliest Expires to come, of any job.", nextExpired},
		{"NextLanes", "Lanes says for each lane alone what Next says, and Next is the earliest of them.", nextLanes},
		{"NextLanesNil", "Lanes is nil if Take is, and else as long as Take.", nextLanesNil},
		{"NextKeys", "Next is zero for a request with Keys.", nextKeys},
	}
}

func nextNever(r *run) {
	next := func(c queue.ClaimRequest) string { c.Now, c.Limit = at(0), 9; return moment(r.claim(c).Next) }
	equal(r, next(queue.ClaimRequest{Expired: true}), "never", "Next of an empty queue")
	held := message("held")
	held.Jobs[0].Held = true
	r.add(held, message("finished", finish(job("example.com", 0))))
	equal(r, next(queue.ClaimRequest{}), "never", "Next of a queue of held and finished jobs")
	r.add(message("due"))
	other := []queue.Take{{Lane: lane("other.example"), N: 9}}
	equal(r, next(queue.ClaimRequest{Take: other}), "never", "Next of a claim from a lane without jobs")
	equal(r, next(queue.ClaimRequest{Take: []queue.Take{}}), "never", "Next of a claim from no lanes")
	r.commit(finish(r.take(0)))
	equal(r, next(queue.ClaimRequest{}), "never", "Next when the last job is finished")
}

func nextDue(r *run) {
	r.add(message("b", job("b.example", 2*time.Hour)), message("a", job("a.example", time.Hour)), message("c", job("a.example", 3*time.Hour)))
	next := func(d time.Duration, take ...queue.Take) string {
		return moment(r.claim(queue.ClaimRequest{Now: at(d), Limit: 9, Take: take}).Next)
	}
	equal(r, next(0), "1h0m0s", "Next")
	equal(r, next(0, queue.Take{Lane: lane("b.example"), N: 1}), "2h0m0s", "Next of a claim from the later lane")
	equal(r, next(2*time.Hour), moment(at(2*time.Hour+lease)), "Next when all due jobs were leased")
}

func nextLeaseEnd(r *run) {
	r.add(message("a"))
	c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 9})
	equal(r, moment(c.Next), moment(at(lease)), "Next of the claim that leases the only job")
	c = r.claim(queue.ClaimRequest{Now: at(time.Minute), Limit: 9})
	equal(r, moment(c.Next), moment(at(lease)), "Next of another claim")
	r.add(message("b", job("example.com", 2*time.Hour)), message("c", job("example.com", 3*time.Hour)))
	r.takeKey(queue.Key{ID: "b"}, 0)
	take := []queue.Take{{Lane: lane("example.com"), N: 9}}
	c = r.claim(queue.ClaimRequest{Now: at(lease), Limit: 9, Lease: 5 * time.Hour, Take: take})
	equal(r, moment(c.Next), "2h0m0s", "Next when a leased job's Due is after the end of its lease")
	c = r.claim(queue.ClaimRequest{Now: at(2 * time.Hour), Limit: 9, Lease: 5 * time.Hour, Take: take})
	equal(r, moment(c.Next), "3h0m0s", "Next when leases end after another job's Due")
}

func nextNow(r *run) {
	r.add(message("a"), message("b"), message("c"))
	now := func(what string, c queue.ClaimRequest) {
		c.Now = at(time.Second)
		claimed := r.claim(c)
		if n := claimed.Next; n.IsZero() || n.After(c.Now) {
			r.fatalf("Next of %s is %s, want a moment not after Now", what, moment(n))
		}
		for i, n := range claimed.Lanes {
			if n.IsZero() || n.After(c.Now) {
				r.fatalf("Lanes[%d] of %s is %s, want a moment not after Now", i, what, moment(n))
			}
		}
	}
	l := lane("example.com")
	now("a claim with Limit 0", queue.ClaimRequest{})
	now("a claim by lane with Limit 0", queue.ClaimRequest{Take: []queue.Take{{Lane: l, N: 1}}})
	now("a claim with N 0", queue.ClaimRequest{Limit: 9, Take: []queue.Take{{Lane: l, N: 0}}})
	now("a claim cut by Limit", queue.ClaimRequest{Limit: 1})
	now("a claim cut by N", queue.ClaimRequest{Limit: 9, Take: []queue.Take{{Lane: l, N: 1}}})
	r.add(expiring("d", -time.Hour), expiring("e", -time.Hour))
	now("a claim of expired jobs cut by Limit", queue.ClaimRequest{Limit: 1, Expired: true, Take: []queue.Take{}})
}

func nextExpired(r *run) {
	held := expiring("held", 2*time.Hour)
	held.Jobs[0].Held = true
	r.add(held, expiring("later", time.Hour, job("example.com", 3*time.Hour)))
	next := func(d time.Duration, c queue.ClaimRequest) string {
		c.Now = at(d)
		return moment(r.claim(c).Next)
	}
	equal(r, next(0, queue.ClaimRequest{Limit: 9}), "3h0m0s", "Next without Expired")
	equal(r, next(0, queue.ClaimRequest{Limit: 9, Expired: true}), "1h0m0s", "Next with Expired")
	none := queue.ClaimRequest{Limit: 9, Expired: true, Take: []queue.Take{}}
	equal(r, next(0, none), "1h0m0s", "Next with Expired, from no lanes")
	equal(r, next(time.Hour, none), moment(at(time.Hour+lease)), "Next when the expired job was leased")
	r.takeKey(queue.Key{ID: "held"}, 2*time.Hour-time.Minute)
	equal(r, next(2*time.Hour-time.Minute, none), moment(at(2*time.Hour-time.Minute+lease)), "Next when both are leased")
}

func nextLanes(r *run) {
	held := message("held", job("held.example", 0))
	held.Jobs[0].Held = true
	r.add(
		held,
		message("later", job("later.example", 2*time.Hour)),
		expiring("expiring", time.Minute, job("expiring.example", 3*time.Hour)),
		message("leased", job("leased.example", 0)),
		message("both", job("both.example", time.Second), job("both.example", time.Hour)),
	)
	r.takeKey(queue.Key{ID: "leased"}, 0)
	var take []queue.Take
	for _, d := range []string{"held", "later", "expiring", "leased", "unknown", "both", "later"} {
		take = append(take, queue.Take{Lane: lane(d + ".example"), N: 1})
	}
	c := r.claim(queue.ClaimRequest{Now: at(time.Second), Limit: 9, Lease: 2 * time.Hour, Take: take, Expired: true})
	equal(r, keys(c.Jobs), "both", "the claimed jobs")
	for i, want := range []string{"never", "2h0m0s", "3h0m0s", moment(at(lease)), "never", "1h0m0s", "2h0m0s"} {
		equal(r, moment(c.Lanes[i]), want, "Lanes[%d], for %s", i, take[i].Lane.Domain)
	}
	equal(r, moment(c.Next), "1m0s", "Next with Expired")
	c = r.claim(queue.ClaimRequest{Now: at(time.Second), Limit: 9, Take: take})
	equal(r, moment(c.Next), moment(at(lease)), "Next without Expired")
}

func nextLanesNil(r *run) {
	r.add(message("a"))
	c := r.claim(queue.ClaimRequest{Now: at(0), Expired: true})
	equal(r, c.Lanes == nil, true, "whether Lanes is nil without Take")
	for _, n := range []int{0, 1, 3} {
		c = r.claim(queue.ClaimRequest{Now: at(0), Take: make([]queue.Take, n)})
		equal(r, len(c.Lanes), n, "the length of Lanes")
	}
}

func nextKeys(r *run) {
	r.add(message("a"), message("b"))
	c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 1, Expired: true, Keys: []queue.Key{{ID: "a"}, {ID: "b"}}})
	equal(r, moment(c.Next), "never", "Next")
}
