package simulate_test

import (
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/simulate"
	"github.com/postroad/postroad/queue"
)

// tally is what a future amounts to.
type tally struct {
	t     *testing.T
	start time.Time
	last  time.Duration
	grace time.Duration

	queued, delivered, bounced int
	deliveries                 []time.Duration
	attempts                   []time.Duration // when they ended
	refused                    []time.Duration
	connected                  []time.Duration
	pauses                     []delivery.SitePaused
	putBack                    int
	open                       map[string]int // connections, by site
	total, most                int            // of all sites
	mostAt                     map[string]int
	openFor                    time.Duration // connections, times time
	ends                       map[recipient]time.Duration
	expires                    map[recipient]time.Duration
}

type recipient struct {
	queue.ID
	address string
}

// future simulates c to its end, or to c.Until, and checks what holds of every future: nothing is out of order, nobody ends twice or
// late, and everybody ends unless it is broken off.
func future(t *testing.T, c simulate.Config) *tally {
	t.Helper()
	if c.Start.IsZero() {
		c.Start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	}
	f, err := simulate.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	y := &tally{
		t: t, start: c.Start, grace: longest(c.Servers), open: make(map[string]int), mostAt: make(map[string]int),
		ends: make(map[recipient]time.Duration), expires: make(map[recipient]time.Duration),
	}
	for at, e := range f {
		y.add(at.Sub(c.Start), e)
	}
	if c.Until.IsZero() {
		for r := range y.expires {
			if _, ok := y.ends[r]; !ok {
				t.Errorf("%s never ends", r)
			}
		}
		if y.total != 0 {
			t.Errorf("%d connections are left", y.total)
		}
	}
	return y
}

func (y *tally) add(at time.Duration, e simulate.Event) {
	if at < y.last {
		y.t.Fatalf("%T of %v comes after %v", e, at, y.last)
	}
	y.openFor += time.Duration(y.total) * (at - y.last)
	y.last = at
	switch e := e.(type) {
	case delivery.Queued:
		for _, a := range e.To {
			y.queued++
			y.expires[recipient{e.Message.ID, a}] = e.Message.Expires.Sub(y.start)
		}
	case delivery.Attempted:
		y.attempts = append(y.attempts, at)
		if e.Outcome == delivery.OutcomeDelivered {
			y.delivered++
			y.deliveries = append(y.deliveries, at)
			y.end(at, recipient{e.Key.ID, e.Recipient})
		}
	case delivery.Bounced:
		for _, r := range e.Recipients {
			y.bounced++
			y.end(at, recipient{e.Key.ID, r.Address})
		}
	case simulate.Connected:
		y.connected = append(y.connected, at)
		y.count(e.Site, e.Open)
	case simulate.Disconnected:
		y.count(e.Site, e.Open)
	case simulate.Refused:
		y.refused = append(y.refused, at)
	case delivery.SitePaused:
		y.pauses = append(y.pauses, e)
	case simulate.PutBack:
		y.putBack++
	case delivery.Trouble:
		y.t.Errorf("trouble at %v: %v", at, e.Err)
	}
}

// longest is how long an attempt may take, and so how much later than it expires a recipient may end.
func longest(s simulate.Script) time.Duration {
	var fail, greets, takes time.Duration
	for _, r := range s {
		switch do := r.Do.(type) {
		case simulate.Fail:
			fail = max(fail, time.Duration(do))
		case simulate.Greets:
			greets = max(greets, time.Duration(do))
		case simulate.Takes:
			takes = max(takes, time.Duration(do))
		}
	}
	return max(fail, greets+takes)
}

func (y *tally) end(at time.Duration, r recipient) {
	if before, ok := y.ends[r]; ok {
		y.t.Errorf("%s ends at %v and at %v", r, before, at)
	}
	y.ends[r] = at
	if at > y.expires[r]+y.grace {
		y.t.Errorf("%s ends at %v, %v after it has expired", r, at, at-y.expires[r])
	}
}

func (y *tally) count(site string, open int) {
	y.total += open - y.open[site]
	y.open[site] = open
	y.most = max(y.most, y.total)
	y.mostAt[site] = max(y.mostAt[site], open)
}

// peak is the most of times within any d, between from and to.
func peak(times []time.Duration, d, from, to time.Duration) (most int) {
	first := 0
	for i, at := range times {
		if at < from || at >= to {
			first = i + 1
			continue
		}
		for at-times[first] >= d {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func between(times []time.Duration, from, to time.Duration) (n int) {
	for _, at := range times {
		if at >= from && at < to {
			n++
		}
	}
	return n
}

func script(t *testing.T, text string) simulate.Script {
	t.Helper()
	s, err := simulate.ParseScript("script", text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
