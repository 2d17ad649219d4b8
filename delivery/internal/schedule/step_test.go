package schedule

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

func job(domain string, n int) *queue.Job {
	return &queue.Job{Key: queue.Key{ID: queue.ID(domain), N: n}, Domain: domain, Message: queue.Message{Expires: at(1e6)}}
}

// only returns the only action, which must be an A.
func only[A Action](t *testing.T, actions []Action) A {
	t.Helper()
	if len(actions) != 1 {
		t.Fatalf("actions are %v, want one", actions)
	}
	a, ok := actions[0].(A)
	if !ok {
		t.Fatalf("action is %T, want %T", actions[0], a)
	}
	return a
}

func TestWaitsUntilDue(t *testing.T) {
	s := New(Config{Total: 10, Policy: few(2)})
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
	c := only[Claim](t, s.Step(at(30), nil))
	if len(c.Take) != 1 || c.Take[0] != (queue.Take{Lane: lane1("a.example"), N: 2}) || c.Limit != 2 {
		t.Fatalf("claims %+v", c)
	}
}

func TestIdleCostsNothing(t *testing.T) {
	s := New(Config{Total: 10})
	if a := s.Step(at(0), nil); a != nil || !s.Wake().IsZero() {
		t.Fatalf("an empty state acts (%v) or wakes at %v", a, s.Wake())
	}
	s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0)})
	s.Step(at(0), Claimed{Claimed: queue.Claimed{Lanes: []time.Time{{}}}})
	if len(s.lanes) != 0 || len(s.sites) != 0 || !s.Wake().IsZero() {
		t.Fatalf("an empty lane is remembered: lanes %v, sites %v, wake %v", s.lanes, s.sites, s.Wake())
	}
}

// What is enqueued between a claim and its answer is not in the answer; it must not be forgotten.
func TestArrivalDuringClaim(t *testing.T) {
	for _, due := range []time.Time{at(1), at(100)} {
		s := New(Config{Total: 10})
		only[Claim](t, s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0)}))
		if a := s.Step(at(1), Ready{Lane: lane1("a.example"), Due: due, Expires: at(500)}); a != nil {
			t.Fatalf("a second claim while one is under way: %v", a)
		}
		actions := s.Step(at(2), Claimed{Claimed: queue.Claimed{Lanes: []time.Time{{}}}})
		if due.After(at(2)) {
			if actions != nil || !s.Wake().Equal(due) {
				t.Fatalf("acts (%v) before the lane is due, or wakes at %v", actions, s.Wake())
			}
			actions = s.Step(due, nil)
		}
		if c := only[Claim](t, actions); c.Take[0].Lane != lane1("a.example") {
			t.Fatalf("claims %+v", c)
		}
	}
}

func TestExpiryThatArrivesDuringClaim(t *testing.T) {
	s := New(Config{Total: 10})
	if c := only[Claim](t, s.Step(at(10), Ready{Expires: at(10)})); !c.Expired {
		t.Fatalf("claims %+v", c)
	}
	s.Step(at(10), Ready{Expires: at(20)})
	s.Step(at(10), Claimed{})
	if got := s.Wake(); !got.Equal(at(20)) {
		t.Fatalf("wakes at %v", got)
	}
}

func TestExpiredNeedNoConnection(t *testing.T) {
	s := New(Config{Total: 1, Policy: few(1)})
	only[Claim](t, s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0), Expires: at(10)}))
	s.Step(at(0), Claimed{Claimed: queue.Claimed{Jobs: []*queue.Job{job("a.example", 0)}, Lanes: []time.Time{at(20)}}})
	if got := s.Wake(); !got.Equal(at(10)) {
		t.Fatalf("wakes at %v, want the expiry although every connection is taken", got)
	}
	c := only[Claim](t, s.Step(at(10), nil))
	if !c.Expired || c.Take == nil || len(c.Take) != 0 || c.Limit != maxExpiring {
		t.Fatalf("claims %+v, want expired jobs and no lane", c)
	}
	e := only[Expire](t, s.Step(at(10), Claimed{Claimed: queue.Claimed{Jobs: []*queue.Job{job("a.example", 1)}, Next: at(99)}}))
	if s.expiring != 1 || s.Active() != 3 {
		t.Fatalf("%d expiring, %d active", s.expiring, s.Active())
	}
	s.Step(at(11), Settled{Job: e.Job})
	if s.expiring != 0 || s.Active() != 2 {
		t.Fatalf("%d expiring, %d active", s.expiring, s.Active())
	}
}

func TestFailedClaimWaitsAndComesBack(t *testing.T) {
	s := New(Config{Total: 1})
	only[Claim](t, s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0), Expires: at(3600)}))
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
		only[Claim](t, s.Step(now, nil))
	}
	if last != maxPause {
		t.Errorf("the last wait is %v, want %v", last, maxPause)
	}
}

// After a claim that took its time and left nothing behind the next one comes later, and asks for all that has become due meanwhile.
func TestClaimsRest(t *testing.T) {
	for _, tt := range []struct {
		took time.Duration
		next time.Time // in the lane that was asked
		want time.Duration
	}{
		{0, time.Time{}, 0}, {minRest - 1, time.Time{}, 0}, {2 * time.Millisecond, time.Time{}, 8 * time.Millisecond},
		{time.Second, at(99), maxRest}, {time.Second, at(0), 0},
	} {
		s := New(Config{Total: 10})
		only[Claim](t, s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0)}))
		for _, domain := range []string{"b.example", "c.example"} {
			if a := s.Step(at(0), Ready{Lane: lane1(domain), Due: at(0)}); a != nil {
				t.Fatalf("acts during a claim: %v", a)
			}
		}
		a := s.Step(at(0), Claimed{Claimed: queue.Claimed{Lanes: []time.Time{tt.next}}, Took: tt.took})
		if tt.want > 0 {
			if a != nil || !s.Wake().Equal(at(0).Add(tt.want)) {
				t.Fatalf("after %v: acts %v, wakes at %v, want in %v", tt.took, a, s.Wake(), tt.want)
			}
			a = s.Step(s.Wake(), nil)
		}
		if c := only[Claim](t, a); tt.want > 0 && len(c.Take) != 2 {
			t.Errorf("after %v: claims %+v, want both lanes", tt.took, c)
		}
	}
}

// A rest ends when a claim would be for many; the pause after a failure doesn't.
func TestRestsEnd(t *testing.T) {
	for _, failed := range []error{nil, errors.New("away")} {
		s := New(Config{Total: 1000})
		only[Claim](t, s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0)}))
		s.Step(at(0), Claimed{Claimed: queue.Claimed{Lanes: []time.Time{{}}}, Took: time.Second, Err: failed})
		for n := range fullClaim {
			a := s.Step(at(0), Ready{Lane: lane1(fmt.Sprint(n, ".example")), Due: at(0)})
			if n < fullClaim-1 || failed != nil {
				if a != nil {
					t.Fatalf("acts for %d sites after %v: %v", n+1, failed, a)
				}
			} else if c := only[Claim](t, a); len(c.Take) != fullClaim {
				t.Errorf("claims %d lanes, want %d", len(c.Take), fullClaim)
			}
		}
	}
}

func TestDrainBeginsNothing(t *testing.T) {
	s := New(Config{Total: 1})
	only[Claim](t, s.Step(at(0), Ready{Lane: lane1("a.example"), Due: at(0)}))
	s.Step(at(0), Drain{})
	j := job("a.example", 0)
	r := only[Return](t, s.Step(at(0), Claimed{Claimed: queue.Claimed{Jobs: []*queue.Job{j}, Lanes: []time.Time{at(0)}}}))
	if r.Job != j || s.Active() != 1 {
		t.Fatalf("a job that was claimed must be given back: %v", r)
	}
	if a := s.Step(at(1), Settled{Job: j, Lane: j.Lane(), Due: at(0)}); a != nil || s.Active() != 0 || !s.Wake().IsZero() {
		t.Fatalf("a drained state acts: %v", a)
	}
}

// Draining closes what is idle, gives back what is in hand, and lets what is being sent finish.
func TestDrainWithWorkers(t *testing.T) {
	w := newToy(t, 10, few(3))
	w.add(lane1("a.example"), 1000)
	w.run(time.Second)
	w.step(Drain{})
	if w.returns == 0 {
		t.Error("nothing was given back")
	}
	begun := len(w.order)
	w.run(time.Second)
	if len(w.order) != begun || w.s.Active() != 0 || len(w.workers) != 0 || w.sent["a.example"] != begun {
		t.Errorf("%d begun after it, %d active, %d connections, %d of %d sent", len(w.order)-begun, w.s.Active(), len(w.workers), w.sent["a.example"], begun)
	}
}

// A clock that is set back stops nothing.
func TestClockSetBack(t *testing.T) {
	w := newToy(t, 10, few(3))
	w.add(lane1("a.example"), 1000)
	w.run(time.Second)
	sent := w.sent["a.example"]
	back := time.Hour
	w.now = w.now.Add(-back)
	for _, e := range w.events {
		e.at = e.at.Add(-back)
	}
	w.run(10 * time.Second)
	if w.sent["a.example"] != 1000 {
		t.Errorf("%d sent before, %d after", sent, w.sent["a.example"]-sent)
	}
}

// A claim that brings less than it asked for is made good by the next one, of the lanes that are left.
func TestClaimBringsLess(t *testing.T) {
	w := newToy(t, 10, few(5))
	w.add(queue.Lane{Domain: "a.example", Tenant: "poor"}, 1)
	for range 20 {
		w.add(queue.Lane{Domain: "a.example", Tenant: "rich"}, 100)
	}
	w.run(6 * time.Second)
	if w.sent["a.example"] != 2001 || len(w.s.lanes) != 0 {
		t.Errorf("%d sent, %d lanes left", w.sent["a.example"], len(w.s.lanes))
	}
	for p := range w.s.sites["a.example"].lines {
		for q, l := range w.s.sites["a.example"].lines[p] {
			if len(l.shares) > 0 {
				t.Errorf("lines %d, %d remember %d tenants", p, q, len(l.shares))
			}
		}
	}
}
