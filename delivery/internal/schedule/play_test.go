package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// player plays a State against a real queue, with everything that may come between: jobs held and released by others, leases
// that are lost, routes learned at any time, a queue that fails, a clock that jumps.
type player struct {
	t      *testing.T
	rand   *rand.Rand
	q      queue.Queue
	now    time.Time
	s      *State
	limits Limits
	asked  *Claim
	flight []Attempt
	slots  map[string]int
	claims int
	events int
}

func TestPlay(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := &player{t: t, rand: rand.New(rand.NewPCG(seed, 7)), q: memqueue.New(), now: start, slots: make(map[string]int)}
			p.limits = Limits{Total: 1 + p.rand.IntN(30), PerSite: 1 + p.rand.IntN(5)}
			p.s = New(p.limits)
			p.play()
		})
	}
}

func (p *player) play() {
	for round := range 400 {
		switch k := p.rand.IntN(10); {
		case k < 3:
			p.enqueue(round)
		case k == 3:
			p.route()
		case k == 4:
			p.release()
		case k < 7:
			p.answer()
		case k < 9:
			p.finish()
		default:
			p.now = p.now.Add(time.Duration(p.rand.IntN(120)-20) * time.Second)
			p.step(nil)
		}
	}
	for n := 0; p.unfinished() > 0; n++ {
		if n > 20_000 {
			p.t.Fatalf("%d jobs never end", p.unfinished())
		}
		if p.asked != nil && (len(p.flight) == 0 || p.rand.IntN(2) == 0) {
			p.answer()
		} else if len(p.flight) > 0 {
			p.finish()
		} else {
			wake := p.s.Wake()
			if wake.IsZero() {
				p.t.Fatalf("sleeps for ever with %d jobs", p.unfinished())
			}
			if wake.After(p.now) {
				p.now = wake
			}
			p.step(nil)
		}
	}
	for n := 0; p.asked != nil || len(p.flight) > 0 || !p.s.Wake().IsZero(); n++ {
		if n > 1000 {
			p.t.Fatalf("never comes to rest")
		}
		if w := p.s.Wake(); w.After(p.now) {
			p.now = w
		}
		p.step(nil)
		p.answer()
		p.finish()
	}
	if len(p.s.lanes) > 0 || len(p.s.sites) > 0 || p.s.anyOpen() || len(p.s.waiting) > 0 || p.s.Running() != 0 {
		p.t.Errorf("keeps %d lanes, %d sites", len(p.s.lanes), len(p.s.sites))
	}
	if p.claims > 2*p.events+200 {
		p.t.Errorf("%d claims for %d events", p.claims, p.events)
	}
}

func (p *player) domain() string { return fmt.Sprintf("d%d.example", p.rand.IntN(12)) }

func (p *player) enqueue(n int) {
	id := queue.ID(fmt.Sprintf("m%d", n))
	j := &queue.Job{Key: queue.Key{ID: id}, Domain: p.domain(), Due: p.now.Add(time.Duration(p.rand.IntN(100)) * time.Second),
		Recipients: []queue.Recipient{{Address: "a@b"}}}
	e := &queue.Entry{Message: queue.Message{ID: id, Priority: queue.Priority(p.rand.IntN(3) - 1),
		Expires: p.now.Add(time.Duration(200+p.rand.IntN(3000)) * time.Second)}, Jobs: []*queue.Job{j}}
	if _, err := p.q.Enqueue(context.Background(), e); err != nil {
		p.t.Fatal(err)
	}
	p.step(Ready{Lane: queue.Lane{Domain: j.Domain, Priority: e.Message.Priority}, Due: j.Due, Expires: e.Message.Expires})
}

// release does what Sender.Release does.
func (p *player) release() {
	id := queue.ID(fmt.Sprintf("m%d", p.rand.IntN(400)))
	c, err := p.q.Claim(context.Background(), queue.ClaimRequest{Now: p.now, Lease: time.Minute, Limit: 1, Keys: []queue.Key{{ID: id}}})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, j := range c.Jobs {
		if p.rand.IntN(3) == 0 {
			p.answer()
		}
		if j.Held {
			j.Held, j.Due = false, p.now
		}
		if err := p.q.Commit(context.Background(), j); err != nil {
			continue
		}
		if !j.Held {
			p.step(Ready{Lane: j.Lane(), Due: j.Due, Expires: j.Message.Expires})
		}
	}
}

// route finds a site for one of the attempts under way.
func (p *player) route() {
	if len(p.flight) == 0 {
		return
	}
	i := p.rand.IntN(len(p.flight))
	a := p.flight[i]
	if a.Expired {
		return
	}
	p.flight = append(p.flight[:i], p.flight[i+1:]...)
	p.step(Routed{Attempt: a, To: fmt.Sprintf("site%d", p.rand.IntN(4))})
}

// admit lets an attempt go on, or gives its job back.
func (p *player) admit(a Admission) {
	if !a.OK {
		p.slots[a.Site]--
		e := Ended{Attempt: a.Attempt, Lane: a.Job.Lane(), Due: a.Job.Due, Expires: a.Job.Message.Expires}
		if err := p.q.Commit(context.Background(), a.Job); err != nil {
			e.Due = a.Job.Leased
		}
		p.step(e)
		return
	}
	p.slots[a.Site]--
	a.Site = a.To
	if p.slots[a.Site]++; p.slots[a.Site] > p.limits.PerSite {
		p.t.Fatalf("%d attempts at %s", p.slots[a.Site], a.Site)
	}
	p.flight = append(p.flight, a.Attempt)
}

func (p *player) step(e Event) {
	p.events++
	for _, a := range p.s.Step(p.now, e) {
		switch a := a.(type) {
		case Claim:
			if p.asked != nil {
				p.t.Fatal("two claims at once")
			}
			p.claims++
			p.asked = &a
		case Admission:
			p.admit(a)
		case Attempt:
			p.flight = append(p.flight, a)
			if a.Expired {
				continue
			}
			if p.slots[a.Site]++; p.slots[a.Site] > p.limits.PerSite {
				p.t.Fatalf("%d attempts at %s", p.slots[a.Site], a.Site)
			}
			total := 0
			for _, n := range p.slots {
				total += n
			}
			if total > p.limits.Total {
				p.t.Fatalf("%d attempts", total)
			}
		}
	}
	if w := p.s.Wake(); !w.IsZero() && !w.After(p.now) {
		p.t.Fatalf("wants to be woken at once, at %v, now %v", w.Sub(start), p.now.Sub(start))
	}
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
	p.step(Claimed{Claimed: got})
}

func (p *player) finish() {
	if len(p.flight) == 0 {
		return
	}
	i := p.rand.IntN(len(p.flight))
	a := p.flight[i]
	p.flight = append(p.flight[:i], p.flight[i+1:]...)
	if !a.Expired {
		p.slots[a.Site]--
	}
	j := a.Job
	e := Ended{Attempt: a, Lane: j.Lane(), Due: j.Leased, Expires: j.Message.Expires}
	switch k := p.rand.IntN(6); {
	case a.Expired || k < 2 || !j.Message.Expires.After(p.now):
		j.Recipients[0].State, j.Finished = queue.Bounced, p.now
		e.Due, e.Expires = time.Time{}, time.Time{}
	case k == 2:
		j.Held = true
		e.Due = time.Time{}
	case k == 3: // the commit fails for good
		p.step(e)
		return
	default:
		j.Due = p.now.Add(time.Duration(p.rand.IntN(600)) * time.Second)
		e.Due = j.Due
	}
	if err := p.q.Commit(context.Background(), j); err != nil {
		e.Due, e.Expires = a.Job.Leased, j.Message.Expires
	}
	p.step(e)
}

func (p *player) unfinished() (n int) {
	for range p.q.Jobs(context.Background(), queue.Filter{Unfinished: true}) {
		n++
	}
	return n
}
