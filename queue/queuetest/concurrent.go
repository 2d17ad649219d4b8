package queuetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/queue"
)

func concurrentCases() []testCase {
	return []testCase{
		{"Concurrently", "All methods may be called at once: each job ends once, with its bounce, and nothing is lost.", concurrently},
		{"JobsConcurrently", "A job that changes while Jobs lists is seen once, before or after the change.", jobsConcurrently},
	}
}

// fails calls f in a goroutine, and notes its error.
func (r *run) fails(wg *sync.WaitGroup, f func() error) {
	wg.Go(func() {
		if err := f(); err != nil {
			r.errorf("%v", err)
		}
	})
}

// work enqueues, delivers, lists and reads all at once. A third of the jobs bounces; the bounces are delivered too.
type work struct {
	*run
	messages int
	left     atomic.Int64 // jobs that are to be finished
}

func concurrently(r *run) {
	w := &work{run: r, messages: 45}
	w.left.Store(int64(2*w.messages + 2*w.messages/3))
	var wg sync.WaitGroup
	for n := range 4 {
		r.fails(&wg, func() error { return w.enqueue(n) })
		r.fails(&wg, func() error { return w.deliver(n) })
	}
	r.fails(&wg, w.list)
	wg.Wait()
	bounces, marks := 0, map[queue.Mark]bool{}
	for _, j := range r.list(queue.Filter{}) {
		equal(r, j.Finished.IsZero(), false, "whether %s is unfinished", j.Key)
		equal(r, j.Tries, 2, "how often %s was tried", j.Key)
		if j.Message.From == "" {
			bounces++
		}
		equal(r, marks[j.Mark()], false, "whether the mark of %s is another's too", j.Key)
		marks[j.Mark()] = true
	}
	equal(r, len(marks), 2*w.messages+2*w.messages/3, "how many jobs there are")
	equal(r, bounces, 2*w.messages/3, "how many of them are bounces")
	equal(r, keys(r.due(5*lease)), "", "what is claimable")
}

// enqueue adds a share of the messages. Where jobs can be leased at once, it tries those of every other message first.
func (w *work) enqueue(n int) error {
	l, ok := w.q.(queue.Leaser)
	for i := n; i < w.messages; i += 4 {
		id := queue.ID(fmt.Sprintf("m%03d", i))
		e := message(id, job(fmt.Sprintf("d%d.example", i%25), 0), job(fmt.Sprintf("e%d.example", i%3), 0))
		if ok && i/4%2 == 0 {
			jobs, _, err := l.EnqueueLeased(w.ctx, e, leasing(0, 0, 1))
			if err != nil {
				return fmt.Errorf("enqueueing %s as leased: %w", id, err)
			}
			for _, j := range jobs {
				if err := w.one(j); err != nil {
					return err
				}
			}
		} else if _, err := w.q.Enqueue(w.ctx, e); err != nil {
			return fmt.Errorf("enqueueing %s: %w", id, err)
		}
	}
	return nil
}

// deliver claims, in different ways, until there is nothing left.
func (w *work) deliver(n int) error {
	for w.left.Load() > 0 {
		if w.ctx.Err() != nil {
			return fmt.Errorf("%d jobs are never claimed: %w", w.left.Load(), w.ctx.Err())
		}
		c := queue.ClaimRequest{Now: at(0), Lease: lease, Limit: 1 + n, Expired: n == 1}
		for i := range 25 {
			if n >= 2 {
				c.Take = append(c.Take, queue.Take{Lane: lane(fmt.Sprintf("d%d.example", i)), N: 1})
			}
		}
		claimed, err := w.q.Claim(w.ctx, c)
		if err != nil {
			return fmt.Errorf("claiming: %w", err)
		}
		for _, j := range claimed.Jobs {
			if err := w.one(j); err != nil {
				return err
			}
		}
	}
	return nil
}

// one tries a job: the first time in vain, the second time for good.
func (w *work) one(j *queue.Job) error {
	if rc, err := w.q.Open(w.ctx, j.Key.ID); err != nil {
		return fmt.Errorf("opening the body of %s, which is leased: %w", j.Key.ID, err)
	} else if err := rc.Close(); err != nil {
		return fmt.Errorf("closing the body of %s: %w", j.Key.ID, err)
	}
	j.Tries++
	var more []*queue.Entry
	if j.Tries == 2 {
		finish(j)
		if j.Message.From != "" && bounces(j.Key.ID) {
			j.Recipients[0].State = queue.Bounced
			more = append(more, bounce(queue.ID(fmt.Sprintf("%s-%d", j.Key.ID, j.Key.N))))
			more[0].Jobs[0].Due = at(0)
		}
	}
	if err := w.q.Commit(w.ctx, j, more...); err != nil {
		return fmt.Errorf("committing %s: %w", j.Key, err)
	}
	if !j.Finished.IsZero() {
		w.left.Add(-1)
	}
	return nil
}

// bounces reports whether a message is one of the third that bounce.
func bounces(id queue.ID) bool {
	var n int
	_, err := fmt.Sscanf(string(id), "m%d", &n)
	return err == nil && n%3 == 0
}

// list lists, in all ways, and reads bodies that may just be going.
func (w *work) list() error {
	for w.left.Load() > 0 && w.ctx.Err() == nil {
		for _, f := range []queue.Filter{{Unfinished: true}, {Heads: true}, {Ended: true}} {
			for j, err := range w.q.Jobs(w.ctx, f) {
				if err != nil {
					return fmt.Errorf("listing with %+v: %w", f, err)
				}
				if j.Key.N > 0 || f.Ended {
					continue
				}
				rc, err := w.q.Open(w.ctx, j.Key.ID)
				if errors.Is(err, queue.ErrNotFound) {
					continue
				}
				if err != nil {
					return fmt.Errorf("opening a body: %w", err)
				}
				if err := rc.Close(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// jobsConcurrently has jobs whose Via, Attempts and reasons are always changed together.
func jobsConcurrently(r *run) {
	const n = 700 // more than any backend lists at once, one hopes
	var es []*queue.Entry
	for i := range n / 7 {
		var jobs []*queue.Job
		for range 7 {
			jobs = append(jobs, job(fmt.Sprintf("d%d.example", i%13), 0))
		}
		es = append(es, message(queue.ID(fmt.Sprintf("m%03d", i)), jobs...))
	}
	r.add(es...)
	var listing atomic.Bool
	listing.Store(true)
	var wg sync.WaitGroup
	for range 3 {
		r.fails(&wg, func() error {
			for listing.Load() {
				c, err := r.q.Claim(r.ctx, queue.ClaimRequest{Now: at(lease), Lease: lease, Limit: 20})
				if err != nil {
					return fmt.Errorf("claiming: %w", err)
				}
				for _, j := range c.Jobs {
					j.Tries++
					j.Via = fmt.Sprint(j.Tries)
					j.Recipients[0].Reason = j.Via
					j.Due = at(time.Duration(j.Tries) * time.Millisecond) // behind the others
					if err := r.q.Commit(r.ctx, j); err != nil {
						return fmt.Errorf("committing %s: %w", j.Key, err)
					}
				}
			}
			return nil
		})
	}
	for range 5 {
		var got []string
		for j, err := range r.q.Jobs(r.ctx, queue.Filter{}) {
			if err != nil {
				listing.Store(false)
				r.fatalf("Jobs: %v", err)
			}
			if seen := fmt.Sprint(j.Via, " ", j.Recipients[0].Reason); j.Tries > 0 && seen != fmt.Sprint(j.Tries, " ", j.Tries) {
				r.errorf("%s is listed in the middle of a change: Tries %d, Via and Reason %q", j.Key, j.Tries, seen)
			}
			got = append(got, j.Key.String())
		}
		var want []string
		for _, e := range es {
			for _, j := range e.Jobs {
				want = append(want, j.Key.String())
			}
		}
		if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
			g, w = difference(g, w)
			r.errorf("Jobs, while jobs change:\n got %s\nwant %s", g, w)
		}
	}
	listing.Store(false)
	wg.Wait()
}
