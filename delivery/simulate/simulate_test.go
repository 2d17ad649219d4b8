package simulate_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/delivery/simulate"
	"github.com/postroad/postroad/queue"
)

// eventful is a config with a bit of everything that is left to chance.
func eventful(t *testing.T, seed uint64) simulate.Config {
	return simulate.Config{
		Seed: seed,
		Mail: []simulate.Mail{
			{Domain: "a.example", Count: 40}, {Domain: "a.example", Count: 5, Tenant: "t"}, {Domain: "a.example", Count: 5, Tenant: "u"},
			{Domain: "a.example", Count: 5, Tenant: "v"}, {Domain: "a.example", Count: 5, Tenant: "w"},
			{Domain: "b.example", Tenant: "t", Count: 40, Recipients: 2, Every: time.Minute},
			{Domain: "c.example", Tenant: "u", Priority: queue.High, Count: 5, Every: time.Hour},
		},
		Servers: script(t, `always a.example is at mx
			always b.example is at mx
			+10m-+1h * connect fails after 30s
			always * 10%: rcpt 450 4.2.0 later
			always * connections 3
			always * takes 5s`),
		Changes: []simulate.Change{{After: 40 * time.Second, Shaping: &shaping.Policy{}}, {After: 80 * time.Minute, Restart: true}},
	}
}

func events(t *testing.T, c simulate.Config, limit int) (list []string) {
	t.Helper()
	f, err := simulate.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	for at, e := range f {
		list = append(list, fmt.Sprintf("%v %T %+v", at, e, e))
		if len(list) == limit {
			break
		}
	}
	return list
}

// The same config has the same future, and another seed another one.
func TestSeed(t *testing.T) {
	first := events(t, eventful(t, 1), 0)
	for range 5 {
		if again := events(t, eventful(t, 1), 0); !slices.Equal(first, again) {
			t.Fatal("the future has changed")
		}
	}
	if slices.Equal(first, events(t, eventful(t, 2), 0)) {
		t.Error("another seed changes nothing")
	}
}

// A future can be left, and read again from its beginning.
func TestSequence(t *testing.T) {
	f, err := simulate.Run(eventful(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	counts := []int{0, 0, 0}
	for i := range counts {
		for range f {
			counts[i]++
			if i == 1 && counts[i] == 7 {
				break
			}
		}
	}
	if counts[0] < 100 || counts[1] != 7 || counts[2] != counts[0] {
		t.Errorf("has %d events", counts)
	}
}

func TestUntil(t *testing.T) {
	c := eventful(t, 1)
	all := events(t, c, 0)
	c.Start = midnight
	c.Until = midnight.Add(20 * time.Minute)
	f, err := simulate.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for at := range f {
		if n++; at.After(c.Until) {
			t.Fatalf("goes on at %v", at)
		}
	}
	if n == 0 || n >= len(all) {
		t.Errorf("%d events of %d", n, len(all))
	}
}

// Who is paused by a change, or by a restart, is heard of in what comes after.
func TestChanges(t *testing.T) {
	c := simulate.Config{
		Start:   midnight,
		Mail:    []simulate.Mail{{Domain: "x.example", Count: 600}},
		Servers: script(t, "always * takes 1s"),
		Shaping: shaping.Policy{Default: shaping.Limits{Connections: 1}},
		Changes: []simulate.Change{
			{After: 100 * time.Second, Shaping: &shaping.Policy{Default: shaping.Limits{Connections: 10}}},
			{After: 110 * time.Second, Restart: true},
		},
	}
	y := future(t, c)
	if n := between(y.deliveries, 0, 100*time.Second); n < 99 || n > 101 {
		t.Errorf("%d are delivered over one connection", n)
	}
	if y.most != 10 || y.delivered != 600 || y.last > 200*time.Second {
		t.Errorf("%d connections at most, %d delivered, over %v", y.most, y.delivered, y.last)
	}
	restarted := slices.IndexFunc(y.connected, func(at time.Duration) bool { return at >= 110*time.Second })
	if restarted < 0 || y.connected[restarted] > 112*time.Second || y.delivered != len(y.attempts) {
		t.Errorf("goes on with %v, %d attempts", y.connected, len(y.attempts))
	}
}

func TestConfigErrors(t *testing.T) {
	good := func() simulate.Config { return simulate.Config{Mail: []simulate.Mail{{Domain: "x.example"}}} }
	if _, err := simulate.Run(good()); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*simulate.Config){
		"Config.Concurrency is negative":      func(c *simulate.Config) { c.Concurrency = -1 },
		"Config.MaxWait is negative":          func(c *simulate.Config) { c.MaxWait = -1 },
		"Config.Lifetime is negative":         func(c *simulate.Config) { c.Lifetime = -1 },
		"Config.DelayAfter is negative":       func(c *simulate.Config) { c.DelayAfter = -1 },
		"Config.Mail[0].Domain":               func(c *simulate.Config) { c.Mail[0].Domain = "" },
		"Config.Mail[0].Domain is":            func(c *simulate.Config) { c.Mail[0].Domain = "X" },
		"Config.Mail[0].From":                 func(c *simulate.Config) { c.Mail[0].From = strings.Repeat("x", 2000) },
		"Config.Mail[0].Tenant":               func(c *simulate.Config) { c.Mail[0].Tenant = strings.Repeat("x", 2000) },
		"Config.Mail[0].Count":                func(c *simulate.Config) { c.Mail[0].Count = -1 },
		"Config.Mail[0].Recipients":           func(c *simulate.Config) { c.Mail[0].Recipients = math.MaxInt },
		"Config.Mail[0].Lifetime":             func(c *simulate.Config) { c.Mail[0].Lifetime = -1 },
		"Config.Mail[0].After":                func(c *simulate.Config) { c.Mail[0].After = -1 },
		"Config.Mail[0].Every":                func(c *simulate.Config) { c.Mail[0].Every = -1 },
		"Config.Servers[1]: does nothing":     func(c *simulate.Config) { c.Servers = simulate.Script{{Do: simulate.Takes(1)}, {}} },
		"Config.Shaping: shaping: Policy":     func(c *simulate.Config) { c.Shaping.Default.Connections = -1 },
		"Config.Changes[0].After is negative": func(c *simulate.Config) { c.Changes = []simulate.Change{{After: -1}} },
		"Config.Changes[0].Shaping: shaping: Po": func(c *simulate.Config) {
			c.Changes = []simulate.Change{{Shaping: &shaping.Policy{Default: shaping.Limits{Connections: -1}}}}
		},
	} {
		c := good()
		spoil(&c)
		if _, err := simulate.Run(c); err == nil || !strings.HasPrefix(err.Error(), "simulate: "+want) {
			t.Errorf("the error is %v, not %q", err, want)
		}
	}
}

// Whatever a script says, everyone ends.
func FuzzRun(f *testing.F) {
	f.Add("always * takes 1s", uint64(1))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		s, err := simulate.ParseScript("x", text)
		if err != nil || len(s) > 20 {
			return
		}
		future(t, simulate.Config{
			Start: midnight, Seed: seed, Servers: s, Lifetime: 8 * time.Hour, Concurrency: 4,
			Mail: []simulate.Mail{
				{Domain: "a.example", Count: 3, Recipients: 2, Every: time.Minute}, {Domain: "b.example", Count: 3, Every: time.Hour},
			},
		})
	})
}
