package delivery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// However Senders come, go, and lose the queue, a site with a cap of 5 never sees a sixth connection, and all mail arrives,
// once but for what is being sent when the queue is lost.
func TestSharedCap(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 8))
				f := newFleet(t)
				f.config.Shaping.Default.Connections = 5
				f.config.Shaping.Default.Start = 5
				h := f.host("mx.a.example", slow(4*time.Second), "a.example")
				f.join()
				sent, cuts := 0, 0
				for range 60 {
					m := f.members[random.IntN(len(f.members))]
					switch random.IntN(6) {
					case 0:
						if len(f.members) < 4 {
							f.join()
						}
					case 1:
						f.leave(m)
					case 2:
						cuts++
						m.user.cut(true) // its leases and shares are others' within a minute
						f.settle(time.Duration(random.IntN(300)) * time.Second)
						m.user.cut(false)
					}
					n := random.IntN(120)
					f.send(f.members[0], "a.example", n)
					sent += n
					f.settle(time.Duration(random.IntN(180)) * time.Second)
				}
				f.settle(2 * time.Hour)
				if n := f.left(); n > 0 {
					t.Errorf("%d of %d messages are left", n, sent)
				}
				if h.most > 5 || h.most < 5 {
					t.Errorf("%d connections at once", h.most)
				}
				// What a member has claimed when it loses the queue it sends, and others don't hear of it.
				if got := len(h.Messages()); got < sent || got > sent+10*cuts {
					t.Errorf("%d messages have arrived, of %d, the queue was lost %d times", got, sent, cuts)
				}
			})
		})
	}
}

// What a site lets go in a minute is for all together, and so is what tenants have.
func TestSharedRates(t *testing.T) {
	rate := shaping.Rate{N: 60, Per: time.Minute}
	for name, c := range map[string]struct {
		policy shaping.Policy
		least  int // messages in a minute
	}{
		"site":   {shaping.Policy{Default: shaping.Limits{MessageRate: rate}}, 55},
		"tenant": {shaping.Policy{Tenants: map[string]shaping.Tenant{"shop": {Rate: rate}}}, 40},
		// Jobs that are claimed too early come back when the one who claimed them may send them. If it is always first to claim them again,
		// the parts of the others aren't used.
		"sender": {shaping.Policy{Senders: map[string]shaping.Rate{"sender@home.example": rate}}, 18},
		"source": {shaping.Policy{Sources: map[string]shaping.Rate{"": rate}}, 18},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.config.Shaping = c.policy
				h := f.host("mx.a.example", nil, "a.example")
				for range 3 {
					f.join()
				}
				f.settle(time.Minute)
				for range 2000 {
					f.post(f.members[0], delivery.Message{From: "sender@home.example", Tenant: "shop", To: delivery.To("ann@a.example")})
				}
				f.settle(time.Minute)
				for minute := range 10 {
					before := len(h.Messages())
					f.settle(time.Minute)
					if n := len(h.Messages()) - before; n > 62 || n < c.least { // each of the three has a burst of one
						t.Errorf("%d messages in minute %d", n, minute)
					}
				}
			})
		})
	}
}

// Where there is a connection for one process only, each has it in turn, and no site waits for long.
func TestSharedTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.config.Shaping.Default.Connections = 1
		h := f.host("mx.a.example", slow(time.Second), "a.example")
		for range 3 {
			f.join()
		}
		for range 120 {
			f.send(f.members[0], "a.example", 40)
			f.settle(time.Minute)
		}
		for i, m := range f.members {
			if n := m.dials.Load(); n < 10 {
				t.Errorf("sender %d has made %d connections", i, n)
			}
		}
		if h.most != 1 {
			t.Errorf("%d connections at once", h.most)
		}
		if n := f.left(); n > 200 {
			t.Errorf("%d messages are left of 4800", n)
		}
	})
}

func TestSharedManySites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.config.Shaping.Default.Connections = 1
		f.config.Concurrency = 10
		for i := range 100 {
			domain := fmt.Sprintf("d%02d.example", i)
			f.host("mx."+domain, slow(time.Second), domain)
		}
		for range 3 {
			f.join()
		}
		for i := range 100 {
			f.send(f.members[i%3], fmt.Sprintf("d%02d.example", i), 3)
		}
		f.settle(5 * time.Minute)
		if n := f.left(); n > 0 {
			t.Errorf("%d messages are left", n)
		}
		for _, h := range f.hosts {
			if h.most > 1 {
				t.Errorf("%d connections at %s", h.most, h.Host.Name)
			}
		}
	})
}

// A site that is new is asked for at once, and what nobody uses is free for others.
func TestSharedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		h := f.host("mx.a.example", nil, "a.example")
		first, second := f.join(), f.join()
		f.settle(time.Minute)
		f.send(first, "a.example", 1)
		f.settle(3 * time.Second)
		h.wantTaken(t, 1)
		first.user.cut(true)
		f.settle(time.Minute)
		f.send(second, "a.example", 1)
		f.settle(3 * time.Second)
		h.wantTaken(t, 2)
	})
}

// What one of them learns of a dead site the others know, and one of them tries it.
func TestSharedDeadSite(t *testing.T) {
	tries := func(t *testing.T, senders int) (dials int64) {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t)
			f.routes["a.example"] = append(f.routes["a.example"], f.host("mx.b.example", nil).Host)
			f.routes["a.example"][0].Addrs[0] = loopback(9) // nobody is there
			for range senders {
				f.join()
			}
			for range 24 {
				f.send(f.members[0], "a.example", 20)
				f.settle(time.Hour)
			}
			for _, m := range f.members {
				dials += m.dials.Load()
			}
		})
		return dials
	}
	alone, together := tries(t, 1), tries(t, 3)
	if together > alone*5/4 {
		t.Errorf("three senders dialled %d times, one alone %d times", together, alone)
	}
}

// A pause that a reply asks for holds for all.
func TestSharedPauseByReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		reply := func(c smtptest.Command) string {
			if c.Verb == "MAIL" {
				return "450 4.7.0 slow down"
			}
			return ""
		}
		f.config.Shaping.Rules = []shaping.Rule{{Name: "slow", Text: regexp.MustCompile("slow down"), Action: shaping.Pause, For: time.Hour}}
		h := f.host("mx.a.example", reply, "a.example")
		for range 3 {
			f.join()
		}
		f.settle(time.Minute)
		f.send(f.members[0], "a.example", 1)
		f.settle(20 * time.Second)
		before, _, _ := h.Connections()
		f.send(f.members[1], "a.example", 30)
		f.settle(30 * time.Minute)
		h.wantConnections(t, before)
		for i, m := range f.members {
			if m.site(t, "mx.a.example").PausedUntil.IsZero() {
				t.Errorf("sender %d doesn't know of the pause", i)
			}
		}
		if _, err := f.members[2].Flush(context.Background(), delivery.Selector{Site: "mx.a.example"}); err != nil {
			t.Fatal(err)
		}
		f.settle(20 * time.Second)
		after, _, _ := h.Connections()
		if after == before {
			t.Error("nobody has tried again")
		}
	})
}

// Rules and limits that one process sets hold for the others within a beat.
func TestSharedRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		h := f.host("mx.a.example", slow(time.Second), "a.example")
		first, second := f.join(), f.join()
		f.settle(time.Minute)
		sel := delivery.Selector{Domain: "a.example"}
		if err := first.Pause(t.Context(), sel, time.Time{}, ""); err != nil {
			t.Fatal(err)
		}
		f.settle(20 * time.Second)
		f.send(second, "a.example", 40)
		f.settle(time.Hour)
		h.wantTaken(t, 0)
		if err := second.SetLimits(t.Context(), "mx.a.example", shaping.Limits{Connections: 3}); err != nil {
			t.Fatal(err)
		}
		if err := second.Resume(t.Context(), sel); err != nil {
			t.Fatal(err)
		}
		f.settle(20 * time.Second)
		if l := first.site(t, "mx.a.example").Limits; l.Connections != 3 {
			t.Errorf("the other sender allows %d connections", l.Connections)
		}
		if st, err := first.Stats(t.Context()); err != nil || st.Holders != 2 {
			t.Errorf("%d holders, %v", st.Holders, err)
		}
		f.settle(time.Minute)
		h.wantTaken(t, 40)
	})
}
