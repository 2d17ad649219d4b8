package queuetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
)

func modelCases() []testCase {
	return []testCase{
		{"ClaimAsSelect", "Whatever happened before, a claim leases what ClaimRequest.Select chooses, and looks as far ahead.", claimAsSelect},
		{"JobsAsSelect", "Whatever happened before, Jobs lists what Filter.Select chooses.", jobsAsSelect},
	}
}

// history is a random one, the same each time: messages come, in a few lanes, and are claimed and committed.
type history struct {
	*run
	*rand.Rand
	messages int
	leased   []*queue.Job // the latest claim of each job, if it was not committed
}

func (r *run) history() *history { return &history{run: r, Rand: rand.New(rand.NewPCG(1, 2))} }

func (h *history) some(n int) time.Duration { return time.Duration(h.IntN(n)) * time.Minute }

func (h *history) lane() queue.Lane {
	return queue.Lane{
		Domain:   fmt.Sprintf("d%d.example", h.IntN(4)),
		Tenant:   []string{"", "t"}[h.IntN(2)],
		Priority: queue.Priority(h.IntN(3) - 1),
		Retry:    h.IntN(2) == 0,
	}
}

// enqueue adds a message with a few jobs.
func (h *history) enqueue() {
	l := h.lane()
	var jobs []*queue.Job
	for range 1 + h.IntN(3) {
		j := job(l.Domain, h.some(60), "x", "y")
		j.Held = h.IntN(10) == 0
		jobs = append(jobs, j)
		l.Domain = h.lane().Domain
	}
	e := message(queue.ID(fmt.Sprintf("m%03d", h.IntN(1000))), jobs...)
	e.Message.Tenant, e.Message.Priority, e.Message.Expires = l.Tenant, l.Priority, at(h.some(120))
	if h.IntN(3) == 0 && h.enqueueLeased(e) {
		return
	}
	if _, err := h.q.Enqueue(h.ctx, e); err == nil { // else the ID is taken
		h.messages++
	}
}

// enqueueLeased adds a message and leases some of its jobs, if the queue can do that at once.
func (h *history) enqueueLeased(e *queue.Entry) bool {
	q, ok := h.q.(queue.Leaser)
	if !ok {
		return false
	}
	l, want := queue.LeaseRequest{Now: at(h.some(90)), Lease: time.Minute + h.some(20)}, []*queue.Job(nil)
	var numbers []int
	l.Jobs = func() []int { return numbers }
	for n, j := range e.Jobs {
		if h.IntN(3) == 0 {
			continue
		}
		if numbers = append(numbers, n); !j.Held && !j.Due.After(l.Now) {
			want = append(want, j)
		}
	}
	if jobs, added, err := q.EnqueueLeased(h.ctx, e, l); err == nil && added {
		h.messages++
		equal(h.run, keys(jobs), keys(want), "EnqueueLeased at %v of the jobs %v: what is leased", moment(l.Now), numbers)
		h.claimed(jobs)
	}
	return true
}

// request makes a claim of any kind but by key. Its Now may be before that of an earlier one.
func (h *history) request() queue.ClaimRequest {
	c := queue.ClaimRequest{Now: at(h.some(90)), Lease: time.Minute + h.some(20), Limit: h.IntN(12), Expired: h.IntN(3) == 0}
	if h.IntN(2) == 0 {
		return c
	}
	c.Take = []queue.Take{}
	for range h.IntN(9) {
		l := h.lane()
		if !slices.ContainsFunc(c.Take, func(t queue.Take) bool { return t.Lane == l }) {
			c.Take = append(c.Take, queue.Take{Lane: l, N: h.IntN(4)})
		}
	}
	return c
}

// claimed keeps what was claimed, to be committed some time.
func (h *history) claimed(jobs []*queue.Job) {
	for _, j := range jobs {
		h.leased = slices.DeleteFunc(h.leased, func(o *queue.Job) bool { return o.Key == j.Key })
		h.leased = append(h.leased, j)
	}
}

// commitOne commits a job that was claimed: as finished, in part finished, or to be tried again.
func (h *history) commitOne() {
	if len(h.leased) == 0 {
		return
	}
	i := h.IntN(len(h.leased))
	j := h.leased[i]
	h.leased = slices.Delete(h.leased, i, i+1)
	j.Due, j.Held, j.Lapses = at(h.some(90)), h.IntN(8) == 0, 0
	j.Tries += h.IntN(2)
	switch h.IntN(4) {
	case 0:
		finish(j)
	case 1:
		j.Recipients[0].State = queue.Delivered
	}
	h.commit(j)
}

// step lets something happen but a claim.
func (h *history) step() {
	if h.messages < 10 || h.messages < 150 && h.IntN(2) == 0 {
		h.enqueue()
	} else {
		h.commitOne()
	}
}

func claimAsSelect(r *run) {
	h := r.history()
	for range 150 {
		for range 1 + h.IntN(4) {
			h.step()
		}
		c := h.request()
		want := c.Select(r.list(queue.Filter{}))
		got := r.claim(c)
		what := fmt.Sprintf("a claim at %v of at most %d, expired %v, of the lanes %v,", moment(c.Now), c.Limit, c.Expired, c.Take)
		equal(r, keys(got.Jobs), keys(want.Jobs), "%s: its jobs", what)
		equal(r, ahead(c.Now, got), ahead(c.Now, want), "%s: Next and Lanes", what)
		for i, j := range got.Jobs {
			lapses := want.Jobs[i].Lapses
			if slices.ContainsFunc(h.leased, func(o *queue.Job) bool { return o.Key == j.Key }) {
				lapses++
			}
			equal(r, j.Lapses, lapses, "%s: Lapses of %s", what, j.Key)
		}
		h.claimed(got.Jobs)
	}
}

// ahead shows Next and Lanes. All that isn't after now is the same.
func ahead(now time.Time, c queue.Claimed) string {
	var list []string
	for _, t := range append([]time.Time{c.Next}, c.Lanes...) {
		if !t.IsZero() && !t.After(now) {
			t = now
		}
		list = append(list, moment(t))
	}
	return strings.Join(list, " ")
}

// filter makes one of any kind.
func (h *history) filter() queue.Filter {
	l := h.lane()
	f := queue.Filter{Unfinished: h.IntN(3) == 0, Limit: h.IntN(20)}
	if h.IntN(3) == 0 {
		f.Domain = l.Domain
	}
	if h.IntN(3) == 0 {
		f.Tenant = l.Tenant
	}
	if h.IntN(3) == 0 {
		f.Recipient = "x@" + l.Domain
	}
	if h.IntN(3) == 0 {
		f.After = queue.Key{ID: queue.ID(fmt.Sprintf("m%03d", h.IntN(1000))), N: h.IntN(3)}
	}
	switch h.IntN(4) {
	case 0:
		f.Heads, f.Limit = true, 0
	case 1:
		f.Ended, f.Since = true, queue.Mark(h.IntN(100))
	}
	return f
}

func jobsAsSelect(r *run) {
	h := r.history()
	for range 150 {
		for range 1 + h.IntN(4) {
			h.step()
		}
		h.claimed(r.claim(h.request()).Jobs)
		f := h.filter()
		got, want := r.list(f), f.Select(r.list(queue.Filter{}))
		show := keys
		switch {
		case f.Heads:
			show = sortedKeys
		case f.Ended:
			show = places
		}
		equal(r, show(got), show(want), "Jobs with %+v", f)
	}
}

// places joins the keys of jobs and the marks that they are listed under.
func places(jobs []*queue.Job) string {
	var list []string
	for _, j := range jobs {
		list = append(list, fmt.Sprint(j.Key, "@", j.Mark()))
	}
	return strings.Join(list, " ")
}
