package schedule

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func lane1(domain string) queue.Lane { return queue.Lane{Domain: domain} }

func job(domain string, n int) *queue.Job {
	return &queue.Job{Key: queue.Key{ID: queue.ID(domain), N: n}, Domain: domain}
}

// claimOf returns the only action, which must be a claim.
func claimOf(t *testing.T, actions []Action) Claim {
	t.Helper()
	if len(actions) != 1 {
		t.Fatalf("actions are %v, want a claim alone", actions)
	}
	c, ok := actions[0].(Claim)
	if !ok {
		t.Fatalf("action is %T, want Claim", actions[0])
	}
	return c
}

func TestWaitsUntilDue(t *testing.T) {
	s := New(Limits{Total: 10, PerSite: 2})
	if a := s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(60), Expires: at(1000)}); a != nil {
		t.Fatalf("acts on a lane that is not due: %v", a)
	}
	if got := s.Wake(); !got.Equal(at(60)) {
		t.Fatalf("wakes at %v, want when the lane is due", got)
	}
	s.Step(at(1), Ready{Lane: lane1("a.example"), Due: at(30)})
	if got := s.Wake(); !got.Equal(at(30)) {
		t.Fatalf("wakes at %v, want the earlier due time", got)
	}
	c := claimOf(t, s.Step(at(30), nil))
	if len(c.Take) != 1 || c.Take[0] != (queue.Take{Lane: lane1("a.example"), N: 2}) || c.Limit != 2 {
		t.Fatalf("claims %+v", c)
	}
}

func TestIdleCostsNothing(t *testing.T) {
	s := New(Limits{Total: 10, PerSite: 2})
	if a := s.Step(at(0), nil); a != nil || !s.Wake().IsZero() {
		t.Fatalf("an empty state acts (%v) or wakes at %v", a, s.Wake())
	}
	s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0)})
	s.Step(at(0), Claimed{Claimed: queue.Claimed{Lanes: []time.Time{{}}}})
	if len(s.lanes) != 0 || len(s.sites) != 0 || !s.Wake().IsZero() {
		t.Fatalf("an empty lane is remembered: lanes %v, sites %v, wake %v", s.lanes, s.sites, s.Wake())
	}
}

func TestSiteLimitHoldsOverLanes(t *testing.T) {
	s := New(Limits{Total: 100, PerSite: 2})
	s.learn("a.example", "big")
	s.learn("b.example", "big")
	claimOf(t, s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0)}))
	s.Step(at(0), Ready{Lane: lane1("b.example"), Due: at(0)})
	actions := s.Step(at(0), Claimed{Claimed: queue.Claimed{
		Jobs: []*queue.Job{job("a.example", 0), job("a.example", 1)}, Lanes: []time.Time{at(0)},
	}})
	if len(actions) != 2 || s.Running() != 2 {
		t.Fatalf("actions %v: want two attempts and no claim while the site is full", actions)
	}
	first := actions[0].(Attempt)
	c := claimOf(t, s.Step(at(1), Ended{Attempt: first, Lane: lane1("a.example")}))
	if len(c.Take) != 1 || c.Take[0] != (queue.Take{Lane: lane1("b.example"), N: 1}) {
		t.Fatalf("claims %+v: the lane that has waited longest is next, with the one free slot", c)
	}
}

// Domains whose common site nobody knew of begin with slots of their own, and go on with those of the site.
func TestSiteLimitHoldsOverUnknownDomains(t *testing.T) {
	s := New(Limits{Total: 100, PerSite: 1})
	begin := func(domain string) Attempt {
		claimOf(t, s.Step(at(0), Ready{Lane: lane1(domain), Due: at(0)}))
		return s.Step(at(0), Claimed{Claimed: queue.Claimed{Jobs: []*queue.Job{job(domain, 0)}, Lanes: []time.Time{{}}}})[0].(Attempt)
	}
	a, b := begin("a.example"), begin("b.example")
	if got := s.Step(at(0), Routed{Attempt: a, To: "big"}); len(got) != 1 || !got[0].(Admission).OK {
		t.Fatalf("the first one is not admitted: %v", got)
	}
	a.Site = "big"
	if got := s.Step(at(0), Routed{Attempt: b, To: "big"}); len(got) != 1 || got[0].(Admission).OK {
		t.Fatalf("the second one is admitted to a full site: %v", got)
	}
	if got := s.Step(at(0), Ended{Attempt: b, Lane: lane1("b.example"), Due: at(0)}); got != nil || !s.Wake().IsZero() {
		t.Fatalf("what was given back doesn't wait for a slot: %v", got)
	}
	c := claimOf(t, s.Step(at(1), Ended{Attempt: a, Lane: lane1("a.example")}))
	if c.Take[0].Lane != lane1("b.example") {
		t.Fatalf("claims %+v", c)
	}
}

func TestDeadSiteDelaysNobody(t *testing.T) {
	s := New(Limits{Total: 100, PerSite: 1})
	claimOf(t, s.Step(at(0), Ready{Lane: lane1("dead.example"), Due: at(0)}))
	s.Step(at(0), Claimed{Claimed: queue.Claimed{Jobs: []*queue.Job{job("dead.example", 0)}, Lanes: []time.Time{at(0)}}})
	c := claimOf(t, s.Step(at(1), Ready{Lane: lane1("live.example"), Due: at(1)}))
	if c.Take[0].Lane != lane1("live.example") {
		t.Fatalf("claims %+v while another site is stuck", c)
	}
}

func TestPriorityGoesFirst(t *testing.T) {
	s := New(Limits{Total: 1, PerSite: 1})
	claimOf(t, s.Step(at(0), Ready{Lane: lane1("first.example"), Due: at(0)}))
	for _, p := range []queue.Priority{queue.Low, queue.Normal, queue.High} {
		s.Step(at(0), Ready{Lane: queue.Lane{Domain: "x.example", Priority: p}, Due: at(0)})
	}
	var order []queue.Priority
	actions := s.Step(at(0), Claimed{Claimed: queue.Claimed{Lanes: []time.Time{{}}}})
	for range 3 {
		c := claimOf(t, actions)
		order = append(order, c.Take[0].Lane.Priority)
		j := job("x.example", len(order))
		j.Message.Priority = c.Take[0].Lane.Priority
		attempt := s.Step(at(0), Claimed{Claimed: queue.Claimed{Jobs: []*queue.Job{j}, Lanes: []time.Time{{}}}})[0].(Attempt)
		actions = s.Step(at(0), Ended{Attempt: attempt, Lane: j.Lane()})
	}
	if !slices.Equal(order, []queue.Priority{queue.High, queue.Normal, queue.Low}) {
		t.Errorf("order of priorities is %v", order)
	}
}

// What is enqueued between a claim and its answer is not in the answer; it must not be forgotten.
func TestArrivalDuringClaim(t *testing.T) {
	s := New(Limits{Total: 10, PerSite: 10})
	claimOf(t, s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0)}))
	if a := s.Step(at(1), Ready{Lane: lane1("a.example"), Due: at(1)}); a != nil {
		t.Fatalf("a second claim while one is under way: %v", a)
	}
	c := claimOf(t, s.Step(at(2), Claimed{Claimed: queue.Claimed{Lanes: []time.Time{{}}}}))
	if c.Take[0].Lane != lane1("a.example") {
		t.Fatalf("claims %+v", c)
	}
}

func TestExpiredNeedNoSlot(t *testing.T) {
	s := New(Limits{Total: 1, PerSite: 1})
	claimOf(t, s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0), Expires: at(10)}))
	s.Step(at(0), Claimed{Claimed: queue.Claimed{Jobs: []*queue.Job{job("a.example", 0)}, Lanes: []time.Time{at(0)}}})
	if got := s.Wake(); !got.Equal(at(10)) {
		t.Fatalf("wakes at %v, want the expiry although every slot is taken", got)
	}
	c := claimOf(t, s.Step(at(10), nil))
	if !c.Expired || c.Take == nil || len(c.Take) != 0 || c.Limit != maxExpiring {
		t.Fatalf("claims %+v, want expired jobs and no lane", c)
	}
	actions := s.Step(at(10), Claimed{Claimed: queue.Claimed{Jobs: []*queue.Job{job("a.example", 1)}, Next: at(99)}})
	if len(actions) != 1 || !actions[0].(Attempt).Expired {
		t.Fatalf("actions %v", actions)
	}
	if got := s.Wake(); !got.Equal(at(99)) {
		t.Fatalf("wakes at %v, want the next expiry", got)
	}
}

func TestFailedClaimWaitsAndComesBack(t *testing.T) {
	s := New(Limits{Total: 1, PerSite: 1})
	claimOf(t, s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0), Expires: at(3600)}))
	now, last := at(0), time.Duration(0)
	for range 12 {
		if a := s.Step(now, Claimed{Err: errors.New("disk")}); a != nil {
			t.Fatalf("acts at once after a failed claim: %v", a)
		}
		wait := s.Wake().Sub(now)
		if wait < last || wait < minPause || wait > maxPause {
			t.Fatalf("waits %v after %v", wait, last)
		}
		now, last = s.Wake(), wait
		claimOf(t, s.Step(now, nil))
	}
	if last != maxPause {
		t.Errorf("the last wait is %v, want %v", last, maxPause)
	}
}

func TestDrainBeginsNothing(t *testing.T) {
	s := New(Limits{Total: 1, PerSite: 1})
	claimOf(t, s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0)}))
	s.Step(at(0), Drain{})
	actions := s.Step(at(0), Claimed{Claimed: queue.Claimed{Jobs: []*queue.Job{job("a.example", 0)}, Lanes: []time.Time{at(0)}}})
	if len(actions) != 1 || s.Running() != 1 {
		t.Fatalf("a job that was claimed must be handed out to be given back: %v", actions)
	}
	if a := s.Step(at(1), Ended{Attempt: actions[0].(Attempt), Lane: lane1("a.example"), Due: at(0)}); a != nil || s.Running() != 0 || !s.Wake().IsZero() {
		t.Fatalf("a drained state acts: %v", a)
	}
}

// TestEveryJobEnds plays random queues against the scheduler: limits are never passed, and every job is attempted until
// it ends, in time that the clock alone advances.
func TestEveryJobEnds(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newWorld(t, seed).play() })
	}
}

// world is a toy queue with jobs of lanes that retry a few times.
type world struct {
	t      *testing.T
	rand   *rand.Rand
	now    time.Time
	s      *State
	limits Limits
	jobs   map[queue.Key]*toy
	sites  map[string]int
	flight []Attempt
	asked  *Claim
}

type toy struct {
	job    *queue.Job
	due    time.Time
	leased bool
	tries  int
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 1)), now: start, jobs: make(map[queue.Key]*toy), sites: make(map[string]int)}
	w.limits = Limits{Total: 1 + w.rand.IntN(20), PerSite: 1 + w.rand.IntN(5)}
	w.s = New(w.limits)
	return w
}

func (w *world) play() {
	toAdd := 1 + w.rand.IntN(300)
	for steps := 0; toAdd > 0 || len(w.jobs) > 0; steps++ {
		if steps > 100_000 {
			w.t.Fatalf("%d jobs never end", len(w.jobs))
		}
		switch k := w.rand.IntN(4); {
		case k == 0 && toAdd > 0:
			toAdd--
			w.add()
		case k == 1 && w.asked != nil:
			w.answer()
		case k == 2 && len(w.flight) > 0:
			w.finish()
		case w.asked == nil && len(w.flight) == 0 && toAdd == 0:
			wake := w.s.Wake()
			if wake.IsZero() {
				w.t.Fatalf("sleeps for ever with %d jobs", len(w.jobs))
			}
			if wake.After(w.now) {
				w.now = wake
			}
			w.do(w.s.Step(w.now, nil))
		}
	}
}

func (w *world) add() {
	j := job(fmt.Sprintf("d%d.example", w.rand.IntN(10)), len(w.jobs)+1000*w.rand.IntN(1_000_000))
	j.Message.Priority = queue.Priority(w.rand.IntN(3) - 1)
	due := w.now.Add(time.Duration(w.rand.IntN(100)) * time.Second)
	w.jobs[j.Key] = &toy{job: j, due: due}
	w.do(w.s.Step(w.now, Ready{Lane: j.Lane(), Due: due, Expires: w.now.Add(time.Hour)}))
}

func (w *world) do(actions []Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case Claim:
			if w.asked != nil {
				w.t.Fatal("two claims at once")
			}
			w.asked = &a
		case Attempt:
			w.flight = append(w.flight, a)
			if a.Expired {
				continue
			}
			if w.sites[a.Site]++; w.sites[a.Site] > w.limits.PerSite {
				w.t.Fatalf("%d attempts at %s", w.sites[a.Site], a.Site)
			}
			if total := w.total(); total > w.limits.Total {
				w.t.Fatalf("%d attempts", total)
			}
		}
	}
}

func (w *world) total() (n int) {
	for _, v := range w.sites {
		n += v
	}
	return n
}

func (w *world) answer() {
	c := w.asked
	w.asked = nil
	if w.rand.IntN(20) == 0 {
		w.do(w.s.Step(w.now, Claimed{Err: errors.New("busy")}))
		return
	}
	var got queue.Claimed
	for _, take := range c.Take {
		var next time.Time
		for _, j := range w.jobs {
			if j.leased || j.job.Lane() != take.Lane {
				continue
			}
			if !j.due.After(w.now) && take.N > 0 {
				take.N--
				j.leased = true
				got.Jobs = append(got.Jobs, j.job)
				continue
			}
			next = earliest(next, j.due)
		}
		got.Lanes = append(got.Lanes, next)
	}
	if c.Expired {
		got.Next = w.now.Add(time.Hour)
	}
	w.do(w.s.Step(w.now, Claimed{Claimed: got}))
}

func (w *world) finish() {
	i := w.rand.IntN(len(w.flight))
	a := w.flight[i]
	w.flight = slices.Delete(w.flight, i, i+1)
	if !a.Expired {
		w.sites[a.Site]--
	}
	j := w.jobs[a.Job.Key]
	e := Ended{Attempt: a, Lane: a.Job.Lane()}
	if w.rand.IntN(3) == 0 {
		w.s.learn(a.Job.Domain, fmt.Sprintf("site%d", w.rand.IntN(3)))
	}
	if j.tries++; j.tries < 4 && w.rand.IntN(2) == 0 {
		j.leased, j.due = false, w.now.Add(time.Duration(w.rand.IntN(60))*time.Second)
		e.Due, e.Expires = j.due, w.now.Add(time.Hour)
	} else {
		delete(w.jobs, a.Job.Key)
	}
	w.do(w.s.Step(w.now, e))
}
