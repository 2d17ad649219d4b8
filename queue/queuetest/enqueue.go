package queuetest

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"

	"github.com/postroad/postroad/queue"
)

func enqueueCases() []testCase {
	return []testCase{
		{"EnqueueStores", "An entry is stored as given, and nothing else is.", enqueueStores},
		{"EnqueueIgnores", "The Message, Token, Leased and Lapses of an entry's jobs, and marks, are not looked at.", enqueueIgnores},
		{"EnqueueCopies", "An entry and what it points to are the caller's again when Enqueue returns.", enqueueCopies},
		{"EnqueueSameID", "An ID that is stored with the same Digest changes nothing: added is false, err is nil.", enqueueSameID},
		{"EnqueueConflict", "An ID that is stored with another Digest is ErrConflict, and changes nothing.", enqueueConflict},
		{"EnqueueFinishedID", "An ID stays taken when its message is finished.", enqueueFinishedID},
		{"EnqueueConcurrently", "Of several Enqueues of one ID exactly one adds it.", enqueueConcurrently},
		{"EnqueueManyJobs", "All jobs of a message are stored, each under its own key.", enqueueManyJobs},
		{"EnqueueFinished", "A job that is finished when it is enqueued is never claimed, and its recipients have marks.", enqueueFinished},
	}
}

// full makes an entry with every field set.
func full(id queue.ID) *queue.Entry {
	e := message(id, job("example.com", 0, "a", "b"), job("example.net", 0))
	m := &e.Message
	m.Tenant, m.Priority, m.Labels = "tenant", queue.High, []string{"one", "zwölf"}
	m.UTF8, m.EightBit, m.Return, m.EnvelopeID, m.TLS = true, true, queue.ReturnHeaders, "envelope", queue.TLSVerified
	j := e.Jobs[0]
	j.Held, j.Via, j.Tries = true, "smtp://relay.example:587", 7
	reply := queue.Reply{
		Host: "mx.example.com", Addr: "192.0.2.1:25", Phase: "rcpt", Code: 451, Enhanced: "4.7.1", Text: "later,\nplease",
	}
	j.Attempts = []queue.Attempt{
		{Time: at(-2 * lease), Took: 1234567, TLS: "TLS 1.3", Verified: true, QueueID: "4c8xyz", Reply: reply},
		{Time: at(-1 * lease), Took: 0, Uncertain: true, Reply: queue.Reply{Phase: "route", Text: "no such host"}},
	}
	j.Recipients[0] = queue.Recipient{
		Address: "a@example.com", From: "verp+a@example.org", Uncertain: true, Reply: reply,
		Notify: queue.NotifySuccess | queue.NotifyDelay, Original: "rfc822;A@example.com", Reason: "who knows", Report: "report",
	}
	j.Recipients[1].State, j.Recipients[1].From, j.Recipients[1].Decided = queue.Failed, "verp+a@example.org", at(-1*lease)
	return e
}

// want is what must be listed of j once e is stored: what the queue sets is set.
func want(e *queue.Entry, size int, j *queue.Job) *queue.Job {
	c := j.Clone()
	c.Message = e.Message
	c.Message.Size = int64(size)
	c.Token, c.Lapses = 0, 0
	return c
}

func enqueueStores(r *run) {
	e := full("a")
	r.add(e)
	jobs := r.list(queue.Filter{})
	equal(r, keys(jobs), "a a/1", "what Jobs lists")
	for i, j := range jobs {
		equal(r, describe(j), describe(want(e, len(text("a")), e.Jobs[i])), "job %d as listed", i)
	}
	equal(r, r.body("a"), text("a"), "the body")
}

func enqueueIgnores(r *run) {
	e := message("a", job("example.com", 0, "x", "y"))
	plain := want(e, len(text("a")), e.Jobs[0])
	j := e.Jobs[0]
	j.Message, j.Token, j.Leased, j.Lapses = queue.Message{ID: "b", Tenant: "other"}, 77, at(lease), 5
	j.Recipients[0].Mark = 99
	r.add(e)
	equal(r, describe(r.get(queue.Key{ID: "a"})), describe(plain), "the job as listed")
	equal(r, keys(r.due(0)), "a", "what is claimable")
}

func enqueueCopies(r *run) {
	e := full("a")
	r.add(e)
	before := r.state()
	e.Message.Labels[0], e.Message.Tenant = "changed", "changed"
	j := e.Jobs[0]
	j.Recipients[0].Address, j.Attempts[0].TLS, j.Held = "changed", "changed", false
	r.unchanged(before, "a change of the caller's entry")
}

func enqueueSameID(r *run) {
	r.add(message("a"))
	before := r.state()
	again := message("a", job("example.net", 0), job("example.org", 0))
	again.Message.Tenant = "other"
	added, err := r.q.Enqueue(r.ctx, again)
	r.ok(err, "Enqueue of a stored ID")
	equal(r, added, false, "added")
	r.unchanged(before, "Enqueue of a stored ID")
	equal(r, r.body("a"), text("a"), "the body")
}

func other(id queue.ID) *queue.Entry {
	e := message(id)
	e.Message.Digest = sha256.Sum256([]byte("another message"))
	return e
}

func enqueueConflict(r *run) {
	r.add(message("a"))
	before := r.state()
	added, err := r.q.Enqueue(r.ctx, other("a"))
	r.is(err, queue.ErrConflict, "Enqueue with another Digest")
	equal(r, added, false, "added")
	r.unchanged(before, "Enqueue with another Digest")
	equal(r, r.body("a"), text("a"), "the body")
}

func enqueueFinishedID(r *run) {
	r.add(message("a"))
	r.commit(finish(r.take(0)))
	before := r.state()
	added, err := r.q.Enqueue(r.ctx, message("a"))
	r.ok(err, "Enqueue of a finished ID")
	equal(r, added, false, "added")
	_, err = r.q.Enqueue(r.ctx, other("a"))
	r.is(err, queue.ErrConflict, "Enqueue of a finished ID with another Digest")
	r.unchanged(before, "Enqueue of a finished ID")
	equal(r, keys(r.due(lease)), "", "what is claimable")
}

func enqueueConcurrently(r *run) {
	for _, id := range []queue.ID{"a", "b", "c", "d"} {
		var wg sync.WaitGroup
		var count atomic.Int64
		for range 8 {
			wg.Go(func() {
				added, err := r.q.Enqueue(r.ctx, message(id))
				if err != nil {
					r.errorf("Enqueue: %v", err)
				}
				if added {
					count.Add(1)
				}
			})
		}
		wg.Wait()
		equal(r, count.Load(), 1, "how many of 8 Enqueues of %s returned added", id)
	}
	equal(r, keys(r.list(queue.Filter{})), "a b c d", "what is stored")
	equal(r, len(r.due(0)), 4, "how many jobs are claimable")
}

func enqueueManyJobs(r *run) {
	const n = 1200
	var jobs []*queue.Job
	for i := range n {
		jobs = append(jobs, job([]string{"example.com", "example.net"}[i%2], 0))
	}
	r.add(message("a", jobs...))
	for i, j := range r.list(queue.Filter{}) {
		equal(r, j.Key, queue.Key{ID: "a", N: i}, "the key of job %d in the order of keys", i)
		equal(r, j.Domain, jobs[i].Domain, "the domain of job %d", i)
	}
	equal(r, len(r.claim(queue.ClaimRequest{Now: at(0), Limit: 2 * n}).Jobs), n, "how many jobs are claimable")
}

func enqueueFinished(r *run) {
	half, done := message("a", finish(job("example.com", 0)), job("example.net", 0)), message("b", finish(job("example.com", 0)))
	r.add(half, done)
	equal(r, keys(r.due(lease)), "a/1", "what is claimable")
	equal(r, sortedKeys(r.list(queue.Filter{Ended: true})), "a b", "what has ended")
	equal(r, r.body("a"), text("a"), "the body of a message with an unfinished job")
	_, err := r.q.Open(r.ctx, "b")
	r.is(err, queue.ErrNotFound, "Open of a message without unfinished jobs")
}
