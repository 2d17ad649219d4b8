package queuetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
)

func jobsCases() []testCase {
	return []testCase{
		{"JobsOrder", "Jobs come in the order of their keys, and have no Token.", jobsOrder},
		{"JobsPaging", "After and Limit page through the jobs, each once, whatever changes meanwhile.", jobsPaging},
		{"JobsFilter", "Each field of Filter selects what it says.", jobsFilter},
		{"JobsFilterAll", "A job must match all fields of Filter.", jobsFilterAll},
		{"JobsCopies", "A listed job is the caller's copy.", jobsCopies},
		{"JobsContext", "When ctx ends while Jobs lists, the list goes on or ends in ctx's error.", jobsContext},
		{"JobsLoopBody", "The loop body may call any method.", jobsLoopBody},
		{"JobsBreak", "A loop that is left early holds nothing.", jobsBreak},
		{"HeadsLanes", "Heads lists for each lane the job that is claimable first.", headsLanes},
		{"HeadsLeased", "A leased job is claimable when it is due and its lease has ended.", headsLeased},
		{"HeadsFilter", "The other fields choose among the heads.", headsFilter},
	}
}

func jobsOrder(r *run) {
	many := make([]*queue.Job, 12)
	for i := range many {
		many[i] = job("example.com", time.Duration(-i)*time.Second)
	}
	r.add(message("m-b"), message("m"), message("Z"), message("m.a"), message("10", many...), message("9"))
	r.claim(queue.ClaimRequest{Now: at(0), Limit: 3})
	jobs := r.list(queue.Filter{})
	equal(r, keys(jobs), "10 10/1 10/2 10/3 10/4 10/5 10/6 10/7 10/8 10/9 10/10 10/11 9 Z m m-b m.a", "the listed jobs")
	for _, j := range jobs {
		equal(r, j.Token, 0, "the Token of %s", j.Key)
	}
}

func jobsPaging(r *run) {
	const n = 40
	var want []string
	for i := range n {
		id := queue.ID(fmt.Sprintf("m%02d", i))
		r.add(message(id, job("a.example", 0), job("b.example", 0)))
		want = append(want, string(id), string(id)+"/1")
	}
	var got []string
	f := queue.Filter{Limit: 7}
	for {
		jobs := r.list(f)
		if len(jobs) == 0 {
			break
		}
		equal(r, len(jobs) <= f.Limit, true, "whether a page has at most Limit jobs")
		for _, j := range jobs {
			got = append(got, keys([]*queue.Job{j}))
			f.After = j.Key
		}
		if len(got) > 2*n {
			r.fatalf("paging doesn't end: %q", got)
		}
		r.commit(finish(r.takeKey(f.After, 0)))                             // the last one read
		r.add(message(queue.ID(fmt.Sprintf("a%d", len(got)))))              // before all
		r.claim(queue.ClaimRequest{Now: at(0), Lease: time.Hour, Limit: 1}) // somewhere
	}
	equal(r, strings.Join(got, " "), strings.Join(want, " "), "all pages")
	equal(r, keys(r.list(queue.Filter{After: queue.Key{ID: "m38", N: 1}})), "m39 m39/1", "the jobs after a key")
	equal(r, keys(r.list(queue.Filter{After: queue.Key{ID: "m385"}})), "m39 m39/1", "the jobs after a key that isn't stored")
	equal(r, keys(r.list(queue.Filter{After: queue.Key{ID: "z"}})), "", "the jobs after all keys")
	equal(r, keys(r.list(queue.Filter{ID: "m01", After: queue.Key{ID: "m01"}})), "m01/1", "the jobs of a message after a key")
	equal(r, keys(r.list(queue.Filter{Domain: "b.example", After: queue.Key{ID: "m01"}, Limit: 2})), "m01/1 m02/1", "a page of selected jobs")
}

// selection stores messages that each differ in one field from the first.
func (r *run) selection() {
	tenant, label, sender := message("tenant"), message("label"), message("sender")
	tenant.Message.Tenant = "t"
	label.Message.Labels = []string{"x", "y"}
	sender.Message.From = "other@example.org"
	r.add(
		message("plain"), tenant, label, sender,
		message("domain", job("example.net", 0)),
		message("two", job("example.com", 0, "one", "two"), job("example.net", 0, "three")),
		message("finished", finish(job("example.com", 0))),
		message("half", job("example.com", 0), finish(job("example.com", 0))),
	)
}

func jobsFilter(r *run) {
	r.selection()
	for _, c := range []struct {
		filter queue.Filter
		want   string
	}{
		{queue.Filter{ID: "two"}, "two two/1"},
		{queue.Filter{ID: "tw"}, ""},
		{queue.Filter{Domain: "example.net"}, "domain two/1"},
		{queue.Filter{Domain: "net"}, ""},
		{queue.Filter{Tenant: "t"}, "tenant"},
		{queue.Filter{Sender: "other@example.org"}, "sender"},
		{queue.Filter{Recipient: "two@example.com"}, "two"},
		{queue.Filter{Label: "y"}, "label"},
		{queue.Filter{Unfinished: true}, "domain half label plain sender tenant two two/1"},
		{queue.Filter{Ended: true}, "finished half/1"},
		{queue.Filter{Limit: 2}, "domain finished"},
		{queue.Filter{}, "domain finished half half/1 label plain sender tenant two two/1"},
	} {
		equal(r, sortedKeys(r.list(c.filter)), c.want, "the jobs listed with %+v", c.filter)
	}
}

func jobsFilterAll(r *run) {
	r.selection()
	for _, c := range []struct {
		filter queue.Filter
		want   string
	}{
		{queue.Filter{ID: "two", Domain: "example.net"}, "two/1"},
		{queue.Filter{ID: "two", Label: "x"}, ""},
		{queue.Filter{Domain: "example.net", Recipient: "three@example.net"}, "two/1"},
		{queue.Filter{Domain: "example.com", Tenant: "t", Sender: "sender@example.org"}, "tenant"},
		{queue.Filter{Label: "x", Limit: 1, Unfinished: true}, "label"},
		{queue.Filter{ID: "half", Unfinished: true}, "half"},
		{queue.Filter{ID: "half", Ended: true}, "half/1"},
		{queue.Filter{Ended: true, Unfinished: true}, ""},
		{queue.Filter{Domain: "example.com", Unfinished: true, Limit: 2}, "half label"},
	} {
		equal(r, keys(r.list(c.filter)), c.want, "the jobs listed with %+v", c.filter)
	}
}

func jobsCopies(r *run) {
	r.add(full("a"))
	before := r.state()
	for _, j := range r.list(queue.Filter{}) {
		j.Recipients[0].Address, j.Held, j.Domain = "changed", !j.Held, "changed"
		j.Message.Labels[0] = "changed"
	}
	r.unchanged(before, "a change of listed jobs")
}

func jobsContext(r *run) {
	jobs := make([]*queue.Job, 1000)
	for i := range jobs {
		jobs[i] = job("example.com", 0)
	}
	r.add(message("a", jobs...))
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	n, ended := 0, false
	for j, err := range r.q.Jobs(ctx, queue.Filter{}) {
		cancel()
		equal(r, ended, false, "whether the list goes on after an error")
		if err != nil {
			r.is(err, context.Canceled, "Jobs whose ctx has ended")
			equal(r, j == nil, true, "whether there is no job beside the error")
			ended = true
			continue
		}
		equal(r, j.Key.N, n, "the number of the next job")
		n++
	}
	equal(r, ended || n == len(jobs), true, "whether a list of %d of %d jobs ended in an error", n, len(jobs))
}

func jobsLoopBody(r *run) {
	const n = 20
	for i := range n {
		r.add(message(queue.ID(fmt.Sprintf("m%02d", i))))
	}
	finished, added := "", 0
	for _, f := range []queue.Filter{{ID: "m00"}, {Heads: true, Domain: "example.com"}, {Domain: "example.com"}, {Ended: true}} {
		for j, err := range r.q.Jobs(r.ctx, f) {
			r.ok(err, "Jobs with %+v", f)
			added++
			r.add(message(queue.ID(fmt.Sprintf("a%03d", added)), job("other.example", time.Hour)))
			equal(r, len(r.list(queue.Filter{ID: j.Key.ID})), 1, "the number of jobs listed by ID while jobs are listed")
			if j.Finished.IsZero() {
				equal(r, r.body(j.Key.ID), text(j.Key.ID), "the body of %s", j.Key)
				r.commit(finish(r.takeKey(j.Key, 0)))
				finished += string(j.Key.ID) + " "
			}
		}
	}
	equal(r, len(strings.Fields(finished)), n, "how many of %d jobs were listed and finished, namely %s", n, finished)
	equal(r, added, 2*n+2, "how often jobs were listed, before and after they were finished")
}

func jobsBreak(r *run) {
	r.add(message("a"), message("b"), message("c"))
	for _, f := range []queue.Filter{{}, {Heads: true}, {Domain: "example.com"}} {
		for range r.q.Jobs(r.ctx, f) {
			break
		}
	}
	r.add(message("d"))
	r.commit(finish(r.takeKey(queue.Key{ID: "d"}, 0)))
	for range r.q.Jobs(r.ctx, queue.Filter{Ended: true}) {
		break
	}
	r.add(message("e"))
}

func headsLanes(r *run) {
	held := inLane("held", lane("held.example"), 0)
	held.Jobs[0].Held = true
	heldFirst := inLane("a-held", lane("a.example"), -time.Hour)
	heldFirst.Jobs[0].Held = true
	expired := inLane("expired", lane("b.example"), time.Hour)
	expired.Message.Expires = at(-time.Hour)
	r.add(
		held, heldFirst, expired,
		message("finished", finish(job("finished.example", 0))),
		inLane("a2", lane("a.example"), time.Minute),
		inLane("a1", lane("a.example"), time.Minute),
		inLane("a0", lane("a.example"), 2*time.Minute),
		inLane("b", lane("b.example"), time.Minute),
		inLane("tenant", queue.Lane{Domain: "a.example", Tenant: "t"}, 0),
		inLane("priority", queue.Lane{Domain: "a.example", Priority: queue.High}, 0),
	)
	equal(r, sortedKeys(r.list(queue.Filter{Heads: true})), "a1 b priority tenant", "the heads")
	r.commit(finish(r.takeKey(queue.Key{ID: "a1"}, 0)))
	r.commit(finish(r.takeKey(queue.Key{ID: "tenant"}, 0)))
	equal(r, sortedKeys(r.list(queue.Filter{Heads: true})), "a2 b priority", "the heads when two are finished")
}

func headsLeased(r *run) {
	heads := func() string { return sortedKeys(r.list(queue.Filter{Heads: true})) }
	r.add(message("a"), message("b", job("example.com", time.Minute)), message("c", job("example.com", 2*lease)))
	j := r.take(0)
	equal(r, heads(), "b", "the head while an earlier job is leased")
	r.takeKey(queue.Key{ID: "b"}, time.Second)
	equal(r, heads(), "a", "the head while both are leased, the other one longer")
	r.commit(finish(j))
	equal(r, heads(), "b", "the head when a leased job and one due later are left")
}

func headsFilter(r *run) {
	r.selection()
	second := message("second", job("example.com", time.Hour))
	second.Message.Labels = []string{"second"}
	r.add(second)
	for _, c := range []struct {
		filter queue.Filter
		want   string
	}{
		{queue.Filter{Heads: true}, "domain half tenant"},
		{queue.Filter{Heads: true, Domain: "example.com"}, "half tenant"},
		{queue.Filter{Heads: true, Tenant: "t"}, "tenant"},
		{queue.Filter{Heads: true, Label: "second"}, ""},
		{queue.Filter{Heads: true, After: queue.Key{ID: "z"}}, "domain half tenant"},
	} {
		equal(r, sortedKeys(r.list(c.filter)), c.want, "the jobs listed with %+v", c.filter)
	}
	equal(r, len(r.list(queue.Filter{Heads: true, Limit: 2})), 2, "the number of heads with Limit 2")
}
