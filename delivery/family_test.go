package delivery_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A host that refuses us for our address is asked once more by its addresses of the other family, where we have another name,
// and nothing else is.
func TestOtherFamily(t *testing.T) {
	says := func(verb, reply string) func(smtptest.Command) string {
		return func(c smtptest.Command) string {
			if c.Verb == verb {
				return reply
			}
			return ""
		}
	}
	const (
		permanent = "550 5.7.25 no PTR record"
		temporary = "450 4.7.25 no PTR record"
		google    = "550 5.7.1 [2001:db8::1] does not meet IPv6 sending guidelines regarding PTR records"
	)
	for _, c := range []struct {
		name      string
		six, four func(smtptest.Command) string
		attempts  []string
		asked     int // by IPv4
	}{
		{name: "at MAIL", six: says("MAIL", permanent), attempts: []string{"ann@a.example delivered mx.a.example 250"}, asked: 1},
		{name: "at RCPT", six: says("RCPT", permanent), attempts: []string{"ann@a.example delivered mx.a.example 250"}, asked: 1},
		{name: "for now", six: says("RCPT", temporary), attempts: []string{"ann@a.example delivered mx.a.example 250"}, asked: 1},
		{name: "after the data", six: says(".", google), attempts: []string{"ann@a.example delivered mx.a.example 250"}, asked: 1},
		{name: "in the greeting", six: says("CONNECT", permanent), attempts: []string{"ann@a.example delivered mx.a.example 250"}, asked: 1},
		{name: "both", six: says("MAIL", permanent), four: says("RCPT", permanent), attempts: []string{"ann@a.example failed mx.a.example 550"}, asked: 1},
		{name: "the other is down", six: says("MAIL", permanent), four: says("CONNECT", smtptest.Close), attempts: []string{"ann@a.example failed mx.a.example 550"}, asked: 1},
		{name: "for something else", six: says("RCPT", "550 5.1.1 unknown"), attempts: []string{"ann@a.example failed mx.a.example 550"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.config.Sources = []delivery.Source{{Hostname: "four.example", Hostname6: "six.example"}}
				h := w.host("mx.a.example", c.six)
				four := w.host("mx.a.example", c.four)
				six := netip.MustParseAddr("2001:db8::1")
				w.hosts["[2001:db8::1]:25"] = h
				h.Addrs = []netip.Addr{six, four.Addrs[0]}
				w.reroute("a.example", h)
				w.start()
				w.send(delivery.Message{To: delivery.To("ann@a.example")})
				w.settle(20 * time.Second)
				w.wantAttempts(c.attempts...)
				total, _, _ := four.Connections()
				if total != c.asked {
					t.Errorf("%d connections by IPv4, want %d", total, c.asked)
				}
				if m := four.Messages(); len(m) > 0 && m[0].Helo != "four.example" {
					t.Errorf("the name said by IPv4 is %s", m[0].Helo)
				}
				if total, _, _ := h.Connections(); total != 1 {
					t.Errorf("%d connections by IPv6", total)
				}
			})
		})
	}
}

// Each family says its own name.
func TestNameOfFamily(t *testing.T) {
	for address, want := range map[string]string{"2001:db8::1": "six.example", "192.0.2.1": "four.example"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.config.Sources = []delivery.Source{{Hostname: "four.example", Hostname6: "six.example"}}
			h := w.host("mx.a.example", nil)
			w.hosts["[2001:db8::1]:25"] = h
			h.Addrs = []netip.Addr{netip.MustParseAddr(address)}
			w.reroute("a.example", h)
			w.start()
			w.enqueue("ann@a.example")
			w.settle(time.Second)
			if m := h.wantTaken(t, 1)[0]; m.Helo != want {
				t.Errorf("%s: %s, want %s", address, m.Helo, want)
			}
		})
	}
}

// Where there is no other family, a refusal for the address is one like any other; those whom the host takes keep it.
func TestOnlyFamily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" && c.Address == "ben@a.example" {
				return "550 5.7.25 no PTR record"
			}
			return ""
		})
		h.Addrs = append(slices.Clone(h.Addrs), netip.MustParseAddr("192.0.2.99"))
		w.reroute("a.example", h)
		w.start()
		w.send(delivery.Message{To: delivery.To("ann@a.example", "ben@a.example")})
		w.settle(time.Minute)
		w.wantAttempts("ann@a.example delivered mx.a.example 250", "ben@a.example failed mx.a.example 550")
		h.wantTaken(t, 1)
	})
}
