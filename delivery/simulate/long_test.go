package simulate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/delivery/simulate"
	"github.com/postroad/postroad/queue"
)

var midnight = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// The window finds out what a site takes, and costs it little.
func TestConvergence(t *testing.T) {
	for _, limit := range []int{5, 8, 13} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprintf("%d connections, seed %d", limit, seed), func(t *testing.T) {
				y := future(t, simulate.Config{
					Seed: seed, Start: midnight, Until: midnight.Add(time.Hour),
					Mail:    []simulate.Mail{{Domain: "x.example", Count: limit * 2000}},
					Servers: script(t, fmt.Sprintf("always * connections %d\nalways * greets in 300ms\nalways * takes 2s", limit)),
				})
				mean := y.openFor.Hours() / y.last.Hours()
				if mean < 0.8*float64(limit) || mean > 1.2*float64(limit) {
					t.Errorf("%.2f connections in the mean", mean)
				}
				if share := float64(len(y.refused)) / float64(y.delivered); share >= 0.02 {
					t.Errorf("%d refused, of %d messages: %.2f %%", len(y.refused), y.delivered, 100*share)
				}
				t.Logf("mean %.2f, %d refused, %d messages, %v", mean, len(y.refused), y.delivered, y.last)
			})
		}
	}
}

// A provider that wants nothing at noon gets next to nothing, and the rest soon after.
func TestThrottledAtNoon(t *testing.T) {
	for _, throttle := range []string{
		"greeting 421 4.7.28 too fast",
		"mail 421 4.7.28 too fast",
		"rcpt 451 4.7.28 too fast",
	} {
		t.Run(throttle, func(t *testing.T) {
			y := future(t, simulate.Config{
				Start: midnight.Add(11 * time.Hour),
				Mail:  []simulate.Mail{{Domain: "x.example", Count: 9000, Every: time.Second}},
				Servers: script(t, "12:00-13:00 * "+throttle+`
					always * connections 10
					always * greets in 300ms
					always * takes 2s`),
				Shaping: shaping.Policy{Rules: []shaping.Rule{
					{Name: "too fast", Enhanced: "4.7.28", Action: shaping.Pause, For: 15 * time.Minute},
				}},
			})
			attempts := between(y.attempts, time.Hour, 2*time.Hour)
			if attempts > 60 {
				t.Errorf("%d attempts while nothing is wanted", attempts)
			}
			if y.delivered != 9000 {
				t.Errorf("%d delivered", y.delivered)
			}
			if y.last > 4*time.Hour {
				t.Errorf("it took %v", y.last)
			}
			t.Logf("%d attempts, %d pauses, over after %v", attempts, len(y.pauses), y.last)
		})
	}
}

// After an outage of six hours with 50,000 messages waiting, connections come back no faster than twice as fast as they come
// when all is well.
func TestOutage(t *testing.T) {
	y := future(t, simulate.Config{
		Start: midnight, Lifetime: 48 * time.Hour,
		Mail: []simulate.Mail{
			{Domain: "x.example", Count: 25_000},
			{Domain: "x.example", Count: 50_000, After: time.Hour},
		},
		Servers: script(t, "+1h-+7h * connect fails after 30s\nalways * greets in 300ms\nalways * takes 3s"),
	})
	steady := float64(between(y.connected, 30*time.Minute, time.Hour)) / 30
	after := peak(y.connected, time.Minute, 7*time.Hour, y.last)
	if steady == 0 || float64(after) > 2*steady {
		t.Errorf("%d connections in a minute after the outage, %.1f before", after, steady)
	}
	if y.delivered != 75_000 {
		t.Errorf("%d delivered", y.delivered)
	}
	during := between(y.refused, time.Hour, 7*time.Hour)
	if during > 200 {
		t.Errorf("%d connections were tried in vain", during)
	}
	t.Logf("steady %.1f, after %d, in vain %d, over after %v", steady, after, during, y.last)
}

// The same holds when it is our own network that was away, and the messages are for hundreds of sites.
func TestOutageOfOurs(t *testing.T) {
	const sites, each = 200, 100
	var mail []simulate.Mail
	for i := range sites {
		mail = append(mail, simulate.Mail{
			Domain: fmt.Sprintf("d%d.example", i), Count: each,
			After: time.Duration(i) * 8 * time.Hour / (sites * each), Every: 8 * time.Hour / each,
		})
	}
	y := future(t, simulate.Config{
		Start: midnight, Mail: mail,
		Servers: script(t, "+1h-+7h * connect fails after 30s\nalways * takes 1s\nalways * greets in 200ms"),
	})
	steady := float64(between(y.connected, 0, time.Hour)) / 60
	after := peak(y.connected, time.Minute, 7*time.Hour, y.last)
	if steady == 0 || float64(after) > 2*steady {
		t.Errorf("%d connections in a minute after the outage, %.1f before", after, steady)
	}
	if y.delivered != sites*each {
		t.Errorf("%d delivered", y.delivered)
	}
}

// Everyone ends by the time they expire, whatever is throttled.
func TestExpiryUnderThrottling(t *testing.T) {
	for name, servers := range map[string]string{
		"rcpt":     "always * rcpt 450 4.7.1 later",
		"pauses":   "always * rcpt 450 4.7.28 later",
		"greeting": "always * greeting 421 4.7.0 busy",
		"dead":     "always * connect fails after 30s",
		"full":     "always * connections 0",
	} {
		t.Run(name, func(t *testing.T) {
			y := future(t, simulate.Config{
				Lifetime: 6 * time.Hour, Concurrency: 10,
				Mail: []simulate.Mail{
					{Domain: "x.example", Count: 2000, Every: time.Second},
					{Domain: "y.example", Count: 200, Recipients: 3},
				},
				Servers: script(t, servers+"\nalways * takes 1s"),
				Shaping: shaping.Policy{Rules: []shaping.Rule{
					{Name: "slow", Enhanced: "4.7.28", Action: shaping.Pause, For: 4 * time.Hour},
				}},
			})
			if y.bounced != y.queued {
				t.Errorf("%d of %d have bounced", y.bounced, y.queued)
			}
			t.Logf("%d attempts, over %v", len(y.attempts), y.last)
		})
	}
}

// What waits its turn at a slow site ends in time, too, though it was claimed long ago.
func TestExpiryBehindSlowConnections(t *testing.T) {
	var mail []simulate.Mail
	for p := queue.Low; p <= queue.High; p++ {
		mail = append(mail, simulate.Mail{Domain: "x.example", Priority: p, Count: 30, Every: 10 * time.Minute})
	}
	y := future(t, simulate.Config{
		Lifetime: time.Hour, Mail: mail,
		Servers: script(t, "always * takes 5m\nalways * first attempt: rcpt 450 4.2.0 greylisted"),
		Shaping: shaping.Policy{Default: shaping.Limits{Connections: 2}},
	})
	if y.delivered == 0 || y.bounced == 0 {
		t.Errorf("%d delivered, %d bounced", y.delivered, y.bounced)
	}
}

// Many domains that are at the same hosts obey the limits of these.
func TestOneLimitForManyDomains(t *testing.T) {
	var mail []simulate.Mail
	for i := range 300 {
		mail = append(mail, simulate.Mail{Domain: fmt.Sprintf("d%d.example", i), Count: 30})
	}
	y := future(t, simulate.Config{
		Mail:    mail,
		Servers: script(t, "always *.example is at mx.host\nalways * greets in 300ms\nalways * takes 200ms\nalways * connections 20"),
		Shaping: shaping.Policy{Sites: map[string]shaping.Limits{"mx.host": {Connections: 6}}},
	})
	if y.most > 6 || len(y.refused) > 0 || y.delivered != 9000 {
		t.Errorf("%d connections, %d refused, %d delivered", y.most, len(y.refused), y.delivered)
	}
	t.Logf("most %d, %d connections, %v", y.most, len(y.connected), y.last)
}

// A rate that lets go one an hour lets go one an hour: nothing waits for it where it can't be had back.
func TestSlowRates(t *testing.T) {
	hourly := shaping.Rate{N: 1, Per: time.Hour}
	for name, limits := range map[string]shaping.Limits{
		"messages":         {Start: 10, MessageRate: hourly},
		"connections":      {Start: 10, Messages: 1, ConnectionRate: hourly},
		"messages by four": {Start: 10, MessageRate: shaping.Rate{N: 4, Per: 4 * time.Hour, Burst: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			y := future(t, simulate.Config{
				Mail: []simulate.Mail{{Domain: "x.example", Count: 30}}, Lifetime: 48 * time.Hour,
				Shaping: shaping.Policy{Default: limits},
				Servers: script(t, "always * takes 1s"),
			})
			if y.delivered != 30 || y.last > 30*time.Hour {
				t.Errorf("%d delivered, over %v", y.delivered, y.last)
			}
		})
	}
}

// BenchmarkCampaign simulates 50,000 messages to one site.
func BenchmarkCampaign(b *testing.B) {
	servers, err := simulate.ParseScript("script", "always * connections 20\nalways * greets in 300ms\nalways * takes 200ms")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		f, err := simulate.Run(simulate.Config{Mail: []simulate.Mail{{Domain: "x.example", Count: 50_000}}, Servers: servers})
		if err != nil {
			b.Fatal(err)
		}
		for range f {
		}
	}
}
