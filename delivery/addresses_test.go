package delivery_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/smtpclient/smtptest"
)

var elsewhere = netip.MustParseAddr("2001:db8::1")

// An address that leads nowhere costs the host's other addresses no attempt.
func TestDeadAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil)
		h.Addrs = append([]netip.Addr{elsewhere}, h.Addrs...)
		w.reroute("a.example", h)
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		h.wantTaken(t, 1)
	})
}

// A host that turns us away at one address may take the message at that of the other family.
func TestTurnedAwayAtOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		six := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "CONNECT" {
				return "554 5.7.25 no PTR record"
			}
			return ""
		})
		w.hosts[netip.AddrPortFrom(elsewhere, 25).String()] = six
		h := w.host("mx.a.example", nil)
		h.Addrs = append([]netip.Addr{elsewhere}, h.Addrs...)
		w.reroute("a.example", h)
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		h.wantTaken(t, 1)
		six.wantTaken(t, 0)
	})
}
