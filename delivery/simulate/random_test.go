package simulate_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/delivery/simulate"
	"github.com/postroad/postroad/queue"
)

// Whatever the servers do, and however often the operator changes limits or restarts, every recipient has ended by the time
// that it expires; future checks that.
func TestRandomFutures(t *testing.T) {
	for seed := range uint64(30) {
		if seed == 29 {
			seed = 5381 // a site that waits for a first connection gets one of another site's
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := randomConfig(t, rand.New(rand.NewPCG(seed, 0)))
			c.Seed = seed
			y := future(t, c)
			if y.most > c.Concurrency {
				t.Errorf("%d connections, of %d", y.most, c.Concurrency)
			}
			if seed%3 == 0 && !slices.Equal(events(t, c, 0), events(t, c, 0)) {
				t.Error("the same config has two futures")
			}
			if t.Failed() {
				t.Logf("the script was\n%s", c.Servers)
			}
		})
	}
}

func randomConfig(t *testing.T, r *rand.Rand) simulate.Config {
	c := simulate.Config{
		Start: midnight.Add(time.Duration(r.IntN(24)) * time.Hour), Lifetime: time.Duration(1+r.IntN(30)) * time.Hour,
		Concurrency: 1 + r.IntN(30), Shaping: randomPolicy(r), Servers: randomScript(t, r),
	}
	for range 1 + r.IntN(12) {
		c.Mail = append(c.Mail, simulate.Mail{
			Domain: randomDomain(r), Recipients: 1 + r.IntN(3), Tenant: fmt.Sprintf("t%d", r.IntN(3)),
			From: fmt.Sprintf("s%d@home.example", r.IntN(3)), Priority: queue.Priority(r.IntN(3) - 1), Count: 1 + r.IntN(60),
			After: time.Duration(r.IntN(600)) * time.Minute, Every: time.Duration(r.IntN(300)) * time.Second,
		})
	}
	for range r.IntN(12) {
		ch := simulate.Change{After: time.Duration(r.IntN(20*3600)) * time.Second, Restart: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			p := randomPolicy(r)
			ch.Shaping = &p
		}
		c.Changes = append(c.Changes, ch)
	}
	return c
}

func randomDomain(r *rand.Rand) string { return fmt.Sprintf("d%d.example", r.IntN(8)) }

func randomPolicy(r *rand.Rand) shaping.Policy {
	p := shaping.Policy{
		Default: shaping.Limits{Connections: 1 + r.IntN(9), Messages: 1 + r.IntN(30)},
		Rules:   []shaping.Rule{{Name: "slow", Enhanced: "4.7.28", Action: shaping.Pause, For: time.Duration(1+r.IntN(300)) * time.Minute}},
	}
	some := func() shaping.Rate {
		return shaping.Rate{N: 1 + r.IntN(20), Per: time.Duration(1+r.IntN(60)) * time.Minute, Burst: r.IntN(5)}
	}
	if r.IntN(3) == 0 {
		p.Default.MessageRate = some()
	}
	if r.IntN(3) == 0 {
		p.Default.ConnectionRate = some()
	}
	if r.IntN(3) == 0 {
		p.Senders = map[string]shaping.Rate{"": some()}
	}
	if r.IntN(3) == 0 {
		p.Tenants = map[string]shaping.Tenant{"t1": {Weight: 0.1 + r.Float64(), Rate: some()}}
	}
	return p
}

func randomScript(t *testing.T, r *rand.Rand) simulate.Script {
	text := "always d1.example is at mx.shared\nalways d2.example is at mx.shared\n"
	actions := []string{
		"connect fails", "connect fails after 30s", "greeting 421 4.7.0 busy", "greeting 554 no", "connections 2", "connections 0",
		"mail 451 4.3.0 later", "mail 421 4.7.28 too fast", "rcpt 450 4.7.28 too fast", "rcpt 550 5.1.1 nobody", "rcpt 452 4.5.3 too many",
		"data 421 bye", "body lost", "rcpt lost", "body 554 5.6.0 spam", "greets in 3s", "takes 10s", "takes 4m",
	}
	for range r.IntN(10) {
		when := []string{"always", "09:00-17:00", "22:00-03:00", fmt.Sprintf("+%dm-+%dm", r.IntN(60), 61+r.IntN(1000))}[r.IntN(4)]
		share := []string{"", "20%: ", "first 2 attempts: ", "90%, first attempt: "}[r.IntN(4)]
		where := []string{"*", randomDomain(r), "mx.shared"}[r.IntN(3)]
		text += fmt.Sprintf("%s %s %s%s\n", when, where, share, actions[r.IntN(len(actions))])
	}
	return script(t, text+"always * takes 300ms\n")
}
