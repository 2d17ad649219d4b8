package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// Jobs that a pause keeps back one by one come back within the hour, apart from each other, and can be told from others.
func TestPauseDue(t *testing.T) {
	p, other := Pause{Label: "news"}, Pause{Label: "bills"}
	quarters := make(map[time.Duration]int)
	for n := range 400 {
		j := &queue.Job{Key: queue.Key{ID: "m", N: n}}
		now := at(n * 17)
		j.Due = p.Due(j.Key, now)
		wait := j.Due.Sub(now)
		if wait <= 0 || wait > time.Hour || !p.Kept(j) || other.Kept(j) {
			t.Fatalf("job %d waits %v, kept %v, by the other %v", n, wait, p.Kept(j), other.Kept(j))
		}
		quarters[wait/(15*time.Minute)]++
		j.Due = p.Due(j.Key, j.Due)
		if again := j.Due.Sub(now) - wait; again != time.Hour || !p.Kept(j) {
			t.Fatalf("job %d comes again after %v", n, again)
		}
	}
	for q := range 4 {
		if n := quarters[time.Duration(q)]; n < 60 || n > 140 {
			t.Errorf("%d of 400 in a quarter of an hour", n)
		}
	}
	p.Until = start.Add(time.Second)
	j := &queue.Job{Due: p.Due(queue.Key{ID: "m"}, start)}
	if !j.Due.Equal(p.Until) && !j.Due.Before(p.Until) || !p.Kept(j) {
		t.Errorf("waits until %v, the pause ends at %v", j.Due, p.Until)
	}
}

// A job that goes to another site than it was claimed for counts for the rates there.
func TestDetourCountsForRates(t *testing.T) {
	once := shaping.Rate{N: 1, Per: time.Minute}
	for name, limits := range map[string]shaping.Limits{"messages": {MessageRate: once}, "connections": {ConnectionRate: once}} {
		t.Run(name, func(t *testing.T) {
			s := New(Config{Total: 100, Policy: &shaping.Policy{Sites: map[string]shaping.Limits{"relay": limits}}})
			admitted := 0
			for n := range 5 {
				j := &queue.Job{Key: queue.Key{ID: queue.ID(fmt.Sprint(n))}, Domain: fmt.Sprintf("d%d.example", n)}
				for _, a := range s.Step(start, Ready{Lane: j.Lane(), Due: start}) {
					if _, ok := a.(Claim); !ok {
						t.Fatalf("does %+v", a)
					}
				}
				for _, a := range s.Step(start, Claimed{Claimed: queue.Claimed{Jobs: []*queue.Job{j}, Lanes: []time.Time{{}}}}) {
					begun, ok := a.(Attempt)
					if !ok {
						continue
					}
					answer := make(chan bool, 1)
					for _, a := range s.Step(start, Routed{Worker: begun.Worker, Site: "relay", Detour: true, Dial: true, Answer: answer}) {
						if a, ok := a.(Admission); ok && a.OK {
							admitted++
						}
					}
				}
			}
			if admitted != 1 {
				t.Errorf("%d may go at once, of 1 in a minute", admitted)
			}
		})
	}
}

// What is claimed when a pause of some of a lane's jobs comes goes back, and nothing else does.
func TestPauseOfJobsInHand(t *testing.T) {
	s := New(Config{Total: 1})
	jobs := make([]*queue.Job, 3)
	for n := range jobs {
		jobs[n] = &queue.Job{Key: queue.Key{ID: "m", N: n}, Domain: "a.example"}
	}
	jobs[1].Message.Labels = []string{"news"}
	jobs[2].Message.Labels = []string{"news"}
	s.Step(start, Ready{Lane: jobs[0].Lane(), Due: start})
	s.Step(start, Claimed{Claimed: queue.Claimed{Jobs: jobs, Lanes: []time.Time{{}}}})
	pauses := []Pause{{Label: "news"}, {Label: "news", Site: "b.example"}}
	var back []queue.Key
	for _, a := range s.Step(start, Pauses{pauses}) {
		if a, ok := a.(Return); ok {
			back = append(back, a.Job.Key)
			if !a.Due.Equal(pauses[0].Due(a.Job.Key, start)) {
				t.Errorf("is due at %v", a.Due)
			}
		}
	}
	if len(back) != 2 || back[0].N == 0 || back[1].N == 0 {
		t.Errorf("%v go back", back)
	}
}
