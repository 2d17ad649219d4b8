package schedule

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// toy is a little world in which a State lives: lanes with numbers of jobs, sites that answer after a time, and a clock that
// jumps from one event to the next. It counts what was sent.
type toy struct {
	t          testing.TB
	s          *State
	now        time.Time
	claim      func() time.Duration               // what a claim takes
	jobs       map[queue.Lane][]*queue.Job        // that were given back, by Due
	backlog    map[queue.Lane]int                 // those that weren't claimed yet
	siteOf     func(domain string) string         // default: itself
	server     func(site string, n int) toyAnswer // n: connections there, this one included
	events     toyHeap
	open       map[string]int // connections by site
	workers    map[Worker]*toyWorker
	sent       map[string]int // by lane's domain, tenant, priority and retry, as keys choose
	key        func(*queue.Job) string
	order      []*queue.Job              // what was begun, in order
	times      []time.Time               // when
	closes     []time.Time               // when idle workers were told to close
	goodbye    time.Duration             // what that takes
	returns    int                       // jobs that were given back
	feedback   func(*queue.Job) Feedback // default: Met
	detour     func(*queue.Job) string   // where a job is rerouted to; "": it isn't
	refused    int
	serial     int
	from       string
	mostInHand int // over all sites, after any step, if counts
	counts     bool
	asks       int // for new shares
}

type toyWorker struct {
	site    string
	greeted bool
}

// toyAnswer is how a site meets a connection, and how long a message takes there.
type toyAnswer struct {
	greet   time.Duration
	failed  Contact // NoContact: it greets
	message time.Duration
}

type toyEvent struct {
	at time.Time
	n  int
	do func()
}

func newToy(t testing.TB, total int, policy *shaping.Policy) *toy {
	w := &toy{
		t: t, now: start, claim: func() time.Duration { return time.Millisecond }, jobs: make(map[queue.Lane][]*queue.Job), backlog: make(map[queue.Lane]int), open: make(map[string]int),
		workers: make(map[Worker]*toyWorker), sent: make(map[string]int),
		siteOf: func(d string) string { return d },
		server: func(string, int) toyAnswer {
			return toyAnswer{greet: 10 * time.Millisecond, message: 10 * time.Millisecond}
		},
		feedback: func(*queue.Job) Feedback { return Feedback{Contact: Met, Sent: true} },
		detour:   func(*queue.Job) string { return "" },
		key:      func(j *queue.Job) string { return j.Domain },
	}
	w.s = New(Config{Total: total, Policy: policy, Rand: rand.New(rand.NewPCG(1, 2))})
	return w
}

// add adds n jobs to a lane, due at once.
func (w *toy) add(l queue.Lane, n int) {
	w.backlog[l] += n
	w.step(Ready{Lane: l, Due: w.now, Expires: w.now.Add(1000 * time.Hour)})
}

// job makes one of the jobs that were added to a lane.
func (w *toy) job(l queue.Lane) *queue.Job {
	w.serial++
	j := &queue.Job{
		Key: queue.Key{ID: "m", N: w.serial}, Domain: l.Domain, Due: w.now,
		Message: queue.Message{From: w.from, Tenant: l.Tenant, Priority: l.Priority, Expires: w.now.Add(1000 * time.Hour)},
	}
	if l.Retry {
		j.Tries = 1
	}
	return j
}

// run plays until nothing is left to do before the end.
func (w *toy) run(until time.Duration) {
	end := w.now.Add(until)
	for {
		at := w.s.Wake()
		if len(w.events) > 0 && (at.IsZero() || w.events[0].at.Before(at)) {
			at = w.events[0].at
		}
		if at.IsZero() || at.After(end) {
			w.now = end
			return
		}
		if at.After(w.now) {
			w.now = at
		}
		if len(w.events) > 0 && !w.events[0].at.After(w.now) {
			heap.Pop(&w.events).(*toyEvent).do()
		} else {
			w.step(nil)
		}
	}
}

func (w *toy) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.events, &toyEvent{w.now.Add(d), w.serial, do})
}

func (w *toy) step(e Event) {
	for _, a := range w.s.Step(w.now, e) {
		switch a := a.(type) {
		case Claim:
			w.after(w.claim(), func() { w.answer(a) })
		case Attempt:
			w.begin(a)
		case Return:
			w.returns++
			if !a.Due.IsZero() {
				a.Job.Due = a.Due
			}
			w.requeue(a.Job)
		case Close:
			w.closes = append(w.closes, w.now)
			w.after(w.goodbye, func() { w.closed(a.Worker) })
		case Admission:
			a.Answer <- a.OK
		case Places:
			a.Answer <- a.Sites
		case Ask:
			w.asks++
		}
	}
	if w.counts {
		w.mostInHand = max(w.mostInHand, w.inHand())
	}
}

func (w *toy) inHand() (n int) {
	for _, st := range w.s.sites {
		n += st.inHand()
	}
	return n
}

func (w *toy) answer(c Claim) {
	var got Claimed
	for _, take := range c.Take {
		list, n := w.jobs[take.Lane], 0
		for n < min(take.N, len(list)) && !list[n].Due.After(w.now) {
			n++
		}
		got.Jobs = append(got.Jobs, list[:n]...)
		list = list[n:]
		for ; n < take.N && w.backlog[take.Lane] > 0; n++ {
			w.backlog[take.Lane]--
			got.Jobs = append(got.Jobs, w.job(take.Lane))
		}
		var next time.Time
		switch {
		case w.backlog[take.Lane] > 0:
			next = w.now
		case len(list) > 0:
			next = list[0].Due
		}
		w.jobs[take.Lane] = list
		got.Lanes = append(got.Lanes, next)
	}
	if c.Expired {
		got.Next = w.now.Add(1000 * time.Hour)
	}
	w.step(got)
}

func (w *toy) begin(a Attempt) {
	w.order, w.times = append(w.order, a.Job), append(w.times, w.now)
	if a.New {
		w.workers[a.Worker] = &toyWorker{site: a.Site}
		w.open[a.Site]++
	}
	h := w.workers[a.Worker]
	site, detour := w.siteOf(a.Job.Domain), false
	if to := w.detour(a.Job); to != "" {
		site, detour = to, true
	}
	if dial := !h.greeted; dial || site != h.site {
		answer := make(chan bool, 1)
		w.open[h.site]-- // it may be elsewhere before the step is over
		w.step(Routed{Worker: a.Worker, Site: site, Dial: dial, Detour: detour, Answer: answer})
		if !<-answer {
			w.open[h.site]++
			w.after(0, func() { w.done(a, Feedback{}, h.greeted, false) })
			return
		}
		h.site = site
		w.open[site]++
	}
	if h.greeted {
		w.send(a, w.server(site, w.open[site]))
		return
	}
	answer := w.server(site, w.open[site])
	w.after(answer.greet, func() {
		if answer.failed != NoContact {
			w.refused++
			w.done(a, Feedback{Contact: answer.failed}, false, true)
			return
		}
		h.greeted = true
		w.step(Greeted{a.Worker})
		w.send(a, answer)
	})
}

func (w *toy) send(a Attempt, answer toyAnswer) {
	w.after(answer.message, func() {
		w.sent[w.key(a.Job)]++
		w.step(Settled{Job: a.Job, Lane: a.Job.Lane()})
		w.done(a, w.feedback(a.Job), true, false)
	})
}

// done ends a dialogue; deferred has the job come back in a while.
func (w *toy) done(a Attempt, f Feedback, warm, deferred bool) {
	if deferred {
		a.Job.Tries++
		a.Job.Due = w.now.Add(time.Duration(min(a.Job.Tries, 8)) * 5 * time.Minute)
		w.requeue(a.Job)
	}
	w.step(Done{Worker: a.Worker, Feedback: f, Warm: warm})
	if !warm {
		w.after(0, func() { w.closed(a.Worker) })
	}
}

// requeue puts a job back into its lane.
func (w *toy) requeue(j *queue.Job) {
	l := j.Lane()
	list := w.jobs[l]
	i := len(list)
	for i > 0 && list[i-1].Due.After(j.Due) {
		i--
	}
	w.jobs[l] = append(list[:i:i], append([]*queue.Job{j}, list[i:]...)...)
	w.step(Settled{Job: j, Lane: l, Due: j.Due, Expires: j.Message.Expires})
}

func (w *toy) closed(name Worker) {
	w.open[w.workers[name].site]--
	delete(w.workers, name)
	w.step(Closed{name})
}

type toyHeap []*toyEvent

func (h toyHeap) Len() int { return len(h) }
func (h toyHeap) Less(i, j int) bool {
	return h[i].at.Before(h[j].at) || h[i].at.Equal(h[j].at) && h[i].n < h[j].n
}
func (h toyHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *toyHeap) Push(x any)   { *h = append(*h, x.(*toyEvent)) }
func (h *toyHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	*h = (*h)[:last]
	return e
}
