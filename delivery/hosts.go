package delivery

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/smtpclient"
)

const (
	// maxHostsKnown bounds what is remembered of hosts.
	maxHostsKnown = 10_000
	// hostMemory is how long it is remembered what a host's TLS and extensions are good for: much longer, and a host that
	// was mended would never be found out.
	hostMemory = 24 * time.Hour
	// A host that can't be connected to is tried after the others for the first of these, doubled each time up to the
	// second.
	minDown, maxDown = time.Minute, 30 * time.Minute
)

// hosts is what was learned about single hosts, as opposed to sites. It is in memory: to learn it again costs little.
type hosts struct {
	mu sync.Mutex // guards what follows
	// known has what was learned or asked for lately. When it is full it becomes older, and what was older, and wasn't
	// asked for since, is forgotten.
	known, older map[place]*host
	open         map[place]int // sessions of ours that there are
	down         time.Time     // no host is down from then on
}

// place is one address of a host.
type place struct {
	name string
	addr netip.AddrPort
}

// host is what is known about a place.
type host struct {
	rung         smtpclient.Rung // how far down the ladder of TLS it was met
	rungUntil    time.Time
	tlsFails     time.Time // since when TLS handshakes have failed; zero if the last one hasn't
	tlsFailUntil time.Time
	refused      []string // extensions
	refusedUntil time.Time
	down         time.Duration // how long it was taken for down, when that was found last
	downUntil    time.Time
}

func newHosts() *hosts {
	return &hosts{known: make(map[place]*host), older: make(map[place]*host), open: make(map[place]int)}
}

// places calls f for each address of h.
func places(h *mx.Host, f func(place)) {
	for _, a := range h.Addrs {
		f(place{h.Name, netip.AddrPortFrom(a, h.Port)})
	}
}

// look returns what is known of p, nil if that is nothing.
func (hs *hosts) look(p place) *host {
	h := hs.known[p]
	if h == nil {
		if h = hs.older[p]; h != nil {
			hs.keep(p, h)
		}
	}
	return h
}

// learn returns what is known of p, to be added to.
func (hs *hosts) learn(p place) *host {
	h := hs.look(p)
	if h == nil {
		h = &host{}
		hs.keep(p, h)
	}
	return h
}

func (hs *hosts) keep(p place, h *host) {
	if len(hs.known) >= maxHostsKnown/2 {
		hs.known, hs.older = make(map[place]*host), hs.known
	}
	hs.known[p] = h
}

// advise adds to o what is known about dialling a host.
func (hs *hosts) advise(o *smtpclient.Options, h *mx.Host, now time.Time) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	places(h, func(p place) {
		k := hs.look(p)
		if k == nil {
			return
		}
		if now.Before(k.rungUntil) {
			o.Rung = max(o.Rung, k.rung)
		}
		if now.Before(k.refusedUntil) {
			o.Ignore = append(o.Ignore, k.refused...)
		}
	})
}

// reached notes that there is a session with a host, and how its TLS was met.
func (hs *hosts) reached(p place, rung smtpclient.Rung, now time.Time) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.open[p]++
	k := hs.look(p)
	if k == nil && rung == smtpclient.BestTLS {
		return
	}
	k = hs.learn(p)
	k.down, k.downUntil = 0, time.Time{}
	if rung < smtpclient.Plaintext {
		k.tlsFails = time.Time{}
	}
	if rung > k.rung || !now.Before(k.rungUntil) { // else it was met there because of what is known
		k.rung, k.rungUntil = rung, now.Add(hostMemory)
	}
}

// failsTLS notes that a handshake with a host has failed.
func (hs *hosts) failsTLS(p place, now time.Time) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	k := hs.learn(p)
	if k.tlsFails.IsZero() || !now.Before(k.tlsFailUntil) {
		k.tlsFails = now
	}
	k.tlsFailUntil = now.Add(hostMemory)
}

// tlsFails returns since when handshakes with a host fail; zero if they don't.
func (hs *hosts) tlsFails(h *mx.Host, now time.Time) (since time.Time) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	places(h, func(p place) {
		k := hs.look(p)
		if k != nil && !k.tlsFails.IsZero() && now.Before(k.tlsFailUntil) && (since.IsZero() || k.tlsFails.Before(since)) {
			since = k.tlsFails
		}
	})
	return since
}

// left notes that a session is over.
func (hs *hosts) left(p place) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.open[p]--; hs.open[p] <= 0 {
		delete(hs.open, p)
	}
}

// refuses notes extensions that a host has offered and refused.
func (hs *hosts) refuses(p place, extensions []string, now time.Time) {
	if len(extensions) == 0 {
		return
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	k := hs.learn(p)
	if !now.Before(k.refusedUntil) {
		k.refused = nil
	}
	k.refusedUntil = now.Add(hostMemory)
	for _, e := range extensions {
		if !slices.Contains(k.refused, e) {
			k.refused = append(k.refused, e)
		}
	}
}

// unreachable notes that no address of a host could be connected to.
func (hs *hosts) unreachable(h *mx.Host, now time.Time) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	places(h, func(p place) {
		k := hs.learn(p)
		if now.Before(k.downUntil) {
			return // it was tried for want of another
		}
		k.down = min(max(2*k.down, minDown), maxDown)
		k.downUntil = now.Add(k.down)
		if hs.down.Before(k.downUntil) {
			hs.down = k.downUntil
		}
	})
}

// busy reports whether there is a session of ours with a host.
func (hs *hosts) busy(h *mx.Host) (busy bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	places(h, func(p place) { busy = busy || hs.open[p] > 0 })
	return busy
}

// downLast returns hosts with those behind the others that are down. It leaves its argument as it is.
func (hs *hosts) downLast(list []mx.Host, now time.Time) []mx.Host {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if len(list) < 2 || !now.Before(hs.down) {
		return list
	}
	var up, down []mx.Host
	for i := range list {
		if hs.isDown(&list[i], now) {
			down = append(down, list[i])
		} else {
			up = append(up, list[i])
		}
	}
	return append(up, down...)
}

// isDown reports whether no address of a host could be connected to lately.
func (hs *hosts) isDown(h *mx.Host, now time.Time) bool {
	down := len(h.Addrs) > 0
	places(h, func(p place) {
		k := hs.look(p)
		down = down && k != nil && now.Before(k.downUntil)
	})
	return down
}
