package dnsclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad/postroad/mx"
)

// Bounds of one lookup.
const (
	lookupLimit = 30 * time.Second
	rounds      = 2  // how often every server is asked
	maxServers  = 4  // how many of the servers are asked
	maxChain    = 10 // CNAMEs of one reply, and replies with CNAMEs that lead on
)

// resolve asks for q, and for the names that CNAMEs lead to when a server leaves that to us.
func (c *Client) resolve(ctx context.Context, q question) outcome {
	servers, err := c.servers()
	if err != nil {
		return outcome{err: err}
	}
	so := mx.Answer{Authentic: true, TTL: maxTTL}
	name := q.name
	for range maxChain {
		reply, server, err := c.query(ctx, servers, name, q.t)
		if err != nil {
			return outcome{err: err}
		}
		a, more := answer(reply, name, q.t)
		a.Authentic = a.Authentic && so.Authentic && c.trusts(server)
		a.Canonical = cmp.Or(a.Canonical, so.Canonical)
		a.TTL = min(a.TTL, so.TTL)
		if !more {
			return outcome{answer: a, server: server}
		}
		so, name = a, dns.Fqdn(a.Canonical)
	}
	return outcome{answer: mx.Answer{Rcode: mx.ServFail}}
}

// query asks the servers in turn. The reply of one that failed is returned if no other did better.
func (c *Client) query(ctx context.Context, servers []string, name string, t uint16) (*dns.Msg, string, error) {
	var failure *dns.Msg
	var failed string
	var silence error
	for _, server := range slices.Repeat(c.health.order(servers, time.Now()), rounds) {
		reply, err := c.ask(ctx, server, name, t)
		if ctx.Err() != nil {
			silence = cmp.Or(silence, ctx.Err())
			break
		}
		c.health.note(server, err == nil, time.Now())
		switch {
		case err != nil:
			silence = fmt.Errorf("dnsclient: %s: %w", server, err)
		case knows(reply, name, t):
			return reply, server, nil
		default:
			failure, failed = reply, server
		}
	}
	if failure != nil {
		return failure, failed, nil
	}
	return nil, "", silence
}

// knows reports whether a reply says something about the name. One without an error code that only refers to other servers
// (RFC 2308, section 2.2), has lost all its records, or has none but others, is made a failure: lack of records has a meaning.
func knows(reply *dns.Msg, name string, t uint16) bool {
	if reply.Rcode != dns.RcodeSuccess {
		return reply.Rcode == dns.RcodeNameError
	}
	about := func(rr dns.RR) bool {
		h := rr.Header()
		return dns.CanonicalName(h.Name) == name && h.Class == dns.ClassINET && (h.Rrtype == t || h.Rrtype == dns.TypeCNAME)
	}
	none := len(reply.Answer) == 0
	switch {
	case none && (reply.Truncated || hasType(reply.Ns, dns.TypeNS) && !hasType(reply.Ns, dns.TypeSOA)),
		!none && !slices.ContainsFunc(reply.Answer, about):
		reply.Rcode, reply.Answer = dns.RcodeServerFailure, nil
		return false
	}
	return true
}

func hasType(section []dns.RR, t uint16) bool {
	return slices.ContainsFunc(section, func(rr dns.RR) bool { return rr.Header().Rrtype == t })
}

// servers returns those to ask.
func (c *Client) servers() ([]string, error) {
	servers := c.Servers
	if len(servers) == 0 {
		config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil {
			return nil, fmt.Errorf("dnsclient: %w", err)
		}
		for _, s := range config.Servers {
			servers = append(servers, net.JoinHostPort(s, config.Port))
		}
	}
	if len(servers) == 0 {
		return nil, errors.New("dnsclient: no name servers are configured")
	}
	if slices.ContainsFunc(servers, c.trusts) {
		servers = slices.DeleteFunc(slices.Clone(servers), func(s string) bool { return !c.trusts(s) })
	}
	return servers[:min(len(servers), maxServers)], nil
}

// trusts reports whether to believe what a server says about DNSSEC.
func (c *Client) trusts(server string) bool {
	addr, err := netip.ParseAddrPort(server)
	return err == nil && addr.Addr().Unmap().IsLoopback() || slices.Contains(c.Trusted, server)
}

// shunTime is how long a server that was silent is asked last.
const shunTime = 30 * time.Second

// health knows which servers were silent lately. There are as many as are configured.
type health struct {
	mu     sync.Mutex
	silent map[string]time.Time // when they last were
}

// order returns servers with the silent ones last.
func (h *health) order(servers []string, now time.Time) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	shunned := func(server string) int {
		if at, ok := h.silent[server]; ok && now.Sub(at) < shunTime {
			return 1
		}
		return 0
	}
	servers = slices.Clone(servers)
	slices.SortStableFunc(servers, func(a, b string) int { return shunned(a) - shunned(b) })
	return servers
}

func (h *health) note(server string, answered bool, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if answered {
		delete(h.silent, server)
		return
	}
	if h.silent == nil {
		h.silent = make(map[string]time.Time)
	}
	h.silent[server] = now
}
