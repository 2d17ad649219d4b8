package queuetest

import (
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

func commitCases() []testCase {
	return []testCase{
		{"CommitStores", "Commit stores the job as it now is, and ends its lease.", commitStores},
		{"CommitKeeps", "The queue keeps its own Message, Domain and marks.", commitKeeps},
		{"CommitCopies", "A committed job is the caller's again.", commitCopies},
		{"CommitStale", "A token that is not the one of the latest claim is ErrLeaseLost, and changes nothing.", commitStale},
		{"CommitSpent", "A token that an earlier commit spent is ErrLeaseLost, and changes nothing.", commitSpent},
		{"CommitNoToken", "A job that isn't leased under the token is ErrLeaseLost: zero is no token, nor is another job's.", commitNoToken},
		{"CommitLate", "A lease whose time has passed, but that nobody has claimed since, can be committed.", commitLate},
		{"CommitRepeated", "Commit with the token of the job's latest commit returns nil and changes nothing.", commitRepeated},
		{"CommitRepeatedClaimed", "A repeated commit settles what happened even if the job has been claimed since.", commitRepeatedClaimed},
		{"CommitConcurrently", "Of concurrent commits with one token one takes place, and all return nil.", commitConcurrently},
		{"CommitInvalid", "A job that Check refuses is ErrInvalid, and the lease goes on.", commitInvalid},
		{"CommitFinished", "A finished job stays listed and is never claimed again.", commitFinished},
		{"CommitNeighbours", "Commit changes no other job of the message.", commitNeighbours},
	}
}

func commitStores(r *run) {
	r.add(message("a", job("example.com", 0, "a", "b")))
	j := r.take(0)
	f := full("a").Jobs[0]
	j.Recipients, j.Attempts, j.Tries = f.Recipients, f.Attempts, f.Tries
	j.Due, j.Held, j.Via, j.Lapses = at(time.Hour), true, "smtp://relay.example", 4
	r.commit(j)
	stored := j.Clone()
	stored.Token, stored.Leased = 0, time.Time{}
	equal(r, describe(r.get(j.Key)), describe(stored), "the job as listed")
	j = r.takeKey(j.Key, 0)
	j.Held, j.Due, j.Attempts, j.Via = false, at(time.Minute), nil, ""
	r.commit(j)
	stored = j.Clone()
	stored.Token, stored.Leased = 0, time.Time{}
	equal(r, describe(r.get(j.Key)), describe(stored), "the job as listed after the second commit")
	equal(r, keys(r.due(time.Minute-time.Microsecond)), "", "what is claimable before the new Due, within the old lease")
	equal(r, keys(r.due(time.Minute)), "a", "what is claimable at the new Due, within the old lease")
}

func commitKeeps(r *run) {
	r.add(message("a", job("example.com", 0, "x", "y")))
	j := r.take(0)
	j.Recipients[0].State = queue.Delivered
	j.Recipients[1].Mark = 1000
	r.commit(j)
	before := r.get(j.Key)
	equal(r, before.Recipients[0].Mark > 0, true, "whether the delivered recipient has a mark")
	equal(r, before.Recipients[1].Mark, 0, "the mark of the pending recipient")
	j = r.take(0)
	j.Message = queue.Message{ID: "a", Tenant: "other", Priority: queue.High, Expires: at(0)}
	j.Domain = "other.example"
	j.Recipients[0].Mark = 0
	r.commit(j)
	equal(r, describe(r.get(j.Key)), describe(before), "the job as listed")
	c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 9, Take: []queue.Take{{Lane: lane("example.com"), N: 9}}})
	equal(r, keys(c.Jobs), "a", "what is claimable of the job's lane")
}

func commitCopies(r *run) {
	r.add(full("a"))
	j := r.takeKey(queue.Key{ID: "a"}, 0)
	r.commit(j)
	before := r.state()
	j.Recipients[0].Address, j.Attempts[0].TLS, j.Message.Labels[0], j.Held = "changed", "changed", "changed", false
	r.unchanged(before, "a change of the committed job")
}

func commitStale(r *run) {
	r.add(message("a"))
	first := r.take(0)
	second := r.take(lease)
	before := r.state()
	err := r.q.Commit(r.ctx, finish(first), message("bounce"))
	r.is(err, queue.ErrLeaseLost, "Commit with the token of an earlier claim")
	r.unchanged(before, "a refused commit")
	equal(r, keys(r.due(lease)), "", "what is claimable while the second lease lasts")
	r.commit(finish(second))
}

func commitSpent(r *run) {
	r.add(message("a"))
	first := r.take(0)
	r.commit(first)
	second := r.take(0)
	r.commit(second)
	before := r.state()
	err := r.q.Commit(r.ctx, finish(first), message("bounce"))
	r.is(err, queue.ErrLeaseLost, "Commit with a token that an earlier commit spent")
	r.unchanged(before, "a refused commit")
}

func commitNoToken(r *run) {
	r.add(message("a"), message("b"), message("never"))
	jobs := r.claim(queue.ClaimRequest{Now: at(0), Limit: 2}).Jobs
	a, b := jobs[0], jobs[1]
	never := r.get(queue.Key{ID: "never"})
	before := r.state()
	refused := func(j *queue.Job, token queue.Token, what string) {
		j = finish(j.Clone())
		j.Token = token
		r.is(r.q.Commit(r.ctx, j, message("bounce")), queue.ErrLeaseLost, "Commit %s", what)
		r.unchanged(before, "Commit %s", what)
	}
	refused(never, 0, "of a job that was never claimed, without a token")
	refused(never, a.Token, "of a job that was never claimed, with the token of another")
	refused(a, 0, "without a token")
	refused(a, b.Token, "with the token of another job")
	refused(a, a.Token+1000, "with an invented token")
	unknown := a.Clone()
	unknown.Key.ID = "unknown"
	refused(unknown, a.Token, "of an unknown message")
	for _, n := range []int{-1, 1} {
		unknown.Key = queue.Key{ID: "a", N: n}
		refused(unknown, a.Token, "of a job with an unknown number")
	}
	r.commit(a)
	before = r.state()
	refused(a, 0, "without a token, after a commit")
}

func commitLate(r *run) {
	r.add(message("a"))
	j := r.take(0)
	r.claim(queue.ClaimRequest{Now: at(2 * lease)}) // shows the queue that time has passed, and leases nothing
	r.commit(finish(j))
	equal(r, keys(r.list(queue.Filter{Unfinished: true})), "", "what is unfinished")
}

func commitRepeated(r *run) {
	r.add(message("a", job("example.com", 0, "x", "y")))
	j := r.take(0)
	j.Recipients[0].State, j.Due = queue.Delivered, at(time.Minute)
	r.commit(j, message("bounce", job("example.org", time.Hour)))
	before := r.state()
	r.commit(j, message("bounce", job("example.org", time.Hour)))
	r.unchanged(before, "a repeated commit")
	different := finish(j.Clone())
	r.commit(different, message("another", job("example.org", time.Hour)))
	r.unchanged(before, "a repeated commit of something else")
	r.commit(j, other("bounce"))
	r.unchanged(before, "a repeated commit with another message under the ID of the first one's")
	equal(r, keys(r.due(time.Minute)), "a", "what is claimable at the job's new Due")
}

func commitRepeatedClaimed(r *run) {
	r.add(message("a"))
	first := r.take(0)
	r.commit(first)
	second := r.take(0)
	before := r.state()
	r.commit(finish(first))
	r.unchanged(before, "a repeated commit")
	equal(r, keys(r.due(0)), "", "what is claimable while the second lease lasts")
	r.commit(finish(second))
	equal(r, r.get(second.Key).Finished.IsZero(), false, "whether the second owner's commit was stored")
}

func commitConcurrently(r *run) {
	r.add(message("a", job("example.com", 0, "x", "y")))
	j := r.take(0)
	j.Recipients[0].State, j.Tries = queue.Delivered, 1
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := r.q.Commit(r.ctx, j.Clone(), message("bounce")); err != nil {
				r.errorf("Commit: %v", err)
			}
		})
	}
	wg.Wait()
	equal(r, keys(r.list(queue.Filter{})), "a bounce", "what is stored")
	equal(r, keys(r.list(queue.Filter{Ended: true})), "a", "what has ended")
	equal(r, r.get(j.Key).Tries, 1, "Tries")
	equal(r, keys(r.due(0)), "a bounce", "what is claimable")
}

func commitInvalid(r *run) {
	broken := map[string]func(*queue.Job){
		"no recipients":      func(j *queue.Job) { j.Recipients = nil },
		"no due time":        func(j *queue.Job) { j.Due = time.Time{} },
		"finished too early": func(j *queue.Job) { j.Finished, j.Recipients[0].State = at(0), queue.Failed },
		"a NUL":              func(j *queue.Job) { j.Recipients[0].Reply.Text = "\x00" },
		"too many attempts":  func(j *queue.Job) { j.Attempts = make([]queue.Attempt, queue.MaxAttempts+1) },
	}
	r.add(message("a"))
	j := r.take(0)
	before := r.state()
	for name, change := range broken {
		b := j.Clone()
		change(b)
		err := r.q.Commit(r.ctx, b, message("bounce"))
		r.is(err, queue.ErrInvalid, "Commit of a job with %s", name)
		r.unchanged(before, "Commit of a job with %s", name)
	}
	r.commit(j)
}

func commitFinished(r *run) {
	r.add(message("a"))
	j := finish(r.take(0))
	r.commit(j)
	got := r.get(j.Key)
	equal(r, got.Finished.Equal(j.Finished), true, "whether Finished is as committed")
	equal(r, got.Leased.IsZero(), true, "whether Leased is zero")
	c := r.claim(queue.ClaimRequest{Now: got.Message.Expires.Add(time.Hour), Limit: 9, Expired: true})
	equal(r, keys(c.Jobs), "", "what is claimable after expiry")
	equal(r, moment(c.Next), "never", "Next")
}

func commitNeighbours(r *run) {
	r.add(message("a", job("a.example", 0), job("b.example", 0), job("c.example", time.Hour)))
	jobs := r.due(0)
	first, third := describe(r.get(queue.Key{ID: "a"})), describe(r.get(queue.Key{ID: "a", N: 2}))
	r.commit(finish(jobs[1]))
	equal(r, describe(r.get(queue.Key{ID: "a"})), first, "a leased job of the same message")
	equal(r, describe(r.get(queue.Key{ID: "a", N: 2})), third, "a waiting job of the same message")
	r.commit(jobs[0])
}
