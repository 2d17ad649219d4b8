package queuetest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/postroad/postroad/queue"
)

func reopenCases() []testCase {
	return []testCase{
		{"ReopenStored", "What was stored when a method returned is there after a crash.", reopenStored},
		{"ReopenFinished", "A finished message stays finished, its ID taken and its body gone, after a crash.", reopenFinished},
		{"ReopenBounce", "A job's outcome and the messages that follow from it are both there after a crash.", reopenBounce},
		{"ReopenLease", "A lease that a crash cut short leaves a job that is claimable when it has ended, at the latest.", reopenLease},
		{"ReopenToken", "No token is given out twice, not even after a crash.", reopenToken},
		{"ReopenRepeated", "A commit can be repeated after a crash.", reopenRepeated},
		{"ReopenMarks", "Marks go on after a crash where they were.", reopenMarks},
		{"ReopenNotes", "Notes are there after a crash.", reopenNotes},
	}
}

func (r *run) reopen() {
	if r.hooks.reopen == nil {
		r.skip("needs the option Reopen")
	}
	r.inTest(func() { r.q = r.hooks.reopen(r.q) })
}

func reopenStored(r *run) {
	body := large(700_000)
	e := full("large")
	e.Body = bytes.NewReader(body)
	r.add(message("a", job("a.example", 0, "x", "y"), job("b.example", lease)), e)
	j := r.takeKey(queue.Key{ID: "a"}, 0)
	j.Recipients[0].State, j.Due, j.Tries = queue.Delivered, at(2*lease), 1
	r.commit(j)
	before := r.state()
	for range 2 {
		r.reopen()
		r.unchanged(before, "reopening")
	}
	equal(r, r.body("a"), text("a"), "the body")
	equal(r, r.body("large") == string(body), true, "whether a large body is the stored one")
	equal(r, keys(r.due(0)), "large/1", "what is claimable")
	equal(r, keys(r.due(lease)), "large/1 a/1", "what is claimable later")
	added, err := r.q.Enqueue(r.ctx, message("a"))
	r.ok(err, "Enqueue of a stored ID")
	equal(r, added, false, "added")
	r.add(message("b"))
}

func reopenFinished(r *run) {
	r.add(message("a"))
	r.commit(finish(r.take(0)))
	before := r.state()
	r.reopen()
	r.unchanged(before, "reopening")
	_, err := r.q.Open(r.ctx, "a")
	r.is(err, queue.ErrNotFound, "Open of a finished message")
	added, err := r.q.Enqueue(r.ctx, message("a"))
	r.ok(err, "Enqueue of a finished ID")
	equal(r, added, false, "added")
	_, err = r.q.Enqueue(r.ctx, other("a"))
	r.is(err, queue.ErrConflict, "Enqueue of a finished ID with another Digest")
	equal(r, keys(r.due(lease)), "", "what is claimable")
}

func reopenBounce(r *run) {
	j := r.failed()
	r.commit(j, bounce("bounce"))
	before := r.state()
	r.reopen()
	r.unchanged(before, "reopening")
	equal(r, r.body("bounce"), text("bounce"), "the body of the bounce")
}

func reopenLease(r *run) {
	r.add(message("a"), message("b"))
	r.claim(queue.ClaimRequest{Now: at(0), Limit: 1})
	r.reopen()
	equal(r, keys(r.due(lease)), "a b", "what is claimable at the end of the lease")
}

func reopenToken(r *run) {
	r.add(message("a"), message("b"))
	seen := map[queue.Token]bool{0: true}
	for i := range 4 {
		jobs := r.claim(queue.ClaimRequest{Now: at(lease * 2), Lease: time.Microsecond, Limit: 9}).Jobs
		for _, j := range jobs {
			equal(r, seen[j.Token], false, "whether token %d is zero or was given out before", j.Token)
			seen[j.Token] = true
			j.Tries = i
			r.commit(j)
		}
		for _, j := range r.claim(queue.ClaimRequest{Now: at(lease * 2), Lease: time.Microsecond, Limit: 9}).Jobs {
			equal(r, seen[j.Token], false, "whether token %d is zero or was given out before", j.Token)
			seen[j.Token] = true // and is never committed
		}
		r.reopen()
		// By key, since a queue may keep back what it suspects of having ended its process.
		jobs = r.claim(queue.ClaimRequest{
			Now: at(lease * 3), Lease: time.Microsecond, Limit: 9, Keys: []queue.Key{{ID: "a"}, {ID: "b"}},
		}).Jobs
		equal(r, keys(jobs), "a b", "what is claimable by key after reopening")
		for _, j := range jobs {
			equal(r, seen[j.Token], false, "whether token %d is zero or was given out before", j.Token)
			seen[j.Token] = true
			r.commit(j)
		}
	}
}

func reopenRepeated(r *run) {
	r.add(message("a"))
	j := r.take(0)
	j.Tries = 1
	r.commit(j, bounce("bounce"))
	before := r.state()
	r.reopen()
	r.commit(j, bounce("bounce"))
	r.unchanged(before, "a repeated commit")
	stale := j.Clone()
	stale.Token = 0
	r.is(r.q.Commit(r.ctx, stale), queue.ErrLeaseLost, "Commit without a token")
}

func reopenMarks(r *run) {
	want := ""
	for i := range 4 {
		id := queue.ID(fmt.Sprintf("m%d", 9-i))
		r.add(message(id))
		r.end(queue.Key{ID: id}, 0)
		want += " " + string(id)
		r.reopen()
	}
	var last queue.Mark
	got := ""
	for _, j := range r.list(queue.Filter{Ended: true}) {
		equal(r, j.Mark() > last, true, "whether the mark of %s is greater than the one before", j.Key)
		last = j.Mark()
		got += " " + j.Key.String()[:2]
	}
	equal(r, got, want, "what has ended")
}

func reopenNotes(r *run) {
	n, ok := r.q.(queue.Notes)
	if !ok {
		r.skip("has no Notes")
	}
	r.ok(n.Set(r.ctx, "kept", []byte("value")), "Set")
	r.ok(n.Set(r.ctx, "removed", []byte("value")), "Set")
	r.ok(n.Set(r.ctx, "removed", nil), "Set to nil")
	r.reopen()
	equal(r, r.note("kept"), `"value"`, "a note after reopening")
	equal(r, r.note("removed"), "nil", "a removed note after reopening")
}
