package delivery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// The relay's address, for routes that no Router is asked about.
const relayLiteral = "[192.0.2.2]"

// rerouting is a world with a.example's own host, and another one under a name of its own, as a literal and as a relay.
func rerouting(t *testing.T) (w *world, own, other *host) {
	w = newWorld(t)
	own = w.host("mx.a.example", nil, "a.example")
	other = w.host("mx.b.example", nil, "b.example", relayLiteral)
	w.hosts["192.0.2.2:2525"] = other
	return w, own, other
}

// What each rule matches goes where it says, whatever it says and whenever it came, over a restart, until it is lifted.
func TestReroute(t *testing.T) {
	for name := range each("") {
		for _, via := range []string{"B.example", relayLiteral, "smtp://192.0.2.2:2525"} {
			t.Run(name+" "+via, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, own, other := rerouting(t)
					w.start()
					w.stop()
					first := w.letter("ann@a.example", "shop", "news")
					sel := each(first)[name]
					w.lead(sel, via)
					w.start()
					w.settle(time.Minute)
					w.life()
					w.letter("ben@a.example", "shop", "news")
					w.letter("cat@b.example", "forum")
					w.settle(time.Minute)
					n := 3
					if sel.ID != "" {
						n--
					}
					own.wantTaken(t, 3-n)
					other.wantTaken(t, n)
					w.lead(sel, "")
					w.wantRules()
					w.letter("dan@a.example", "shop", "news")
					w.settle(time.Minute)
					own.wantTaken(t, 4-n)
					w.untroubled(t)
				})
			})
		}
	}
}

// Of several rules the most particular counts, and a job's own Via goes before all.
func TestReroutePrecedence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", nil, "a.example")
		hosts := make(map[string]*host)
		for _, to := range []string{"all", "site", "tenant", "tenant and site", "domain", "label", "id", "via"} {
			domain := strings.ReplaceAll(to, " ", "-") + ".example"
			hosts[to] = w.host("mx."+domain, nil, domain)
		}
		w.start()
		w.stop()
		id := w.letter("ann@a.example", "shop", "news")
		w.start()
		w.settle(time.Second)
		n := 0
		next := func(to string) {
			t.Helper()
			n++
			w.letter("ben@a.example", "shop", "news")
			w.settle(time.Second)
			if to != "" {
				hosts[to].wantTaken(t, 1)
			}
		}
		for _, rule := range []struct {
			to  string
			sel delivery.Selector
		}{
			{"all", delivery.Selector{}},
			{"site", delivery.Selector{Site: "mx.a.example"}},
			{"tenant", delivery.Selector{Tenant: "shop"}},
			{"tenant and site", delivery.Selector{Tenant: "shop", Site: "mx.a.example"}},
			{"domain", delivery.Selector{Domain: "a.example"}},
			{"label", delivery.Selector{Label: "news"}},
		} {
			w.lead(rule.sel, strings.ReplaceAll(rule.to, " ", "-")+".example")
			next(rule.to)
		}
		w.wantStates(id, "ann@a.example delivered")
		w.stop()
		id = w.letter("eve@a.example", "shop", "news")
		w.lead(delivery.Selector{ID: id}, "id.example")
		w.start()
		w.settle(time.Second)
		hosts["id"].wantTaken(t, 1)
	})
}

// A way that doesn't exist delays mail and says so, and bounces nothing.
func TestRerouteNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, other := rerouting(t)
		w.start()
		w.lead(delivery.Selector{Domain: "a.example"}, "typo.example")
		id := w.enqueue("ann@a.example")
		w.settle(10 * time.Hour)
		w.wantPending(id)
		if len(observed[delivery.Trouble](w)) == 0 {
			t.Error("nobody was told")
		}
		w.lead(delivery.Selector{Domain: "a.example"}, "b.example")
		w.want(1)(w.sender.Flush(context.Background(), delivery.Selector{Domain: "a.example"}))
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example delivered")
		other.wantTaken(t, 1)
	})
}

// Mail of a domain whose own hosts are dead goes at once when it is rerouted, and isn't kept back by them later.
func TestRerouteFromDeadSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, own, other := rerouting(t)
		own.Close()
		w.start()
		for range 30 {
			w.enqueue("ann@a.example")
		}
		w.settle(20 * time.Hour)
		w.lead(delivery.Selector{Domain: "a.example"}, "b.example")
		for range 100 {
			w.enqueue("ben@a.example")
		}
		w.settle(5 * time.Second)
		if n := len(other.Messages()); n < 100 {
			t.Errorf("%d messages have gone", n)
		}
	})
}

// The limits of the site that mail is rerouted to hold for it, and so do pauses of that site.
func TestRerouteObeysSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, own, other := rerouting(t)
		w.config.Shaping.Sites = map[string]shaping.Limits{
			"mx.b.example": {Connections: 2, MessageRate: shaping.Rate{N: 1, Per: time.Second}},
		}
		w.start()
		w.lead(delivery.Selector{Tenant: "shop"}, "b.example")
		for i := range 300 {
			w.letter(fmt.Sprintf("u%d@a.example", i), "shop")
		}
		w.settle(50 * time.Second)
		if n := len(other.Messages()); n < 50 || n > 52 {
			t.Errorf("%d messages went in 50 seconds, of which 51 may", n)
		}
		if other.most > 2 {
			t.Errorf("%d connections at once, of 2", other.most)
		}
		w.pause(delivery.Selector{Site: "mx.b.example"}, time.Time{})
		w.settle(time.Second)
		before := len(other.Messages())
		w.settle(3 * time.Hour)
		other.wantTaken(t, before)
		w.letter("eve@a.example", "forum")
		w.settle(time.Minute)
		own.wantTaken(t, 1)
		w.resume(delivery.Selector{Site: "mx.b.example"})
		w.settle(10 * time.Minute)
		other.wantTaken(t, 300)
	})
}

// No password comes out again: not in the list of rules, not in an error, an event or a report.
func TestRerouteKeepsSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const secret = "hunter2"
		w, _, _ := rerouting(t)
		w.config.Lifetime = time.Hour
		home := w.host("mx.home.example", nil, "home.example")
		w.start()
		ctx := context.Background()
		var said []any
		for _, via := range []string{
			"smtp://shop:" + secret + "@", "smtps://shop:" + secret + "@relay.example/path", "shop:" + secret + "@relay.example",
			"ftp://shop:" + secret + "@relay.example", "smtp://shop:" + secret + "@relay.example:99999", "smtp://shop:" + secret + "%zz@x",
			"smtp://shop:" + secret + "@" + strings.Repeat("x", 5000) + ".example", secret + " " + secret, secret + "\xff",
		} {
			err := w.sender.Reroute(ctx, delivery.Selector{Domain: "a.example"}, via)
			if err == nil {
				t.Errorf("%q is a way", via)
			}
			said = append(said, err)
		}
		w.lead(delivery.Selector{Domain: "a.example"}, "smtp://shop:"+secret+"@192.0.2.9:25") // where nobody is
		w.enqueue("ann@a.example")
		w.settle(2 * time.Hour)
		rules, err := w.sender.Rules(ctx)
		list, _ := json.Marshal(rules)
		said = append(said, rules, err, string(list), string(home.wantTaken(t, 1)[0].Data))
		for _, e := range observed[delivery.Event](w) {
			said = append(said, e)
		}
		for _, v := range said {
			if text := fmt.Sprintf("%v %+v", v, v); strings.Contains(text, secret) {
				t.Errorf("the password is in %s", text)
			}
		}
	})
}

// A job that was claimed before the rule came goes by it.
func TestRerouteOfClaimedJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, own, other := rerouting(t)
		own.Reply = func(c smtptest.Command) string {
			if c.Verb == "RCPT" {
				time.Sleep(time.Second)
			}
			return ""
		}
		w.config.Shaping.Default.Connections = 1
		w.start()
		var ids []queue.ID
		for range 10 {
			ids = append(ids, w.letter("ann@a.example", "", "news"))
		}
		w.settle(2500 * time.Millisecond)
		w.lead(delivery.Selector{Label: "news"}, "b.example")
		w.settle(time.Minute)
		own.wantTaken(t, 3)
		other.wantTaken(t, 7)
		for _, id := range ids {
			w.wantStates(id, "ann@a.example delivered")
		}
	})
}
