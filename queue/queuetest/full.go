package queuetest

import (
	"fmt"
	"slices"

	"github.com/postroad/postroad/queue"
)

// room is how many unfinished messages the queues of these cases take in.
const room = 3

func fullCases() []testCase {
	return []testCase{
		{"FullRefuses", "Enqueue to a full queue is ErrFull and stores nothing.", fullRefuses},
		{"FullRepeated", "A full queue still knows a message that is stored, and another one under its ID.", fullRepeated},
		{"FullBulk", "EnqueueAll to a queue that becomes full stores what there is room for, and is ErrFull.", fullBulk},
		{"FullCommit", "Commit goes on when the queue is full, with the messages that it enqueues.", fullCommit},
		{"FullNotes", "Notes can be set when the queue is full.", fullNotes},
		{"FullRoom", "There is room again when the last job of a message has finished, and not before.", fullRoom},
		{"FullReopen", "A queue that was full is full after a crash, until messages finish.", fullReopen},
	}
}

// fill takes a queue that has a limit, and fills it: with m0, m1 and so on, which have two jobs each.
func (r *run) fill() {
	if r.hooks.full == nil {
		r.skip("needs the option Full")
	}
	r.inTest(func() { r.q = r.hooks.full(room) })
	for i := range room {
		r.add(message(queue.ID(fmt.Sprintf("m%d", i)), job("a.example", 0), job("b.example", 0)))
	}
}

// isFull checks that one more message is refused.
func (r *run) isFull(id queue.ID) {
	before := r.state()
	added, err := r.q.Enqueue(r.ctx, message(id))
	r.is(err, queue.ErrFull, "Enqueue to a full queue")
	equal(r, added, false, "added")
	r.unchanged(before, "ErrFull")
	_, err = r.q.Open(r.ctx, id)
	r.is(err, queue.ErrNotFound, "Open of a message that was refused")
}

// ends finishes a job.
func (r *run) ends(k queue.Key) { r.commit(finish(r.takeKey(k, 0))) }

func fullRefuses(r *run) {
	r.fill()
	r.isFull("more")
	equal(r, len(r.due(0)), 2*room, "jobs that are claimable")
}

func fullRepeated(r *run) {
	r.fill()
	added, err := r.q.Enqueue(r.ctx, message("m1"))
	r.ok(err, "Enqueue of a stored ID")
	equal(r, added, false, "added")
	_, err = r.q.Enqueue(r.ctx, other("m1"))
	r.is(err, queue.ErrConflict, "Enqueue of a stored ID with another Digest")
}

func fullBulk(r *run) {
	r.bulk()
	r.fill()
	r.ends(queue.Key{ID: "m0"})
	r.ends(queue.Key{ID: "m0", N: 1})
	durable, err := r.bulk().EnqueueAll(r.ctx, slices.Values([]*queue.Entry{message("m1"), message("n0"), message("n1"), message("n2")}))
	r.is(err, queue.ErrFull, "EnqueueAll")
	equal(r, durable, 2, "durable")
	equal(r, keys(r.list(queue.Filter{Unfinished: true})), "m1 m1/1 m2 m2/1 n0", "what is stored")
}

func fullCommit(r *run) {
	r.fill()
	j := r.takeKey(queue.Key{ID: "m0"}, 0)
	j.Tries++
	r.commit(j)
	j = r.takeKey(queue.Key{ID: "m1"}, 0)
	j.Recipients[0].State = queue.Bounced
	r.commit(finish(j), bounce("bounce"), bounce("another"))
	equal(r, r.body("bounce"), text("bounce"), "the body of a bounce")
	r.isFull("more")
}

func fullNotes(r *run) {
	r.notes()
	r.fill()
	r.ok(r.notes().Set(r.ctx, "a", []byte("value")), "Set")
	equal(r, r.note("a"), `"value"`, "the note")
}

func fullRoom(r *run) {
	r.fill()
	r.ends(queue.Key{ID: "m1"})
	r.isFull("more")
	r.ends(queue.Key{ID: "m1", N: 1})
	r.add(message("more"))
	r.isFull("yet-more")
}

func fullReopen(r *run) {
	r.fill()
	r.reopen()
	r.isFull("more")
	r.ends(queue.Key{ID: "m1"})
	r.ends(queue.Key{ID: "m1", N: 1})
	r.reopen()
	r.add(message("more"))
	r.isFull("yet-more")
}
