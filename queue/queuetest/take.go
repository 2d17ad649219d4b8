package queuetest

import (
	"time"

	"github.com/postroad/postroad/queue"
)

func takeCases() []testCase {
	return []testCase{
		{"TakeOrder", "Lanes are taken from in the order of Take, within a lane by Due, then by key.", takeOrder},
		{"TakeNumber", "At most N jobs are taken of a lane, and Limit jobs of all.", takeNumber},
		{"TakeLanes", "Domain, tenant, priority and whether jobs were tried before tell lanes apart; other lanes are not touched.", takeLanes},
		{"TakeRetry", "A job that was tried moves to the lane of retries, where no first attempt waits behind it.", takeRetry},
		{"TakeDue", "Only due jobs are taken of a lane.", takeDue},
		{"TakeNone", "A Take that is empty and not nil takes from no lane.", takeNone},
	}
}

func lane(domain string) queue.Lane { return queue.Lane{Domain: domain} }

func takeOrder(r *run) {
	r.add(
		inLane("a1", lane("a.example"), -time.Minute),
		inLane("a2", lane("a.example"), -time.Hour),
		inLane("b2", lane("b.example"), -time.Second),
		inLane("b1", lane("b.example"), -time.Second),
		inLane("c", lane("c.example"), -2*time.Hour),
	)
	c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 9, Take: []queue.Take{
		{Lane: lane("b.example"), N: 9}, {Lane: lane("unknown.example"), N: 9}, {Lane: lane("a.example"), N: 9},
	}})
	equal(r, keys(c.Jobs), "b1 b2 a2 a1", "the claimed jobs")
}

func takeNumber(r *run) {
	for _, id := range []queue.ID{"a1", "a2", "a3", "b1", "b2", "b3", "c1"} {
		r.add(message(id, job(string(id[:1])+".example", 0)))
	}
	c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 3, Take: []queue.Take{
		{Lane: lane("a.example"), N: 1}, {Lane: lane("b.example"), N: 0}, {Lane: lane("b.example"), N: 2}, {Lane: lane("c.example"), N: 1},
	}})
	equal(r, keys(c.Jobs), "a1 b1 b2", "the claimed jobs")
	c = r.claim(queue.ClaimRequest{Now: at(0), Limit: 0, Take: []queue.Take{{Lane: lane("a.example"), N: 1}}})
	equal(r, keys(c.Jobs), "", "a claim with Limit 0")
}

func takeLanes(r *run) {
	lanes := map[queue.ID]queue.Lane{
		"plain":    {Domain: "example.com"},
		"tenant":   {Domain: "example.com", Tenant: "t"},
		"priority": {Domain: "example.com", Priority: queue.Low},
		"domain":   {Domain: "example.co"},
		"joined":   {Domain: "example.comt"},
		"retry":    {Domain: "example.com", Retry: true},
	}
	for id, l := range lanes {
		r.add(inLane(id, l, 0))
	}
	for id, l := range lanes {
		c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 9, Take: []queue.Take{{Lane: l, N: 9}}})
		equal(r, keys(c.Jobs), string(id), "what is taken of lane %+v", l)
	}
}

func takeRetry(r *run) {
	first, retry := lane("example.com"), lane("example.com")
	retry.Retry = true
	take := func(d time.Duration, lanes ...queue.Lane) string {
		c := queue.ClaimRequest{Now: at(d), Limit: 9}
		for _, l := range lanes {
			c.Take = append(c.Take, queue.Take{Lane: l, N: 9})
		}
		return keys(r.claim(c).Jobs)
	}
	r.add(message("tried"))
	j := r.take(0)
	j.Tries, j.Due = 1, at(time.Minute)
	r.commit(j)
	r.add(message("new", job("example.com", time.Hour)))
	equal(r, sortedKeys(r.list(queue.Filter{Heads: true})), "new tried", "the heads")
	equal(r, take(2*time.Hour, first), "new", "what is taken of the lane of first attempts")
	equal(r, take(2*time.Hour, first, retry), "tried", "what is taken of both lanes")
	j = r.takeKey(queue.Key{ID: "tried"}, 3*time.Hour)
	j.Tries, j.Due = 0, at(0) // as if it had never been tried
	r.commit(j)
	equal(r, take(3*time.Hour, retry), "", "what is taken of the lane of retries when the job counts as new again")
	equal(r, take(3*time.Hour, first), "tried new", "what is taken of the lane of first attempts then")
}

func takeDue(r *run) {
	r.add(message("due"), message("later", job("example.com", time.Hour)))
	take := []queue.Take{{Lane: lane("example.com"), N: 9}}
	equal(r, keys(r.claim(queue.ClaimRequest{Now: at(time.Hour - time.Microsecond), Limit: 9, Take: take}).Jobs), "due", "what is taken before Due")
	equal(r, keys(r.claim(queue.ClaimRequest{Now: at(time.Hour), Limit: 9, Take: take}).Jobs), "later", "what is taken at Due")
}

func takeNone(r *run) {
	r.add(message("a"))
	c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 9, Take: []queue.Take{}})
	equal(r, keys(c.Jobs), "", "the claimed jobs")
	equal(r, moment(c.Next), "never", "Next")
	equal(r, keys(r.due(0)), "a", "what is claimable")
}
