package simulate_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/delivery/simulate"
	"github.com/postroad/postroad/queue"
)

// delivered counts what is delivered until a time after the start, by what key makes of it.
func delivered(t *testing.T, c simulate.Config, key func(delivery.Attempted) string) map[string]int {
	t.Helper()
	f, err := simulate.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	n := make(map[string]int)
	for _, e := range f {
		if a, ok := e.(delivery.Attempted); ok && a.Outcome == delivery.OutcomeDelivered {
			n[key(a)]++
		}
	}
	return n
}

// busy is a site with four connections, a second for each message, and more to do than it can.
func busy(t *testing.T, mail ...simulate.Mail) simulate.Config {
	for i := range mail {
		mail[i].Domain = "x.example"
	}
	return simulate.Config{
		Start: midnight, Until: midnight.Add(30 * time.Minute), Mail: mail,
		Servers: script(t, "always * takes 1s\nalways * greets in 200ms"),
		Shaping: shaping.Policy{Default: shaping.Limits{Connections: 4}},
	}
}

// wantShare checks the share of one among all.
func wantShare(t *testing.T, n map[string]int, name string, want, tolerance float64) {
	t.Helper()
	all := 0
	for _, m := range n {
		all += m
	}
	if got := float64(n[name]) / float64(all); math.Abs(got-want) > tolerance {
		t.Errorf("%q has %.3f of %d, want %.3f", name, got, all, want)
	}
}

// Tenants share by their weights, whatever they have waiting.
func TestTenantsShare(t *testing.T) {
	c := busy(t, simulate.Mail{Tenant: "crowd", Count: 9000}, simulate.Mail{Tenant: "one", Count: 3000, Every: 10 * time.Millisecond},
		simulate.Mail{Tenant: "heavy", Count: 5000, After: time.Minute})
	c.Shaping.Tenants = map[string]shaping.Tenant{"heavy": {Weight: 2}}
	n := delivered(t, c, func(a delivery.Attempted) string {
		if a.Time.Before(midnight.Add(2 * time.Minute)) {
			return "early"
		}
		return a.Message.Tenant
	})
	delete(n, "early")
	wantShare(t, n, "heavy", 0.5, 0.02)
	wantShare(t, n, "crowd", 0.25, 0.02)
	wantShare(t, n, "one", 0.25, 0.02)
}

// Lower priorities keep a fifth each.
func TestPrioritiesShare(t *testing.T) {
	n := delivered(t, busy(t, simulate.Mail{Priority: queue.High, Count: 9000}, simulate.Mail{Count: 9000}, simulate.Mail{Priority: queue.Low, Count: 9000}),
		func(a delivery.Attempted) string { return fmt.Sprint(a.Message.Priority) })
	wantShare(t, n, "1", 0.6, 0.02)
	wantShare(t, n, "0", 0.2, 0.02)
	wantShare(t, n, "-1", 0.2, 0.02)
}

// A password reset behind a campaign is on the wire within one delivery.
func TestResetPassesCampaign(t *testing.T) {
	for _, priority := range []queue.Priority{queue.Low, queue.Normal} {
		f, err := simulate.Run(busy(t, simulate.Mail{Priority: priority, Count: 50_000},
			simulate.Mail{Priority: queue.High, Count: 100, After: 5 * time.Minute, Every: 7300 * time.Millisecond}))
		if err != nil {
			t.Fatal(err)
		}
		resets := 0
		for _, e := range f {
			if a, ok := e.(delivery.Attempted); ok && a.Message.Priority == queue.High {
				resets++
				if wait := a.Time.Sub(a.Message.Enqueued); wait > 1500*time.Millisecond {
					t.Errorf("reset %s waits for %v", a.Message.ID, wait)
				}
			}
		}
		if resets != 100 {
			t.Errorf("%d resets were sent", resets)
		}
	}
}

// First attempts don't wait behind retries: after an hour in which all was deferred, new mail goes at once.
func TestRetriesDontHoldUpNewMail(t *testing.T) {
	c := busy(t, simulate.Mail{Count: 6000}, simulate.Mail{Count: 60, After: 70 * time.Minute, Every: 10 * time.Second})
	c.Until = midnight.Add(90 * time.Minute)
	c.Servers = append(script(t, "+0s-+1h * rcpt 450 4.2.0 later"), c.Servers...)
	f, err := simulate.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	fresh, retries := 0, 0
	for _, e := range f {
		a, ok := e.(delivery.Attempted)
		if !ok || a.Time.Before(midnight.Add(70*time.Minute)) {
			continue
		}
		if a.Message.Enqueued.Before(midnight.Add(time.Hour)) {
			retries++
			continue
		}
		fresh++
		if wait := a.Time.Sub(a.Message.Enqueued); wait > 1500*time.Millisecond {
			t.Errorf("%s waits for %v", a.Message.ID, wait)
		}
	}
	if fresh != 60 || retries < 1000 {
		t.Errorf("%d new messages and %d retries", fresh, retries)
	}
}

// Dead destinations cost those that are known to live nothing to speak of.
func TestDeadDomainsCostNothing(t *testing.T) {
	live := func(dead int) int {
		var mail []simulate.Mail
		for i := range 10 {
			mail = append(mail, simulate.Mail{Domain: fmt.Sprintf("l%d.live", i), Count: 2500})
		}
		for i := range dead {
			mail = append(mail, simulate.Mail{Domain: fmt.Sprintf("d%d.dead", i), Count: 10, After: 10 * time.Second})
		}
		n := delivered(t, simulate.Config{
			Start: midnight, Until: midnight.Add(2 * time.Minute), Mail: mail, Concurrency: 300,
			Servers: script(t, "always *.dead connect fails after 30s\nalways * takes 1s\nalways * greets in 200ms"),
		}, func(delivery.Attempted) string { return "live" })
		return n["live"]
	}
	alone, beside := live(0), live(1000)
	if alone < 10_000 || float64(beside) < 0.9*float64(alone) {
		t.Errorf("%d delivered beside dead domains, %d without", beside, alone)
	}
}

// Tarpits hold up those that were never met before, too, no longer than a few minutes.
func TestTarpitsAtStart(t *testing.T) {
	var mail []simulate.Mail
	for i := range 1000 {
		mail = append(mail, simulate.Mail{Domain: fmt.Sprintf("d%d.dead", i), Count: 10})
	}
	mail = append(mail, simulate.Mail{Domain: "x.live"})
	y := future(t, simulate.Config{
		Start: midnight, Until: midnight.Add(time.Hour), Mail: mail, Concurrency: 200,
		Servers: script(t, "always *.dead connect fails after 30s\nalways * greets in 200ms"),
	})
	if len(y.deliveries) != 1 || y.deliveries[0] > 2*time.Minute {
		t.Errorf("delivered at %v", y.deliveries)
	}
}
