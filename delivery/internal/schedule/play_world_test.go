package schedule

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/postroad/postroad/queue"
)

// What comes to a player's State from outside.

func (p *player) domain() string { return fmt.Sprintf("d%d.example", p.rand.IntN(12)) }

func (p *player) enqueue(n int) {
	id := queue.ID(fmt.Sprintf("m%d", n))
	j := &queue.Job{Key: queue.Key{ID: id}, Domain: p.domain(), Due: p.now.Add(time.Duration(p.rand.IntN(100)) * time.Second),
		Recipients: []queue.Recipient{{Address: "a@b"}}}
	e := &queue.Entry{Message: queue.Message{ID: id, From: fmt.Sprintf("s%d@x.example", p.rand.IntN(4)), Tenant: fmt.Sprintf("t%d", p.rand.IntN(3)),
		Priority: queue.Priority(p.rand.IntN(3) - 1), Expires: p.now.Add(time.Duration(200+p.rand.IntN(3000)) * time.Second)}, Jobs: []*queue.Job{j}}
	if n%2 == 0 {
		e.Message.Labels = []string{"even"}
	}
	l := queue.Lane{Domain: j.Domain, Tenant: e.Message.Tenant, Priority: e.Message.Priority}
	if p.rand.IntN(2) == 0 {
		j.Due = p.now
		answer := make(chan []string, 1)
		p.step(Offered{Lanes: []queue.Lane{l}, Answer: answer})
		if site := (<-answer)[0]; site != "" {
			p.arriving = append(p.arriving, arrival{Place{site, l}, e})
			return
		}
	}
	if _, err := p.q.Enqueue(context.Background(), e); err != nil {
		p.t.Fatal(err)
	}
	p.step(Ready{Lane: l, Due: j.Due, Expires: e.Message.Expires})
}

// arrival is a message that is being stored, for which there is a place.
type arrival struct {
	Place
	entry *queue.Entry
}

// arrive stores such a message, or fails to.
func (p *player) arrive() {
	if len(p.arriving) == 0 {
		return
	}
	a := p.arriving[0]
	p.arriving = p.arriving[1:]
	e := Arrived{Places: []Place{a.Place}}
	if p.rand.IntN(5) > 0 {
		jobs, _, err := p.q.EnqueueLeased(context.Background(), a.entry, queue.LeaseRequest{Now: p.now, Lease: 70 * time.Minute, Jobs: func() []int { return []int{0} }})
		if err != nil {
			p.t.Fatal(err)
		}
		e.Jobs = jobs
	}
	p.step(e)
	if len(e.Jobs) == 0 {
		p.step(Ready{Lane: a.Lane, Due: a.entry.Jobs[0].Due, Expires: a.entry.Message.Expires})
	}
}

// release does what the host program does when it changes a job.
func (p *player) release() {
	id := queue.ID(fmt.Sprintf("m%d", p.rand.IntN(400)))
	p.step(Recall{Match: func(j *queue.Job) bool { return j.Key.ID == id }, Until: p.now.Add(time.Second)})
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

// disturb changes the world around.
func (p *player) disturb() {
	if p.shared && p.rand.IntN(2) == 0 {
		p.share()
		return
	}
	switch p.rand.IntN(4) {
	case 0:
		pause := Pause{Domain: p.domain()}
		switch p.rand.IntN(5) {
		case 0, 1:
			pause = Pause{Tenant: "t2", Until: p.now.Add(time.Minute)}
		case 2:
			pause = Pause{Label: "even"}
		case 3:
			pause = Pause{Label: "even", Site: fmt.Sprintf("site%d", p.rand.IntN(4)), Until: p.now.Add(time.Minute)}
		}
		p.pauses = append(p.pauses, pause)
		p.step(Pauses{slices.Clone(p.pauses)})
	case 1:
		p.pauses = nil
		p.step(Pauses{})
	case 2:
		p.step(Flush{})
	default:
		p.now = p.now.Add(time.Duration(p.rand.IntN(120)-20) * time.Second)
		p.step(nil)
	}
}

// share gives the State some of what it wants, and in the end all, and tells it of trouble that others have had.
func (p *player) share() {
	e := Shares{Sites: make(map[string]int), Rates: p.rand.IntN(RateParts + 1), Until: p.now.Add(time.Duration(p.rand.IntN(60)) * time.Second)}
	if p.quiet {
		e.Rates, e.Until = RateParts, p.now.Add(time.Hour)
	} else if p.rand.IntN(3) == 0 {
		t := Trouble{Site: fmt.Sprintf("site%d", p.rand.IntN(4)), Since: p.now, Until: p.now.Add(time.Minute), Rests: time.Minute}
		p.step(Heard{News{Troubles: []Trouble{t}}})
	}
	needs := p.s.Needs(p.now, 1+p.rand.IntN(20)).Sites
	for _, site := range slices.Sorted(maps.Keys(needs)) { // so that the run can be replayed
		if e.Sites[site] = needs[site].Want; !p.quiet {
			e.Sites[site] = p.rand.IntN(needs[site].Want + 1)
		}
	}
	p.step(e)
}
