package schedule

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

func few(n int) *shaping.Policy {
	return &shaping.Policy{Default: shaping.Limits{Connections: n, Start: n, Messages: 1 << 30, Lifetime: 1000 * time.Hour}}
}

func TestTurns(t *testing.T) {
	for _, test := range []struct {
		waits [3]bool
		want  [3]int // of 1000
	}{
		{[3]bool{true, true, true}, [3]int{600, 200, 200}},
		{[3]bool{true, false, true}, [3]int{800, 0, 200}},
		{[3]bool{false, true, true}, [3]int{0, 800, 200}},
		{[3]bool{false, false, true}, [3]int{0, 0, 1000}},
	} {
		var turns turns
		var got [3]int
		for range 1000 {
			got[turns.next(test.waits)]++
		}
		if got != test.want {
			t.Errorf("waits %v: %v turns, want %v", test.waits, got, test.want)
		}
	}
	var turns turns
	if turns.next([3]bool{}) != -1 {
		t.Error("it is the turn of nobody")
	}
	for range 1000 {
		turns.next([3]bool{false, false, true})
	}
	if turns.next([3]bool{true, false, true}) != 0 {
		t.Error("who comes after a time without work doesn't go by rank")
	}
}

// A message of high priority behind a campaign to the same domain is the next one on the wire.
func TestResetBehindCampaign(t *testing.T) {
	w := newToy(t, 100, few(5))
	w.add(queue.Lane{Domain: "big.example", Priority: queue.Low}, 100_000)
	w.run(10 * time.Second)
	before := len(w.order)
	w.add(queue.Lane{Domain: "big.example", Priority: queue.High}, 1)
	w.run(20 * time.Millisecond)
	i := slices.IndexFunc(w.order, func(j *queue.Job) bool { return j.Message.Priority == queue.High })
	if i < 0 || i > before+5 {
		t.Errorf("it was begun after %d others, of %d, over 5 connections", i-before, len(w.order)-before)
	}
}

func TestPrioritiesShareASite(t *testing.T) {
	w := newToy(t, 100, few(5))
	w.key = func(j *queue.Job) string { return fmt.Sprint(j.Message.Priority) }
	for p := queue.Low; p <= queue.High; p++ {
		w.add(queue.Lane{Domain: "big.example", Priority: p}, 10_000)
	}
	w.run(10 * time.Second)
	total := w.sent["-1"] + w.sent["0"] + w.sent["1"]
	for _, p := range []string{"-1", "0"} {
		if w.sent[p] < total*19/100 {
			t.Errorf("priority %s had %d of %d", p, w.sent[p], total)
		}
	}
	if w.sent["1"] < total*57/100 {
		t.Errorf("high priority had %d of %d", w.sent["1"], total)
	}
}

// Mail that nobody has tried yet doesn't wait behind the retries of an outage.
func TestFirstAttemptsBeforeRetries(t *testing.T) {
	w := newToy(t, 100, few(5))
	w.key = func(j *queue.Job) string { return fmt.Sprint(j.Tries) }
	w.add(queue.Lane{Domain: "big.example", Retry: true}, 50_000)
	w.run(time.Second)
	before := w.sent["1"]
	w.add(queue.Lane{Domain: "big.example"}, 400)
	w.run(1100 * time.Millisecond)
	if w.sent["0"] < 380 {
		t.Errorf("%d of 400 first attempts, %d retries", w.sent["0"], w.sent["1"]-before)
	}
	if w.sent["1"]-before < 90 {
		t.Errorf("retries starved: %d", w.sent["1"]-before)
	}
}

func TestTenantsShareASite(t *testing.T) {
	policy := few(5)
	policy.Tenants = map[string]shaping.Tenant{"heavy": {Weight: 3}}
	w := newToy(t, 100, policy)
	w.key = func(j *queue.Job) string { return j.Message.Tenant }
	w.add(queue.Lane{Domain: "big.example", Tenant: "flood"}, 50_000)
	for i := range 50 {
		w.add(queue.Lane{Domain: fmt.Sprintf("d%d.example", i), Tenant: "flood"}, 1000)
	}
	w.siteOf = func(string) string { return "site" }
	w.run(5 * time.Second)
	clear(w.sent)
	w.add(queue.Lane{Domain: "big.example", Tenant: "light"}, 2000)
	w.add(queue.Lane{Domain: "big.example", Tenant: "heavy"}, 5000)
	w.run(10 * time.Second)
	total := w.sent["flood"] + w.sent["light"] + w.sent["heavy"]
	for tenant, share := range map[string]float64{"flood": 0.2, "light": 0.2, "heavy": 0.6} {
		if got := float64(w.sent[tenant]) / float64(total); got < share-0.03 || got > share+0.03 {
			t.Errorf("tenant %s had %.2f of %d, not %.2f", tenant, got, total, share)
		}
	}
}

// When connections are short, the tenants share them by weight, however many sites each sends to.
func TestTenantsShareTheConnections(t *testing.T) {
	w := newToy(t, 40, few(5))
	w.key = func(j *queue.Job) string { return j.Message.Tenant }
	w.server = func(string, int) toyAnswer {
		return toyAnswer{greet: 10 * time.Millisecond, message: 200 * time.Millisecond}
	}
	for i := range 500 {
		w.add(queue.Lane{Domain: fmt.Sprintf("a%d.example", i), Tenant: "wide"}, 1000)
	}
	for i := range 20 {
		w.add(queue.Lane{Domain: fmt.Sprintf("b%d.example", i), Tenant: "narrow"}, 3000)
	}
	w.run(4 * time.Minute)
	total := w.sent["wide"] + w.sent["narrow"]
	if got := float64(w.sent["narrow"]) / float64(total); got < 0.4 || got > 0.6 {
		t.Errorf("a tenant with few sites had %.2f of %d", got, total)
	}
}

func TestManyDomainsObeyOneLimit(t *testing.T) {
	w := newToy(t, 100, few(3))
	w.siteOf = func(string) string { return "site" }
	most := 0
	w.server = func(_ string, n int) toyAnswer {
		most = max(most, n)
		return toyAnswer{greet: 10 * time.Millisecond, message: 10 * time.Millisecond}
	}
	for i := range 300 {
		w.add(queue.Lane{Domain: fmt.Sprintf("d%d.example", i)}, 20)
	}
	w.run(time.Hour)
	if most > 3 || len(w.sent) != 300 {
		t.Errorf("%d connections at once, %d domains served", most, len(w.sent))
	}
}

// Ten thousand hosts that never greet leave room for those that do.
func TestTarpits(t *testing.T) {
	w := newToy(t, 500, nil)
	w.server = func(site string, _ int) toyAnswer {
		if site[0] == 't' {
			return toyAnswer{greet: 5 * time.Minute, failed: Failed}
		}
		return toyAnswer{greet: 10 * time.Millisecond, message: 10 * time.Millisecond}
	}
	for i := range 10 {
		w.add(queue.Lane{Domain: fmt.Sprintf("live%d.example", i)}, 1)
	}
	w.run(time.Second)
	for i := range 10_000 {
		w.add(queue.Lane{Domain: fmt.Sprintf("t%d.example", i)}, 100)
	}
	w.run(10 * time.Second)
	for i := range 10 {
		w.add(queue.Lane{Domain: fmt.Sprintf("live%d.example", i)}, 1000)
	}
	w.run(30 * time.Second)
	for i := range 10 {
		if n := w.sent[fmt.Sprintf("live%d.example", i)]; n != 1001 {
			t.Errorf("live%d.example had %d of 1001", i, n)
		}
	}
	if len(w.workers) < 100 {
		t.Errorf("only %d connections are tried", len(w.workers))
	}
}
