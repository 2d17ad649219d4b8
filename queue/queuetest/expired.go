package queuetest

import (
	"time"

	"github.com/postroad/postroad/queue"
)

func expiredCases() []testCase {
	return []testCase{
		{"ExpiredEverywhere", "Expired leases expired jobs that are held, not due, or in a lane that is not taken from.", expiredEverywhere},
		{"ExpiredFirst", "Expired jobs come before others, earliest Expires first, then by key.", expiredFirst},
		{"ExpiredNumber", "Limit bounds expired jobs too; they don't count for the N of a lane.", expiredNumber},
		{"ExpiredAt", "A job is expired from its Expires on, and not before.", expiredAt},
		{"ExpiredLeased", "An expired job that is leased or finished is not claimed.", expiredLeased},
		{"ExpiredAsked", "Without Expired, expiry changes nothing.", expiredAsked},
	}
}

// expiring makes a message that expires d after the beginning.
func expiring(id queue.ID, d time.Duration, jobs ...*queue.Job) *queue.Entry {
	e := message(id, jobs...)
	e.Message.Expires = at(d)
	return e
}

func expiredEverywhere(r *run) {
	held := expiring("a-held", -3*time.Hour)
	held.Jobs[0].Held = true
	r.add(held, expiring("b-later", -2*time.Hour, job("example.com", time.Hour)), expiring("c-excluded", -time.Hour), message("d"))
	for _, take := range [][]queue.Take{{}, {{Lane: lane("other.example"), N: 9}}, nil} {
		c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 3, Expired: true, Take: take})
		equal(r, keys(c.Jobs), "a-held b-later c-excluded", "the jobs claimed with Take %v", take)
		for _, j := range c.Jobs {
			r.commit(j)
		}
	}
}

func expiredFirst(r *run) {
	urgent := message("urgent")
	urgent.Message.Priority = queue.High
	r.add(
		urgent,
		expiring("last", -time.Second, job("example.com", -9*time.Hour)),
		expiring("equal-b", -time.Minute),
		expiring("equal-a", -time.Minute),
		expiring("first", -time.Hour),
	)
	c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 9, Expired: true})
	equal(r, keys(c.Jobs), "first equal-a equal-b last urgent", "the claimed jobs")
}

func expiredNumber(r *run) {
	r.add(expiring("x1", -3*time.Hour), expiring("x2", -2*time.Hour), expiring("x3", -time.Hour), message("a"), message("b"))
	take := []queue.Take{{Lane: lane("example.com"), N: 1}}
	c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 2, Expired: true, Take: take})
	equal(r, keys(c.Jobs), "x1 x2", "the jobs of a claim with Limit 2")
	c = r.claim(queue.ClaimRequest{Now: at(0), Limit: 9, Expired: true, Take: take})
	equal(r, keys(c.Jobs), "x3 a", "the jobs of a claim with N 1")
}

func expiredAt(r *run) {
	e := expiring("a", time.Hour)
	e.Jobs[0].Held = true
	r.add(e)
	claim := func(d time.Duration) string {
		return keys(r.claim(queue.ClaimRequest{Now: at(d), Limit: 9, Expired: true}).Jobs)
	}
	equal(r, claim(time.Hour-time.Microsecond), "", "a claim before Expires")
	equal(r, claim(time.Hour), "a", "a claim at Expires")
}

func expiredLeased(r *run) {
	r.add(expiring("leased", -time.Hour), expiring("finished", -time.Hour, finish(job("example.com", 0))))
	r.take(0)
	claim := func(d time.Duration) string {
		return keys(r.claim(queue.ClaimRequest{Now: at(d), Limit: 9, Expired: true, Take: []queue.Take{}}).Jobs)
	}
	equal(r, claim(lease-time.Microsecond), "", "a claim before the lease's end")
	equal(r, claim(lease), "leased", "a claim at the lease's end")
}

func expiredAsked(r *run) {
	held := expiring("held", -time.Hour)
	held.Jobs[0].Held = true
	r.add(held, expiring("b", -time.Hour, job("example.com", -time.Minute)), message("a", job("example.com", -2*time.Minute)))
	equal(r, keys(r.due(0)), "a b", "the claimed jobs")
}
