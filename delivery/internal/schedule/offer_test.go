package schedule

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// offer asks for a place for a job of each lane, and returns how many there are.
func (w *toy) offer(lanes ...queue.Lane) (places []Place) {
	answer := make(chan []string, 1)
	w.step(Offered{Lanes: lanes, Answer: answer})
	for i, site := range <-answer {
		if site != "" {
			places = append(places, Place{site, lanes[i]})
		}
	}
	return places
}

// arrive has jobs come for places.
func (w *toy) arrive(places []Place) {
	e := Arrived{Places: places}
	for _, p := range places {
		e.Jobs = append(e.Jobs, w.job(p.Lane))
	}
	w.step(e)
}

func repeated(l queue.Lane, n int) []queue.Lane { return slices.Repeat([]queue.Lane{l}, n) }

// paced has a connection take so long for each of five messages, and be busy with the next.
func paced(took time.Duration) func(*toy) {
	return func(w *toy) {
		w.server = func(string, int) toyAnswer { return toyAnswer{greet: time.Millisecond, message: took} }
		for range 6 {
			w.run(time.Second)
			w.arrive(w.offer(lane1("a.example")))
		}
	}
}

func TestOffered(t *testing.T) {
	lane, high, other := lane1("a.example"), lane1("a.example"), lane1("a.example")
	high.Priority, other.Tenant = queue.High, "other"
	policy := func(p shaping.Policy) *shaping.Policy { return &p }
	tests := []struct {
		name    string
		policy  *shaping.Policy
		prepare func(*toy)
		offer   []queue.Lane
		want    int
	}{
		{"nothing waits", nil, func(w *toy) {}, []queue.Lane{lane}, 1},
		{"as many as there are connections", limited(shaping.Limits{Connections: 2, Start: 2}), func(w *toy) {}, []queue.Lane{high, lane, other}, 2},
		{"places are kept", limited(shaping.Limits{Connections: 2, Start: 2}), func(w *toy) { w.offer(lane, lane) }, []queue.Lane{lane}, 0},
		{"as many for what is better", limited(shaping.Limits{Connections: 2, Start: 2}), func(w *toy) { w.offer(lane, lane) }, []queue.Lane{high, high, high}, 2},
		{"one more for a slow connection", limited(shaping.Limits{Connections: 1}), paced(200 * time.Millisecond), repeated(lane, 20), 1},
		{"some more for a fast one", limited(shaping.Limits{Connections: 1}), paced(10 * time.Millisecond), repeated(lane, 20), 3},
		{"not too many", limited(shaping.Limits{Connections: 1}), paced(time.Microsecond), repeated(lane, 20), 8},
		{"some more for one that is idle", limited(shaping.Limits{Connections: 1}), func(w *toy) { paced(10 * time.Millisecond)(w); w.run(time.Second) }, repeated(lane, 20), 3},
		{"no more than a rate allows", limited(shaping.Limits{Connections: 1, MessageRate: shaping.Rate{N: 1, Per: time.Hour, Burst: 8}}), paced(10 * time.Millisecond), repeated(lane, 20), 2},
		{"no more in a pause", limited(shaping.Limits{Connections: 1}), func(w *toy) {
			paced(10 * time.Millisecond)(w)
			w.s.sites["a.example"].window.order(w.now, shaping.Order{Action: shaping.Pause, For: time.Hour}, w.s.config.Rand)
		}, repeated(lane, 20), 0},
		{"others wait", limited(shaping.Limits{Connections: 2, Start: 2}), func(w *toy) { w.add(other, 1000); w.run(time.Second) }, []queue.Lane{lane}, 0},
		{"others are asked for", nil, func(w *toy) { w.add(other, 1) }, []queue.Lane{lane}, 0},
		{"others wait for a claim that rests", nil, func(w *toy) {
			w.add(other, 1)
			w.step(Claimed{Claimed: queue.Claimed{Lanes: make([]time.Time, 1)}, Took: time.Second})
			w.add(other, 1)
		}, []queue.Lane{lane}, 0},
		{"the queue is away", nil, func(w *toy) { w.add(other, 1); w.step(Claimed{Err: errors.New("away")}) }, []queue.Lane{lane1("b.example")}, 0},
		{"a pause", nil, func(w *toy) { w.step(Pauses{[]Pause{{Domain: "a.example"}}}) }, []queue.Lane{lane}, 0},
		{"a pause of something else", nil, func(w *toy) { w.step(Pauses{[]Pause{{Tenant: "other"}}}) }, []queue.Lane{lane, other}, 1},
		{"a tenant's rate", policy(shaping.Policy{Tenants: map[string]shaping.Tenant{"other": {Rate: shaping.Rate{N: 10, Per: time.Second}}}}), func(w *toy) {}, []queue.Lane{other, lane}, 1},
		{"the site's rate", limited(shaping.Limits{MessageRate: shaping.Rate{N: 1, Per: time.Hour}}), func(w *toy) {}, []queue.Lane{lane, lane}, 1},
		{"the end", nil, func(w *toy) { w.step(Drain{}) }, []queue.Lane{lane}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newToy(t, 1000, test.policy)
			test.prepare(w)
			if places := w.offer(test.offer...); len(places) != test.want {
				t.Errorf("places %v, want %d", places, test.want)
			}
		})
	}
}

// Who gets a place is sent without a claim, and what comes too late to be sent goes back.
func TestArrived(t *testing.T) {
	w := newToy(t, 100, limited(shaping.Limits{Connections: 2, Start: 2}))
	w.claim = func() time.Duration { t.Error("there is a claim"); return 0 }
	lane := lane1("a.example")
	for range 10 {
		w.arrive(w.offer(lane, lane))
		w.run(time.Second)
	}
	if w.sent["a.example"] != 20 {
		t.Errorf("%d of 20 were sent", w.sent["a.example"])
	}
	lost := w.offer(lane, lane)
	w.step(Arrived{Places: lost})
	late := w.offer(lane)
	if len(lost) != 2 || len(late) != 1 {
		t.Fatalf("%d and %d places", len(lost), len(late))
	}
	w.step(Drain{})
	w.arrive(late)
	if w.returns != 1 {
		t.Errorf("%d jobs went back", w.returns)
	}
}

// Nobody else gets the connection of a place, for as long as it is kept.
func TestPlacesAreKept(t *testing.T) {
	w := newToy(t, 8, nil) // of which strangers have two
	w.server = func(string, int) toyAnswer { return toyAnswer{greet: time.Hour} }
	a := lane1("a.example")
	places := w.offer(a, a)
	w.add(lane1("b.example"), 5)
	w.run(time.Second)
	if len(places) != 2 || w.open["b.example"] != 0 {
		t.Fatalf("%d places, %d connections of another site", len(places), w.open["b.example"])
	}
	w.step(Arrived{Places: places[:1]})
	w.run(2 * time.Second)
	if w.open["b.example"] != 1 {
		t.Errorf("%d connections when one place is free", w.open["b.example"])
	}
	w.arrive(places[1:])
	w.run(3 * time.Second)
	if w.open["a.example"] != 1 || w.open["b.example"] != 1 {
		t.Errorf("%d and %d connections", w.open["a.example"], w.open["b.example"])
	}
}
