package queuetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/queue"
)

func endedCases() []testCase {
	return []testCase{
		{"EndedMarks", "A recipient gets a mark once, when its state becomes final, greater than all marks before.", endedMarks},
		{"EndedFinal", "Only Delivered, Bounced and Withdrawn are final: other states get no mark.", endedFinal},
		{"EndedOrder", "Ended lists jobs in the order of their marks.", endedOrder},
		{"EndedSince", "Since and Limit page through what has ended.", endedSince},
		{"EndedAgain", "A job whose next recipient ends is listed again, behind all others, with the marks that it has there.", endedAgain},
		{"EndedMore", "Marks are given to what has ended in the entries of more, too.", endedMore},
		{"EndedConcurrently", "A reader who pages on while commits go on sees each recipient once.", endedConcurrently},
	}
}

// end commits the recipient with this number as delivered.
func (r *run) end(k queue.Key, recipient int) *queue.Job {
	j := r.takeKey(k, 0)
	j.Recipients[recipient].State = queue.Delivered
	r.commit(j)
	return r.get(k)
}

func endedMarks(r *run) {
	r.add(message("a", job("example.com", 0, "x", "y", "z")), message("b"))
	k := queue.Key{ID: "a"}
	first := r.end(k, 1).Recipients[1].Mark
	equal(r, first > 0, true, "whether the first mark is set")
	b := r.end(queue.Key{ID: "b"}, 0).Mark()
	equal(r, b > first, true, "whether the second mark is greater than the first")
	j := r.end(k, 0)
	equal(r, j.Recipients[0].Mark > b, true, "whether the third mark is greater than the second")
	equal(r, j.Recipients[1].Mark, first, "the first mark later")
	equal(r, j.Recipients[2].Mark, 0, "the mark of a pending recipient")
	equal(r, j.Mark(), j.Recipients[0].Mark, "the job's mark")
	before := r.state()
	r.commit(r.takeKey(k, 0))
	r.unchanged(before, "a commit in which nothing ended")
}

func endedFinal(r *run) {
	r.add(message("a", job("example.com", 0, "v", "w", "x", "y", "z")))
	j := r.take(0)
	states := []queue.State{queue.Pending, queue.Failed, queue.Delivered, queue.Bounced, queue.Withdrawn}
	for i, s := range states {
		j.Recipients[i].State = s
	}
	r.commit(j)
	seen := map[queue.Mark]bool{0: true}
	for i, to := range r.get(j.Key).Recipients {
		equal(r, to.State, states[i], "the state of recipient %d", i)
		equal(r, to.Mark > 0, to.State.Final(), "whether the %v recipient has a mark", to.State)
		equal(r, to.State.Final() && seen[to.Mark], false, "whether another recipient has the mark of the %v one", to.State)
		seen[to.Mark] = true
	}
	j = r.take(0)
	j.Recipients[1].State = queue.Bounced
	r.commit(j)
	equal(r, r.get(j.Key).Recipients[1].Mark > 0, true, "whether the recipient has a mark when the sender was told")
}

func endedOrder(r *run) {
	for _, id := range []queue.ID{"a", "b", "c", "d", "e"} {
		r.add(message(id))
	}
	for _, id := range []queue.ID{"c", "a", "e", "b"} {
		r.end(queue.Key{ID: id}, 0)
	}
	r.add(message("0", finish(job("example.com", 0))))
	jobs := r.list(queue.Filter{Ended: true, After: queue.Key{ID: "z"}})
	equal(r, keys(jobs), "c a e b 0", "what has ended")
	for i, j := range jobs[1:] {
		equal(r, j.Mark() > jobs[i].Mark(), true, "whether the mark of %s is greater than that of %s", j.Key, jobs[i].Key)
	}
}

func endedSince(r *run) {
	const n = 15
	for i := range n {
		id := queue.ID(fmt.Sprintf("m%02d", n-i))
		r.add(message(id, job([]string{"a.example", "b.example"}[i%2], 0)))
		r.end(queue.Key{ID: id}, 0)
	}
	f := queue.Filter{Ended: true, Limit: 4}
	got := ""
	for range n {
		jobs := r.list(f)
		if len(jobs) == 0 {
			break
		}
		f.Since = jobs[len(jobs)-1].Mark()
		got += keys(jobs) + ";"
	}
	equal(r, got, "m15 m14 m13 m12;m11 m10 m09 m08;m07 m06 m05 m04;m03 m02 m01;", "the pages")
	equal(r, keys(r.list(queue.Filter{Ended: true, Domain: "b.example", Limit: 3})), "m14 m12 m10", "a page of one domain")
	equal(r, keys(r.list(queue.Filter{Ended: true, Since: f.Since + 1000})), "", "what has ended after a mark to come")
}

func endedAgain(r *run) {
	r.add(message("a", job("example.com", 0, "x", "y")), message("b"))
	a := r.end(queue.Key{ID: "a"}, 0).Mark()
	b := r.end(queue.Key{ID: "b"}, 0).Mark()
	last := r.end(queue.Key{ID: "a"}, 1).Mark()
	jobs := r.list(queue.Filter{Ended: true})
	equal(r, keys(jobs), "a b a", "what has ended")
	equal(r, jobs[0].Mark(), a, "the mark of the job where its first recipient ended")
	equal(r, jobs[0].Recipients[1].State, queue.Delivered, "the state of the second recipient, there too")
	equal(r, jobs[1].Mark(), b, "the mark of the other job")
	equal(r, jobs[2].Mark(), last, "the mark of the job where its second recipient ended")
	equal(r, jobs[2].Recipients[0].Mark, a, "the mark of its first recipient there")
	equal(r, r.get(queue.Key{ID: "a"}).Mark(), last, "the mark of the job, listed by its key")
	equal(r, keys(r.list(queue.Filter{Ended: true, Since: a})), "b a", "what has ended after the first")
	equal(r, keys(r.list(queue.Filter{Ended: true, Since: b})), "a", "what has ended after the second")
	equal(r, keys(r.list(queue.Filter{Ended: true, Since: last})), "", "what has ended after the last")
}

func endedMore(r *run) {
	r.add(message("a"))
	j := r.take(0)
	j.Recipients[0].State = queue.Bounced
	r.commit(j, message("dropped", finish(job("example.org", 0))))
	jobs := r.list(queue.Filter{Ended: true})
	equal(r, sortedKeys(jobs), "a dropped", "what has ended")
	equal(r, jobs[0].Mark() != jobs[1].Mark(), true, "whether the marks differ")
}

func endedConcurrently(r *run) {
	const n = 120
	for i := range n {
		r.add(message(queue.ID(fmt.Sprintf("m%03d", i)), job("example.com", 0, "x", "y")))
	}
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() { r.endAll() })
	}
	var idle atomic.Bool
	go func() { writers.Wait(); idle.Store(true) }()
	defer writers.Wait()

	ends := map[string]int{} // recipients seen as ended
	f := queue.Filter{Ended: true, Limit: 5}
	for last := false; ; {
		jobs := r.list(f)
		for _, j := range jobs {
			if j.Mark() <= f.Since {
				r.fatalf("%s was listed with mark %d after %d", j.Key, j.Mark(), f.Since)
			}
			for _, to := range j.Recipients {
				if to.Mark > f.Since {
					ends[fmt.Sprint(j.Key, to.Address)]++
				}
			}
			f.Since = j.Mark()
		}
		if len(jobs) == 0 {
			if last {
				break
			}
			last = idle.Load()
		}
		r.ok(r.ctx.Err(), "reading what has ended")
	}
	for i := range n {
		k := queue.Key{ID: queue.ID(fmt.Sprintf("m%03d", i))}
		for _, to := range r.get(k).Recipients {
			if times := ends[fmt.Sprint(k, to.Address)]; times != 1 {
				r.fatalf("a reader of what has ended has seen %s of %s, whose mark is %d, %d times", to.Address, k, to.Mark, times)
			}
		}
	}
}

// endAll ends one recipient after the other until none is left.
func (r *run) endAll() {
	for {
		c, err := r.q.Claim(r.ctx, queue.ClaimRequest{Now: at(0), Lease: lease, Limit: 3})
		if err != nil {
			r.errorf("Claim: %v", err)
			return
		}
		if len(c.Jobs) == 0 {
			return
		}
		for _, j := range c.Jobs {
			if j.Recipients[0].State == queue.Pending {
				j.Recipients[0].State = queue.Delivered
			} else {
				j.Recipients[1].State, j.Finished = queue.Withdrawn, at(time.Second)
			}
			if err := r.q.Commit(r.ctx, j); err != nil {
				r.errorf("Commit: %v", err)
				return
			}
		}
	}
}
