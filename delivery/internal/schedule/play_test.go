package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// player plays a State against a real queue, with everything that may come between: jobs held and released by others, leases
// that are lost, routes learned at any time, connections that fail or break, pauses, a queue that fails, a clock that jumps.
// It holds the State to its limits, and to each job's coming to an end.
type player struct {
	t         *testing.T
	rand      *rand.Rand
	q         *memqueue.Queue
	now       time.Time
	latest    time.Time // that now ever was
	s         *State
	total     int
	perSite   int
	asked     *Claim
	workers   []*hand
	unsettled []*queue.Job
	arriving  []arrival
	pauses    []Pause
	claims    int
	events    int
	brought   int  // by one claim, at most
	shared    bool // there are others, who leave it now more and now less
	quiet     bool // nothing goes wrong any more
}

// hand is a worker as its program sees it.
type hand struct {
	Attempt
	site    string
	greeted bool
	idle    bool
	closing bool
}

func newPlayer(t *testing.T, seed uint64) *player {
	p := &player{t: t, rand: rand.New(rand.NewPCG(seed, 7)), q: memqueue.New(), now: start}
	p.total, p.perSite = 1+p.rand.IntN(30), 1+p.rand.IntN(5)
	policy := &shaping.Policy{Default: shaping.Limits{Connections: p.perSite, Messages: 1 + p.rand.IntN(10)}}
	if seed%3 == 0 {
		policy.Tenants = map[string]shaping.Tenant{"t1": {Rate: shaping.Rate{N: 1, Per: 10 * time.Second}}}
		policy.Senders = map[string]shaping.Rate{"s2@x.example": {N: 1, Per: 20 * time.Second}}
	}
	p.shared = seed%2 == 1
	p.s = New(Config{Total: p.total, Policy: policy, Rand: p.rand, Shared: p.shared})
	return p
}

func TestPlay(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newPlayer(t, seed).play() })
	}
}

func (p *player) play() {
	for round := range 400 {
		switch k := p.rand.IntN(18); {
		case k < 4:
			p.enqueue(round)
		case k > 15:
			p.arrive()
		case k < 10:
			p.work()
		case k == 10:
			p.release()
		case k < 13:
			p.answer()
		case k < 15:
			p.settle()
		default:
			p.disturb()
		}
	}
	p.pauses, p.quiet = nil, true
	p.step(Pauses{})
	for n := 0; p.unfinished() > 0 || p.asked != nil || p.s.Active() > 0; n++ {
		if p.shared && n%50 == 0 {
			p.share()
		}
		if n > 40_000 {
			p.t.Fatalf("%d jobs never end, %d active", p.unfinished(), p.s.Active())
		}
		if !p.act() {
			p.sleep()
		}
	}
	for n := 0; p.asked != nil || !p.s.Wake().IsZero() || len(p.s.lanes) > 0; n++ { // what is remembered is forgotten
		if p.shared && n%50 == 0 && len(p.s.lanes) > 0 {
			p.share()
		}
		if p.asked == nil {
			p.sleep()
		}
		p.answer()
	}
	if len(p.s.lanes) > 0 || len(p.s.sites) > 0 || p.s.listed() > 0 || p.s.anyShort() || len(p.s.waiting) > 0 || len(p.s.timers) > 0 ||
		p.s.opening != 0 || p.s.strangers != 0 || p.s.promised != 0 || p.s.idle.Len() != 0 || len(p.s.unsettled) > 0 || len(p.s.kept) > 0 || len(p.s.leaving) > 0 {
		p.t.Errorf("keeps %d lanes, %d sites, %d opening, %d strangers, %d promised", len(p.s.lanes), len(p.s.sites), p.s.opening, p.s.strangers, p.s.promised)
	}
	if p.claims > 2*p.events+200 {
		p.t.Errorf("%d claims for %d events", p.claims, p.events)
	}
}

// act does one thing that the State waits for, if there is any.
func (p *player) act() bool {
	switch {
	case p.asked != nil && p.rand.IntN(2) == 0:
		p.answer()
	case len(p.unsettled) > 0 && p.rand.IntN(2) == 0:
		p.settle()
	case len(p.arriving) > 0:
		p.arrive()
	case p.work():
	case p.asked != nil:
		p.answer()
	case len(p.unsettled) > 0:
		p.settle()
	default:
		return false
	}
	return true
}

func (p *player) sleep() {
	wake := p.s.Wake()
	if p.shared && wake.IsZero() {
		p.share()
		return
	}
	if wake.IsZero() {
		p.t.Fatalf("sleeps for ever with %d jobs, %d active", p.unfinished(), p.s.Active())
	}
	if wake.After(p.now) {
		p.now = wake
	}
	p.step(nil)
}

func (p *player) step(e Event) {
	p.events++
	p.latest = later(p.latest, p.now)
	for _, a := range p.s.Step(p.now, e) {
		switch a := a.(type) {
		case Claim:
			if p.asked != nil {
				p.t.Fatal("two claims at once")
			}
			p.claims++
			p.asked = &a
		case Attempt:
			p.begin(a)
		case Expire:
			p.unsettled = append(p.unsettled, a.Job)
		case Return:
			if !a.Due.IsZero() {
				a.Job.Due = a.Due
			}
			p.unsettled = append(p.unsettled, a.Job)
		case Admission:
			if a.OK {
				p.worker(a.Worker).site = a.Site
			}
			a.Answer <- a.OK
		case Places:
			a.Answer <- a.Sites
		case Close:
			h := p.worker(a.Worker)
			if !h.idle {
				p.t.Fatal("a worker that is not idle is closed")
			}
			h.idle, h.closing = false, true
		}
	}
	p.check()
	checkInvariants(p.t, p.s, p.now, p.brought)
	if w := p.s.Wake(); !w.IsZero() && !w.After(p.now) {
		p.t.Fatalf("wants to be woken at once, at %v, now %v", w.Sub(start), p.now.Sub(start))
	}
}

func (p *player) begin(a Attempt) {
	l := a.Job.Lane()
	if by := p.s.pausedJob(p.latest, a.Site, a.Job, &l); by != nil { // one that has ended isn't over again if the clock is set back
		p.t.Fatalf("a job begins that %+v keeps back", *by)
	}
	if !a.New {
		h := p.worker(a.Worker)
		if !h.idle || h.site != a.Site {
			p.t.Fatalf("worker %d of %s gets a job of %s", a.Worker, h.site, a.Site)
		}
		h.Attempt, h.idle = a, false
		return
	}
	p.workers = append(p.workers, &hand{Attempt: a, site: a.Site})
}

// check holds the State to its limits.
func (p *player) check() {
	sites := make(map[string]int)
	opening := 0
	for _, h := range p.workers {
		sites[h.site]++
		if !h.greeted && !h.closing {
			opening++
		}
	}
	for site, n := range sites {
		if n > p.perSite {
			p.t.Fatalf("%d connections at %s, of %d", n, site, p.perSite)
		}
	}
	if len(p.workers) > p.total || opening > max(p.total/2, 1) {
		p.t.Fatalf("%d connections of %d, %d opening", len(p.workers), p.total, opening)
	}
}

func (p *player) worker(name Worker) *hand {
	for _, h := range p.workers {
		if h.Worker == name {
			return h
		}
	}
	p.t.Fatalf("there is no worker %d", name)
	return nil
}

// work has one worker go on, if there is one with something to do.
func (p *player) work() bool {
	var able []*hand
	for _, h := range p.workers {
		if !h.idle {
			able = append(able, h)
		}
	}
	if len(able) == 0 {
		return false
	}
	h := able[p.rand.IntN(len(able))]
	if h.closing {
		p.workers = slices.DeleteFunc(p.workers, func(o *hand) bool { return o == h })
		p.step(Closed{h.Worker})
		return true
	}
	to := fmt.Sprintf("site%d", int(h.Job.Domain[1]-'0')%4)
	if !p.quiet && p.rand.IntN(20) == 0 {
		to = fmt.Sprintf("site%d", p.rand.IntN(4))
	}
	dial := !h.greeted || p.rand.IntN(10) == 0
	if (dial || to != h.site) && !p.admitted(h, to, dial) {
		p.done(h, Feedback{}, h.greeted)
		return true
	}
	if dial {
		h.greeted = false
		if p.rand.IntN(5) == 0 {
			p.done(h, Feedback{Contact: Failed + Contact(p.rand.IntN(2))}, false)
			p.unsettled = append(p.unsettled, h.Job)
			return true
		}
		h.greeted = true
		p.step(Greeted{h.Worker})
	}
	p.unsettled = append(p.unsettled, h.Job)
	p.now = p.now.Add(time.Duration(p.rand.IntN(10)) * time.Millisecond)
	p.done(h, Feedback{Contact: Met, Sent: true}, p.rand.IntN(6) > 0)
	return true
}

func (p *player) admitted(h *hand, to string, dial bool) bool {
	answer := make(chan bool, 1)
	p.step(Routed{Worker: h.Worker, Site: to, Dial: dial, Answer: answer})
	return <-answer
}

func (p *player) done(h *hand, f Feedback, warm bool) {
	h.idle, h.closing = warm, !warm
	p.step(Done{Worker: h.Worker, Feedback: f, Warm: warm})
}

func (p *player) answer() {
	c := p.asked
	if c == nil {
		return
	}
	p.asked = nil
	if p.rand.IntN(10) == 0 {
		p.step(Claimed{Err: errors.New("busy")})
		return
	}
	got, err := p.q.Claim(context.Background(), queue.ClaimRequest{Now: p.now, Lease: 70 * time.Minute, Limit: c.Limit, Take: c.Take, Expired: c.Expired})
	if err != nil {
		p.t.Fatal(err)
	}
	if p.rand.IntN(3) == 0 {
		p.now = p.now.Add(time.Duration(p.rand.IntN(10)) * time.Second)
	}
	p.brought = max(p.brought, len(got.Jobs))
	p.step(Claimed{Claimed: got})
}

// settle commits one of the jobs that were worked on, or fails to.
func (p *player) settle() {
	if len(p.unsettled) == 0 {
		return
	}
	i := p.rand.IntN(len(p.unsettled))
	j := p.unsettled[i]
	p.unsettled = slices.Delete(p.unsettled, i, i+1)
	e := Settled{Job: j, Lane: j.Lane(), Due: j.Leased, Expires: j.Message.Expires}
	switch k := p.rand.IntN(6); {
	case k < 3 || !j.Message.Expires.After(p.now):
		j.Recipients[0].State, j.Finished = queue.Bounced, p.now
		e.Due, e.Expires = time.Time{}, time.Time{}
	case k == 3:
		j.Held = true
		e.Due = time.Time{}
	case k == 4 && !p.quiet: // the commit fails for good
		p.step(e)
		return
	default:
		j.Due = later(j.Due, p.now.Add(time.Duration(p.rand.IntN(600))*time.Second))
		j.Tries++
		e.Due, e.Lane = j.Due, j.Lane()
	}
	if err := p.q.Commit(context.Background(), j); err != nil {
		e.Due, e.Expires = j.Leased, j.Message.Expires
	}
	p.step(e)
}

func (p *player) unfinished() (n int) {
	for range p.q.Jobs(context.Background(), queue.Filter{Unfinished: true}) {
		n++
	}
	return n
}
