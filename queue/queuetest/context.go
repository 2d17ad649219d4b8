package queuetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
)

func contextCases() []testCase {
	return []testCase{
		{"ContextEnded", "Every method returns ctx's error if ctx has ended before it began, and changes nothing.", contextEnded},
		{"ContextReading", "A ctx that ends while Body is read ends the reading, and nothing is stored.", contextReading},
		{"ContextEnqueue", "When ctx ends during Enqueue, the error says whether the message was stored.", contextEnqueue},
		{"ContextCommit", "When ctx ends during Commit, the error says whether the change took place.", contextCommit},
		{"Closed", "After the queue was closed, every method returns ErrClosed.", closed},
	}
}

// all calls every method of Queue, and checks that each fails with want.
func (r *run) all(ctx context.Context, leased *queue.Job, want error) {
	added, err := r.q.Enqueue(ctx, message("new"))
	r.is(err, want, "Enqueue")
	equal(r, added, false, "added")
	c, err := r.q.Claim(ctx, queue.ClaimRequest{Now: at(0), Lease: lease, Limit: 9})
	r.is(err, want, "Claim")
	equal(r, keys(c.Jobs), "", "the claimed jobs")
	r.is(r.q.Commit(ctx, finish(leased.Clone()), message("bounce")), want, "Commit")
	_, err = r.q.Open(ctx, "a")
	r.is(err, want, "Open")
	for _, f := range []queue.Filter{{}, {ID: "a"}, {Heads: true}, {Ended: true}} {
		errs := 0
		for j, err := range r.q.Jobs(ctx, f) {
			if j != nil {
				r.fatalf("Jobs with %+v lists %s, want the error %v alone", f, j.Key, want)
			}
			r.is(err, want, "Jobs with %+v", f)
			errs++
		}
		equal(r, errs, 1, "how many errors Jobs gives with %+v", f)
	}
}

func contextEnded(r *run) {
	r.add(message("a"), message("b", job("example.com", time.Minute)), message("c", finish(job("example.com", 0))))
	j := r.take(0)
	before := r.state()
	cancelled, cancel := context.WithCancel(r.ctx)
	cancel()
	r.all(cancelled, j, context.Canceled)
	late, cancel := context.WithDeadline(r.ctx, time.Unix(0, 0))
	defer cancel()
	r.all(late, j, context.DeadlineExceeded)
	r.unchanged(before, "calls with a ctx that had ended")
	equal(r, keys(r.due(time.Minute)), "b", "what is claimable")
	r.commit(j)
}

// endless is a body without an end, which counts how much is read after it has ended a ctx.
type endless struct {
	read   int
	cancel context.CancelFunc
}

func (e *endless) Read(p []byte) (int, error) {
	e.cancel()
	if e.read > 16<<20 {
		return 0, errors.New("the body was read on after ctx had ended")
	}
	n := copy(p, strings.Repeat("a line of a long body\r\n", 100))
	e.read += n
	return n, nil
}

func contextReading(r *run) {
	ctx, cancel := context.WithCancel(r.ctx)
	e := message("a")
	e.Body = &endless{cancel: cancel}
	added, err := r.q.Enqueue(ctx, e)
	r.is(err, context.Canceled, "Enqueue whose ctx ends while the body is read")
	equal(r, added, false, "added")
	r.nothing("a")

	j := r.take(lease)
	before := r.state()
	ctx, cancel = context.WithCancel(r.ctx)
	e = message("bounce")
	e.Body = &endless{cancel: cancel}
	r.is(r.q.Commit(ctx, finish(j.Clone()), e), context.Canceled, "Commit whose ctx ends while a body is read")
	r.unchanged(before, "Commit whose ctx ended")
	r.commit(j)
}

// rounds is how often a ctx is ended at some moment of a call. Which moment that is differs from round to round.
const rounds = 60

// ending returns a ctx that ends at about the time when the reader comes to its end, in round i.
func (r *run) ending(i int, body io.Reader) (context.Context, io.Reader) {
	ctx, cancel := context.WithCancel(r.ctx)
	return ctx, io.MultiReader(body, action(func() {
		if i%3 == 0 {
			cancel()
			return
		}
		go func() {
			for range (i % 20) * 500 {
				if ctx.Err() != nil { // never true: takes a little time
					return
				}
			}
			cancel()
		}()
	}))
}

func contextEnqueue(r *run) { r.endsDuring("Enqueue", r.q.Enqueue) }

// endsDuring ends the ctx of a method that enqueues.
func (r *run) endsDuring(name string, enqueue func(context.Context, *queue.Entry) (bool, error)) {
	for i := range rounds {
		e := message(queue.ID(fmt.Sprintf("m%02d", i)))
		ctx, body := r.ending(i, e.Body)
		e.Body = body
		added, err := enqueue(ctx, e)
		stored := len(r.list(queue.Filter{ID: e.Message.ID})) == 1
		switch {
		case err == nil:
			equal(r, added && stored, true, "whether the message is stored after %s returned added %v and no error", name, added)
		case errors.Is(err, queue.ErrInDoubt):
		case errors.Is(err, context.Canceled):
			equal(r, added || stored, false, "whether the message is stored after %s returned added %v and %v", name, added, err)
		default:
			r.fatalf("%s: %v", name, err)
		}
	}
}

func contextCommit(r *run) {
	r.add(message("a"))
	for i := range rounds {
		j := r.take(0)
		j.Tries++
		e := message(queue.ID(fmt.Sprintf("m%02d", i)), job("example.org", time.Hour))
		ctx, body := r.ending(i, e.Body)
		e.Body = body
		err := r.q.Commit(ctx, j, e)
		changed := r.get(j.Key).Tries == j.Tries
		stored := len(r.list(queue.Filter{ID: e.Message.ID})) == 1
		equal(r, stored, changed, "whether the entry of more is stored, in contrast to the job")
		switch {
		case err == nil:
			equal(r, changed, true, "whether the job is changed after Commit returned no error")
		case errors.Is(err, queue.ErrInDoubt):
		case errors.Is(err, context.Canceled):
			equal(r, changed, false, "whether the job is changed after Commit returned %v", err)
		default:
			r.fatalf("Commit: %v", err)
		}
		r.commit(j) // settles it, or repeats it
		equal(r, r.get(j.Key).Tries, j.Tries, "Tries after another commit with the token")
	}
}

func closed(r *run) {
	closer, ok := r.q.(io.Closer)
	if !ok {
		r.skip("has no method Close")
	}
	r.add(message("a"))
	j := r.take(0)
	r.ok(closer.Close(), "Close")
	r.all(r.ctx, j, queue.ErrClosed)
	if _, ok := r.q.(queue.Leaser); ok {
		r.addsNothing(r.ctx, message("new"), leasing(0, 0), queue.ErrClosed, "to a closed queue")
	}
	if n, ok := r.q.(queue.Notes); ok {
		_, err := n.Get(r.ctx, "key")
		r.is(err, queue.ErrClosed, "Get")
		r.is(n.Set(r.ctx, "key", []byte("value")), queue.ErrClosed, "Set")
	}
	if q, ok := r.q.(queue.Depths); ok {
		r.noDepths(q, r.ctx, queue.ErrClosed)
	}
}
