package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// Jobs are claimed for connections that are kept for them: they don't pile up in the hands of sites that have none.
func TestPromisesAreKept(t *testing.T) {
	w := newToy(t, 40, few(5))
	w.server = func(string, int) toyAnswer {
		return toyAnswer{greet: 10 * time.Millisecond, message: 200 * time.Millisecond}
	}
	for i := range 500 {
		w.add(lane1(fmt.Sprintf("d%d.example", i)), 100)
	}
	for range 90 {
		w.run(time.Second)
		for _, st := range w.s.sites {
			if st.workers == 0 && st.inHand() > 0 && w.now.Sub(st.short.since) > patience {
				t.Fatalf("%d jobs are in hand of a site without a connection", st.inHand())
			}
		}
	}
	if len(w.order) < 40*90*5*8/10 {
		t.Errorf("%d begun in 90 s over 40 connections, 200 ms each", len(w.order))
	}
	if w.returns > 2000 {
		t.Errorf("%d were claimed in vain", w.returns)
	}
}

// Better mail for a site that waits for room already goes ahead of the others that wait.
func TestBetterMailForWaitingSite(t *testing.T) {
	w := newToy(t, 4, few(1))
	w.server = func(string, int) toyAnswer {
		return toyAnswer{greet: 10 * time.Millisecond, message: time.Second}
	}
	for i := range 500 {
		w.add(queue.Lane{Domain: fmt.Sprintf("d%d.example", i), Priority: queue.Low}, 100)
	}
	w.run(10 * time.Second)
	if w.s.sites["d250.example"].short.line == nil {
		t.Fatal("the site doesn't wait for room")
	}
	w.add(queue.Lane{Domain: "d250.example", Priority: queue.High}, 1)
	w.run(2500 * time.Millisecond)
	if w.sent["d250.example"] == 0 {
		t.Error("high priority waits in line with the rest of its site")
	}
}

// Sites that have never greeted leave a quarter of all connections to those that have, and more than that if they don't greet.
func TestStrangersLeaveRoom(t *testing.T) {
	w := newToy(t, 40, few(5))
	w.server = func(site string, _ int) toyAnswer {
		if site[0] == 't' {
			return toyAnswer{greet: time.Minute, failed: Failed}
		}
		return toyAnswer{greet: 10 * time.Millisecond, message: 10 * time.Millisecond}
	}
	for i := range 5 {
		w.add(lane1(fmt.Sprintf("known%d.example", i)), 1)
	}
	w.run(time.Second)
	for i := range 100 {
		w.add(lane1(fmt.Sprintf("t%d.example", i)), 10)
	}
	w.run(10 * time.Second)
	if w.s.strangers != 10 || w.s.opening != 10 {
		t.Errorf("%d connections to strangers, of 40", w.s.strangers)
	}
	for i := range 5 {
		w.add(lane1(fmt.Sprintf("known%d.example", i)), 1000)
	}
	w.run(time.Second)
	if w.open["known0.example"] != 5 || w.open["known4.example"] != 5 {
		t.Errorf("%d and %d connections to sites that greet", w.open["known0.example"], w.open["known4.example"])
	}
	w.add(lane1("new.example"), 1)
	w.run(10 * time.Minute)
	if w.sent["new.example"] != 1 {
		t.Error("a new site isn't met behind those that don't greet")
	}
}

// For each site that waits for a connection one other closes, and another one if its goodbye takes too long.
func TestOneLeavesForOne(t *testing.T) {
	for name, test := range map[string]struct {
		goodbye time.Duration
		wait    int // sites
		leave   int
	}{
		"one":           {20 * time.Millisecond, 1, 1},
		"three":         {20 * time.Millisecond, 3, 3},
		"slow goodbyes": {5 * time.Second, 1, 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := newToy(t, 8, few(1))
			w.goodbye = test.goodbye
			took := func(i int) time.Duration { return time.Duration(1+i) * 3 * time.Millisecond }
			w.server = func(site string, _ int) toyAnswer {
				return toyAnswer{greet: 10 * time.Millisecond, message: took(int(site[0] - 'a'))}
			}
			for _, site := range "abcdefgh" {
				w.add(lane1(string(site)+".example"), 1)
			}
			w.run(time.Second)
			if test.goodbye > maxGoodbye {
				took = func(i int) time.Duration { return time.Duration(1+i) * maxGoodbye / 2 }
			}
			for _, site := range "abcdefgh" {
				w.add(lane1(string(site)+".example"), 1)
			}
			w.run(2 * time.Millisecond) // all are busy now
			for i := range test.wait {
				w.add(lane1(fmt.Sprintf("w%d.example", i)), 1)
			}
			w.run(4 * time.Second)
			if len(w.closes) != test.leave {
				t.Errorf("%d connections were closed for %d sites", len(w.closes), test.wait)
			}
		})
	}
}

// Ten thousand dead domains with 100 jobs each cost ten live ones next to nothing, and few attempts.
func TestDeadDomains(t *testing.T) {
	alone, _ := besideDead(t, 0, 0)
	for _, test := range []struct {
		name     string
		fails    time.Duration
		attempts int // in five minutes, at most
	}{
		{"refused", time.Millisecond, 50_000},
		{"timeout", 30 * time.Second, 125 * 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			sent, refused := besideDead(t, 10_000, test.fails)
			if sent < alone*98/100 {
				t.Errorf("%d sent beside dead domains, %d without", sent, alone)
			}
			if refused < 1000 || refused > test.attempts {
				t.Errorf("%d attempts at dead domains", refused)
			}
		})
	}
}

// besideDead returns how much ten live domains get in five minutes, and how many attempts the dead ones.
func besideDead(t *testing.T, dead int, fails time.Duration) (sent, refused int) {
	w := newToy(t, 500, nil)
	w.server = func(site string, _ int) toyAnswer {
		if site[0] == 'x' {
			return toyAnswer{greet: fails, failed: Failed}
		}
		return toyAnswer{greet: 10 * time.Millisecond, message: time.Second}
	}
	for i := range 10 {
		w.add(lane1(fmt.Sprintf("live%d.example", i)), 100_000)
	}
	for i := range dead {
		w.add(lane1(fmt.Sprintf("x%d.example", i)), 100)
	}
	w.run(5 * time.Minute)
	for i := range 10 {
		sent += w.sent[fmt.Sprintf("live%d.example", i)]
	}
	return sent, w.refused
}

// While others wait for their first connection, one failure is enough for a stranger. One that is alone has its whole cohort.
func TestOneFailureIsEnoughInACrowd(t *testing.T) {
	for _, strangers := range []int{1, 1000} {
		w := newToy(t, 40, nil)
		tried := make(map[string]int)
		w.server = func(site string, _ int) toyAnswer {
			tried[site]++
			return toyAnswer{greet: time.Millisecond, failed: Failed}
		}
		for i := range strangers {
			w.add(lane1(fmt.Sprintf("x%d.example", i)), 100)
		}
		w.run(30 * time.Second)
		total := 0
		for _, n := range tried {
			total += n
		}
		if strangers == 1 && total < 2 || strangers > 1 && (len(tried) < strangers || total > strangers+w.s.maxStrangers()) {
			t.Errorf("%d of %d strangers were tried, with %d attempts", len(tried), strangers, total)
		}
	}
}

// Strangers that refuse at once cost no more than others do, and a new one isn't kept waiting by them.
func TestStrangersThatRefuseAtOnce(t *testing.T) {
	w := newToy(t, 40, nil)
	w.server = func(site string, _ int) toyAnswer {
		if site[0] == 'x' {
			return toyAnswer{greet: time.Millisecond, failed: Failed}
		}
		return toyAnswer{greet: time.Millisecond, message: time.Millisecond}
	}
	for i := range 10_000 {
		w.add(lane1(fmt.Sprintf("x%d.example", i)), 100)
		if i == 5000 {
			w.add(lane1("old.example"), 1)
		}
	}
	w.run(5 * time.Second)
	if w.refused > 5*failures+w.s.maxStrangers() || w.refused < 4*failures {
		t.Errorf("%d attempts in 5 seconds", w.refused)
	}
	for _, domain := range []string{"new.example", "old.example"} {
		w.add(lane1(domain), 1)
		at := w.now.Sub(start)
		w.run(at + 50*time.Millisecond)
		if w.sent[domain] == 0 {
			t.Errorf("%s, which has just got mail, isn't met behind those that refuse", domain)
		}
	}
}

// A site that waits for room and has nothing to do any more doesn't keep it.
func TestRoomThatIsNotNeeded(t *testing.T) {
	w := newToy(t, 2, limited(shaping.Limits{Connections: 1, Start: 1}))
	w.server = func(string, int) toyAnswer {
		return toyAnswer{greet: time.Millisecond, message: 10 * time.Second}
	}
	for i := range 20 {
		w.add(lane1(fmt.Sprintf("d%d.example", i)), 1)
	}
	w.run(time.Second)
	var pauses []Pause
	for i := range 19 {
		pauses = append(pauses, Pause{Domain: fmt.Sprintf("d%d.example", i)})
	}
	w.step(Pauses{pauses})
	w.run(25 * time.Second)
	if w.sent["d19.example"] != 1 || w.s.promised != 0 {
		t.Errorf("%d sent, %d promised", w.sent["d19.example"], w.s.promised)
	}
}
