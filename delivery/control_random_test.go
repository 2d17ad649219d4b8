package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// game gives random commands while random mail comes, hosts fail and the program is restarted, and holds the Sender to what was
// commanded: nothing that is paused begins, and everybody's mail ends by its expiry.
type game struct {
	*world
	*rand.Rand
	ids    []queue.ID
	pauses map[delivery.Selector]time.Time // in force until; zero: until they are lifted
	since  map[delivery.Selector]time.Time // when they had come into force
}

func TestRandomCommands(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newGame(t, seed).play() })
		})
	}
}

func newGame(t *testing.T, seed uint64) *game {
	g := &game{newWorld(t), rand.New(rand.NewPCG(seed, 3)), nil, make(map[delivery.Selector]time.Time), make(map[delivery.Selector]time.Time)}
	for i := range 4 {
		answers := rand.New(rand.NewPCG(seed, uint64(i)))
		g.host(fmt.Sprintf("mx%d.example", i), func(c smtptest.Command) string {
			g.mu.Lock()
			n := answers.IntN(100)
			g.mu.Unlock()
			switch {
			case c.Verb == "RCPT" && n < 30:
				return "450 4.2.0 later"
			case c.Verb == "RCPT" && n < 32:
				return "550 5.1.1 unknown"
			case n < 4:
				return "421 4.3.2 enough"
			}
			return ""
		}, fmt.Sprintf("d%d.example", i), fmt.Sprintf("d%d.example", i+4))
	}
	g.host("mx.home.example", nil, "home.example")
	g.config.Lifetime = 24 * time.Hour
	g.config.Shaping.Default = shaping.Limits{Connections: 2, MessageRate: shaping.Rate{N: 10, Per: time.Minute}}
	g.config.Observer = delivery.ObserverFunc(g.hear)
	return g
}

// hear holds an attempt to the pauses there were when it began.
func (g *game) hear(e delivery.Event) {
	a, ok := e.(delivery.Attempted)
	if !ok || strings.HasSuffix(a.Recipient, "home.example") {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	_, domain, _ := strings.Cut(a.Recipient, "@")
	j := &queue.Job{Key: a.Key, Message: a.Message, Domain: domain}
	for sel, until := range g.pauses {
		f := queue.Filter{ID: sel.ID, Domain: sel.Domain, Tenant: sel.Tenant, Label: sel.Label}
		if f.Match(j) && a.Time.After(g.since[sel]) && (until.IsZero() || a.Time.Before(until)) {
			g.t.Errorf("%s to %s, tenant %s, label %v, began at %v; %v is paused from %v until %v", a.Key, a.Recipient, a.Message.Tenant,
				a.Message.Labels, a.Time, sel, g.since[sel], until)
		}
	}
}

func (g *game) play() {
	g.start()
	for range 120 {
		switch n := g.IntN(10); {
		case n < 4:
			g.arrive()
		case n < 9:
			g.command()
		default:
			g.life()
		}
		g.settle(time.Duration(g.IntN(40)) * time.Minute / time.Duration(1+g.IntN(60)))
	}
	g.arrive()
	// Whatever is paused, held, rerouted and limited: everything ends in time. A report that fails or is held back ends later.
	g.settle(24*time.Hour + time.Second)
	for _, id := range g.ids {
		for _, s := range g.states(id) {
			if strings.HasSuffix(s, "pending") || strings.HasSuffix(s, "failed") {
				g.t.Errorf("%s is %s after its expiry", id, s)
			}
		}
	}
}

func (g *game) arrive() {
	for range 1 + g.IntN(15) {
		m := delivery.Message{
			From: "sender@home.example", Tenant: g.tenant(), Labels: []string{g.label()}, Body: strings.NewReader("Subject: hello\r\n\r\nHello.\r\n"),
			To: delivery.To("ann@" + g.domain()), Priority: queue.Priority(g.IntN(3) - 1),
		}
		if g.IntN(5) == 0 {
			m.SendAt, m.Expires = time.Now().Add(time.Hour), time.Now().Add(24*time.Hour)
		}
		g.ids = append(g.ids, g.send(m))
	}
}

func (g *game) domain() string { return fmt.Sprintf("d%d.example", g.IntN(8)) }
func (g *game) tenant() string { return []string{"shop", "forum"}[g.IntN(2)] }
func (g *game) label() string  { return []string{"news", "bills", "resets"}[g.IntN(3)] }
func (g *game) site() string   { return fmt.Sprintf("mx%d.example", g.IntN(4)) }

func (g *game) selector() (sel delivery.Selector) {
	for sel == (delivery.Selector{}) {
		if n := len(g.ids); n > 0 && g.IntN(8) == 0 {
			sel.ID = g.ids[g.IntN(n)]
		}
		if g.IntN(4) == 0 {
			sel.Domain = g.domain()
		}
		if g.IntN(6) == 0 {
			sel.Tenant = g.tenant()
		}
		if g.IntN(4) == 0 {
			sel.Label = g.label()
		}
		if g.IntN(8) == 0 {
			sel.Site = g.site()
		}
	}
	return sel
}

func (g *game) command() {
	ctx, sel := context.Background(), g.selector()
	var err error
	switch g.IntN(12) {
	case 0, 1, 2:
		g.keepBack(sel)
	case 3, 4:
		for p := range g.pauses {
			sel = p
			break
		}
		g.forgetPause(sel)
		g.resume(sel)
	case 5:
		g.lead(sel, []string{"", g.domain(), "[192.0.2.3]", "smtp://192.0.2.2", "nowhere.example"}[g.IntN(5)])
	case 6:
		err = g.sender.SetLimits(ctx, g.site(), shaping.Limits{Connections: g.IntN(4), MessageRate: shaping.Rate{N: 1 + g.IntN(60), Per: time.Minute}})
	case 7:
		_, err = g.sender.Flush(ctx, sel)
	case 8:
		_, err = g.sender.Hold(ctx, sel)
	case 9, 10:
		_, err = g.sender.Release(ctx, sel)
	case 11:
		sel.Label = g.label()
		sel.Domain = g.domain()
		_, err = g.sender.Withdraw(ctx, sel)
	}
	if err != nil && !errors.Is(err, delivery.ErrInFlight) && !errors.Is(err, queue.ErrNotFound) {
		g.t.Error(err)
	}
}

// keepBack pauses what sel matches. Those by site are left unwatched, as rerouting leads from site to site.
func (g *game) keepBack(sel delivery.Selector) {
	var until time.Time
	if g.IntN(2) == 0 {
		until = time.Now().Add(time.Duration(g.IntN(300)) * time.Minute)
	}
	g.forgetPause(sel)
	g.pause(sel, until)
	if sel.Site == "" {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.pauses[sel], g.since[sel] = until, time.Now()
	}
}

func (g *game) forgetPause(sel delivery.Selector) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.pauses, sel)
}
