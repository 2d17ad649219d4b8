package queuetest

import (
	"errors"
	"io"
	"strings"
	"testing/iotest"
	"time"

	"github.com/postroad/postroad/queue"
)

func moreCases() []testCase {
	return []testCase{
		{"MoreStored", "Commit enqueues more together with the job's new state.", moreStored},
		{"MoreBodyFails", "If a body of more fails, Commit changes nothing, and the lease goes on.", moreBodyFails},
		{"MoreInvalid", "If an entry of more is ErrInvalid, Commit changes nothing, and the lease goes on.", moreInvalid},
		{"MoreConflict", "If an entry of more is ErrConflict, Commit changes nothing, and the lease goes on.", moreConflict},
		{"MoreSameID", "An entry of more that is stored with the same Digest is passed over.", moreSameID},
		{"MoreTwice", "Two entries of more with one ID are the first one, or ErrConflict.", moreTwice},
		{"MoreLeaseLost", "A commit that is ErrLeaseLost enqueues nothing.", moreLeaseLost},
		{"MoreSlow", "A body of more that takes its time keeps no other method waiting, and the lease can be lost meanwhile.", moreSlow},
	}
}

// failed is a job whose owner has given up, and has a bounce to send.
func (r *run) failed() *queue.Job {
	r.add(message("a"))
	j := r.take(0)
	j.Recipients[0].State, j.Finished = queue.Bounced, at(time.Second)
	return j
}

func bounce(id queue.ID) *queue.Entry {
	e := message(id, job("example.org", time.Hour, "sender"))
	e.Message.From = ""
	return e
}

func moreStored(r *run) {
	j := r.failed()
	first, second := bounce("bounce"), full("copy")
	second.Head = func() ([]byte, error) { return []byte("Auto-Submitted: auto-replied\r\n"), nil }
	r.commit(j, first, second)
	equal(r, r.get(j.Key).Recipients[0].State, queue.Bounced, "the state of the recipient")
	equal(r, describe(r.get(queue.Key{ID: "bounce"})), describe(want(first, len(text("bounce")), first.Jobs[0])), "the bounce as listed")
	equal(r, r.body("bounce"), text("bounce"), "the body of the bounce")
	equal(r, r.body("copy"), "Auto-Submitted: auto-replied\r\n"+text("copy"), "the body of an entry with Head")
	equal(r, keys(r.list(queue.Filter{ID: "copy"})), "copy copy/1", "the jobs of an entry with two")
	equal(r, keys(r.due(time.Hour)), "copy/1 bounce", "what is claimable")
}

// refused checks that a commit of j with more fails with want and changes nothing, and that j can still be committed.
func (r *run) refused(j *queue.Job, want error, more ...*queue.Entry) {
	before := r.state()
	r.is(r.q.Commit(r.ctx, j, more...), want, "Commit")
	r.unchanged(before, "a commit that failed")
	equal(r, r.body("a"), text("a"), "the body of the job's message")
	_, err := r.q.Open(r.ctx, "bounce")
	r.is(err, queue.ErrNotFound, "Open of the bounce")
	equal(r, keys(r.due(0)), "", "what is claimable while the lease lasts")
	r.commit(j, bounce("bounce"))
	equal(r, r.get(j.Key).Finished.IsZero(), false, "whether the job is finished after a good commit")
	equal(r, r.body("bounce"), text("bounce"), "the body of the bounce after a good commit")
}

func moreBodyFails(r *run) {
	broken := errors.New("the body broke")
	e := bounce("broken")
	e.Body = io.MultiReader(strings.NewReader(strings.Repeat("half a body\r\n", 50_000)), iotest.ErrReader(broken))
	r.refused(r.failed(), broken, bounce("bounce"), e)
}

func moreInvalid(r *run) {
	e := bounce("invalid")
	e.Jobs[0].Recipients = nil
	r.refused(r.failed(), queue.ErrInvalid, bounce("bounce"), e)
}

func moreConflict(r *run) {
	r.add(bounce("stored"))
	r.refused(r.failed(), queue.ErrConflict, bounce("bounce"), other("stored"))
}

func moreSameID(r *run) {
	stored := bounce("stored")
	stored.Message.Tenant = "first"
	r.add(stored)
	j := r.failed()
	r.commit(j, bounce("stored"), bounce("bounce"))
	equal(r, r.get(j.Key).Finished.IsZero(), false, "whether the job is finished")
	equal(r, r.get(queue.Key{ID: "stored"}).Message.Tenant, "first", "the tenant of the message that was stored before")
	equal(r, keys(r.list(queue.Filter{})), "a bounce stored", "what is stored")
}

func moreTwice(r *run) {
	j := r.failed()
	before := r.state()
	r.is(r.q.Commit(r.ctx, j, bounce("bounce"), other("bounce")), queue.ErrConflict, "Commit with two messages under one ID")
	r.unchanged(before, "a commit that failed")
	r.commit(j, bounce("bounce"), bounce("bounce"))
	equal(r, keys(r.list(queue.Filter{})), "a bounce", "what is stored")
	equal(r, keys(r.due(time.Hour)), "bounce", "what is claimable")
}

func moreLeaseLost(r *run) {
	r.add(message("a"))
	first := r.take(0)
	r.take(lease)
	r.is(r.q.Commit(r.ctx, first, bounce("bounce")), queue.ErrLeaseLost, "Commit with the token of an earlier claim")
	equal(r, keys(r.list(queue.Filter{})), "a", "what is stored")
}

func moreSlow(r *run) {
	j := r.failed()
	var second *queue.Job
	e := bounce("bounce")
	e.Body = io.MultiReader(e.Body, action(func() {
		r.add(message("meanwhile", job("example.com", 9*lease)))
		second = r.take(lease)
	}))
	r.is(r.q.Commit(r.ctx, j, e), queue.ErrLeaseLost, "Commit of a job that another has claimed while a body of more was read")
	equal(r, keys(r.list(queue.Filter{})), "a meanwhile", "what is stored")
	r.commit(finish(second))
}
