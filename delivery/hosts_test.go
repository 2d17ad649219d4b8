package delivery

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/smtpclient"
)

func someHost(name string, n int) *mx.Host {
	addr := netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)})
	return &mx.Host{Name: name, Addrs: []netip.Addr{addr}, Port: 25}
}

func placeOf(h *mx.Host) place { return place{h.Name, netip.AddrPortFrom(h.Addrs[0], h.Port)} }

// hostsStart is any time; what is tested doesn't depend on it.
var hostsStart = time.Unix(1_000_000_000, 0)

func TestHostsKnownAreBounded(t *testing.T) {
	hs := newHosts()
	for i := range 3 * maxHostsKnown {
		hs.unreachable(someHost("mx", i), hostsStart)
		hs.refuses(placeOf(someHost("mx", 0)), []string{"CHUNKING"}, hostsStart) // one that is in use
	}
	if n := len(hs.known) + len(hs.older); n > maxHostsKnown {
		t.Errorf("%d hosts are remembered", n)
	}
	var o smtpclient.Options
	hs.advise(&o, someHost("mx", 0), hostsStart)
	if !slices.Equal(o.Ignore, []string{"CHUNKING"}) {
		t.Errorf("what is used was forgotten")
	}
	if hs.isDown(someHost("mx", 1), hostsStart) {
		t.Errorf("what isn't used was not forgotten")
	}
}

func TestHostsRemember(t *testing.T) {
	hs, h := newHosts(), someHost("mx", 1)
	advice := func(now time.Time) string {
		var o smtpclient.Options
		hs.advise(&o, h, now)
		return fmt.Sprint(o.Rung, o.Ignore)
	}
	hs.reached(placeOf(h), smtpclient.BestTLS, hostsStart)
	if len(hs.known) != 0 {
		t.Errorf("something is remembered of a host that is as it should be")
	}
	hs.reached(placeOf(h), smtpclient.OldTLS, hostsStart)
	hs.refuses(placeOf(h), []string{"CHUNKING", "DSN"}, hostsStart)
	hs.refuses(placeOf(h), []string{"CHUNKING"}, hostsStart)
	if got := advice(hostsStart.Add(23 * time.Hour)); got != "1 [CHUNKING DSN]" {
		t.Errorf("the advice is %s", got)
	}
	hs.reached(placeOf(h), smtpclient.OldTLS, hostsStart.Add(23*time.Hour)) // because of that advice
	if got := advice(hostsStart.Add(25 * time.Hour)); got != "0 []" {
		t.Errorf("a day later the advice is %s", got)
	}
	hs.reached(placeOf(h), smtpclient.Plaintext, hostsStart.Add(25*time.Hour))
	hs.refuses(placeOf(h), []string{"PIPELINING"}, hostsStart.Add(25*time.Hour))
	if got := advice(hostsStart.Add(26 * time.Hour)); got != "2 [PIPELINING]" {
		t.Errorf("then it is %s", got)
	}
}

func TestHostsDown(t *testing.T) {
	hs, a, b, c := newHosts(), someHost("a", 1), someHost("b", 2), someHost("c", 3)
	order := func(now time.Time) (names string) {
		for _, h := range hs.downLast([]mx.Host{*a, *b, *c}, now) {
			names += h.Name
		}
		return names
	}
	now := hostsStart
	want := func(after time.Duration, names string) {
		t.Helper()
		if got := order(now.Add(after)); got != names {
			t.Errorf("after %v the order is %s, want %s", after, got, names)
		}
	}
	want(0, "abc")
	hs.unreachable(a, now)
	hs.unreachable(a, now.Add(30*time.Second)) // for want of another
	want(59*time.Second, "bca")
	want(time.Minute, "abc")
	for wait := 2 * time.Minute; wait <= 64*time.Minute; wait *= 2 {
		now = now.Add(time.Hour)
		hs.unreachable(a, now)
		want(min(wait, 30*time.Minute)-time.Second, "bca")
		want(min(wait, 30*time.Minute), "abc")
	}
	hs.unreachable(b, now)
	want(time.Second, "cab")
	hs.reached(placeOf(a), smtpclient.BestTLS, now)
	want(time.Second, "acb")
}

func TestHostsBusy(t *testing.T) {
	hs, h := newHosts(), someHost("mx", 1)
	hs.reached(placeOf(h), 0, hostsStart)
	hs.reached(placeOf(h), 0, hostsStart)
	hs.left(placeOf(h))
	if !hs.busy(h) || hs.busy(someHost("mx", 2)) {
		t.Errorf("busy with one session: %v; elsewhere: %v", hs.busy(h), hs.busy(someHost("mx", 2)))
	}
	hs.left(placeOf(h))
	if hs.busy(h) || len(hs.open) != 0 {
		t.Errorf("busy without a session")
	}
}
