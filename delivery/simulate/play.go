package simulate

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/delivery/internal/verdict"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// The lease of a job is that of a Sender's: what the longest attempt takes, and a margin for the commit.
const (
	attemptLimit = 60 * time.Minute
	leaseMargin  = 10 * time.Minute
)

// play is one future, as far as it has come. It does with the scheduler what a Sender's Run does; what takes a goroutine there is
// a step here, to be taken when its time has come.
type play struct {
	*Config
	yield func(time.Time, Event) bool
	over  bool // nobody wants to hear more

	now     time.Time
	steps   stepHeap
	ordered uint64

	state      *schedule.State
	policy     *shaping.Policy
	queue      queue.Queue
	rules      verdict.Rules
	workers    map[schedule.Worker]*worker
	servers    map[string]*server // by site
	chance     chance
	queued     int // messages
	claims     int // under way
	restarting bool
}

// chance has a source of randomness for each of those who use it, so that one doesn't change what becomes of the others.
type chance struct{ scheduler, policy, servers *rand.Rand }

// server is what a site's servers know.
type server struct {
	site string
	open int // connections
}

func newPlay(c *Config, yield func(time.Time, Event) bool) *play {
	source := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(c.Seed, n)) }
	p := &play{
		Config: c, yield: yield, now: c.Start, policy: &c.Shaping, queue: memqueue.New(),
		rules:   verdict.Rules{Retry: c.Retry, MaxWait: c.MaxWait},
		workers: make(map[schedule.Worker]*worker),
		servers: make(map[string]*server),
		chance:  chance{source(1), source(2), source(3)},
	}
	p.boot()
	for _, m := range c.Mail {
		p.after(m.After, func() { p.send(&m, 0) })
	}
	for _, ch := range c.Changes {
		p.after(ch.After, func() { p.change(&ch) })
	}
	return p
}

// run goes from step to step.
func (p *play) run() {
	for !p.over {
		at := p.state.Wake()
		if len(p.steps) > 0 && (at.IsZero() || p.steps[0].at.Before(at)) {
			at = p.steps[0].at
		}
		if at.IsZero() || !p.Until.IsZero() && at.After(p.Until) {
			return
		}
		if at.After(p.now) {
			p.now = at
		}
		if len(p.steps) > 0 && !p.steps[0].at.After(p.now) {
			heap.Pop(&p.steps).(step).do()
		} else {
			p.step(nil)
		}
		if p.restarting && p.state.Active() == 0 && p.claims == 0 {
			p.restarting = false
			p.boot()
		}
	}
}

// tell yields an event.
func (p *play) tell(e Event) {
	if !p.over && !p.yield(p.now, e) {
		p.over = true
	}
}

// boot starts the scheduler, which learns from the queue what there is.
func (p *play) boot() {
	p.state = schedule.New(schedule.Config{Total: p.Concurrency, Policy: p.policy, Rand: p.chance.scheduler})
	p.step(schedule.Ready{Expires: p.now})
	var heads []*queue.Job
	for j, err := range p.queue.Jobs(context.Background(), queue.Filter{Unfinished: true, Heads: true}) {
		if err != nil {
			p.trouble(queue.Key{}, err)
			return
		}
		heads = append(heads, j)
	}
	slices.SortFunc(heads, func(a, b *queue.Job) int { return a.Key.Compare(b.Key) }) // they come in no order
	for _, j := range heads {
		p.step(schedule.Ready{Lane: j.Lane(), Due: j.Claimable(), Expires: j.Message.Expires})
	}
}

func (p *play) change(c *Change) {
	if c.Shaping != nil {
		p.policy = c.Shaping
		p.step(schedule.Policy{Policy: p.policy})
	}
	if c.Restart && !p.restarting {
		p.restarting = true
		p.step(schedule.Drain{})
	}
}

// step tells the scheduler of an event, and does what it says.
func (p *play) step(e schedule.Event) {
	for _, a := range p.state.Step(p.now, e) {
		switch a := a.(type) {
		case schedule.Claim:
			p.claims++
			p.after(0, func() { p.claim(&a) })
		case schedule.Attempt:
			w := p.workers[a.Worker]
			if a.New {
				w = &worker{play: p, name: a.Worker}
				p.workers[a.Worker] = w
			}
			p.after(0, func() { w.attempt(&a) })
		case schedule.Close:
			p.after(0, p.workers[a.Worker].end)
		case schedule.Expire:
			p.after(0, func() { p.conclude(newTry(a.Job, p.now)) })
		case schedule.Return:
			p.after(0, func() { p.putBack(a.Job, a.Due, "a rate is used up") })
		case schedule.Admission:
			w := p.workers[a.Worker]
			p.after(0, func() { w.admitted(a.Site, a.Dial, a.OK) })
		case schedule.SitePaused:
			p.tell(delivery.SitePaused{Time: p.now, Site: a.Site, Until: a.Until, Why: a.Why})
		case schedule.SiteResumed:
			p.tell(delivery.SiteResumed{Time: p.now, Site: a.Site})
		}
	}
}

func (p *play) claim(c *schedule.Claim) {
	p.claims--
	claimed, err := p.queue.Claim(context.Background(), queue.ClaimRequest{
		Now: p.now, Lease: attemptLimit + leaseMargin, Limit: c.Limit, Take: c.Take, Expired: c.Expired,
	})
	if err != nil {
		p.trouble(queue.Key{}, err)
	}
	p.step(schedule.Claimed{Claimed: claimed, Err: err})
}

// trouble tells that something doesn't work that should.
func (p *play) trouble(k queue.Key, err error) {
	p.tell(delivery.Trouble{Time: p.now, Key: k, Err: err})
}

func (p *play) server(site string) *server {
	s := p.servers[site]
	if s == nil {
		s = &server{site: site}
		p.servers[site] = s
	}
	return s
}

// after has something done in a while.
func (p *play) after(d time.Duration, do func()) {
	p.ordered++
	heap.Push(&p.steps, step{p.now.Add(d), p.ordered, do})
}

// step is something to do at a time.
type step struct {
	at    time.Time
	order uint64 // of those at the same time
	do    func()
}

// stepHeap orders steps by time.
type stepHeap []step

func (h stepHeap) Len() int { return len(h) }
func (h stepHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].order < h[j].order
}
func (h stepHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *stepHeap) Push(x any)   { *h = append(*h, x.(step)) }
func (h *stepHeap) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	(*h)[last] = step{}
	*h = (*h)[:last]
	return s
}
