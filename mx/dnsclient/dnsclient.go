// Package dnsclient is an [mx.DNS] that speaks to name servers itself, and so knows what Go's net package doesn't tell: whether a
// name exists, how long an answer may be kept, and whether the server has validated it. It keeps no answers itself.
package dnsclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad/postroad/mx"
)

// Bounds of one lookup.
const (
	rounds     = 2    // how often every server is asked
	maxServers = 4    // how many of the servers are asked
	udpSize    = 1232 // octets of an answer by UDP: what passes every path unfragmented
	maxPackets = 64   // packets that are not the answer, before a server is given up
	maxChain   = 10   // CNAMEs from the name to its records
)

// Client asks resolving name servers, each in its turn, by UDP, and by TCP when an answer doesn't fit. It believes only answers
// from the address and port it asked, with the number and question it sent. The zero value is ready to use. Its fields must
// not change once it is in use.
type Client struct {
	// Servers are addresses with ports, such as 127.0.0.1:53; at most 4 are asked. Defaults to what /etc/resolv.conf says
	// at the time of each lookup.
	Servers []string
	// Timeout is how long to wait for one answer of one server. Defaults to 3 seconds.
	Timeout time.Duration
}

// Lookup asks for the records of one type. Servers that are silent, or that answer SERVFAIL or REFUSED and the like, are passed
// over until all were asked twice; if one of them did answer, that is the answer.
func (c *Client) Lookup(ctx context.Context, name string, t mx.Type) (mx.Answer, error) {
	servers, err := c.servers()
	if err != nil {
		return mx.Answer{}, err
	}
	name = dns.CanonicalName(name)
	var refused *mx.Answer
	for range rounds {
		for _, server := range servers {
			reply, failed := c.ask(ctx, server, name, uint16(t))
			switch {
			case ctx.Err() != nil:
				return mx.Answer{}, ctx.Err()
			case failed != nil:
				err = fmt.Errorf("dnsclient: %s: %w", server, failed)
			case reply.Rcode == dns.RcodeSuccess || reply.Rcode == dns.RcodeNameError:
				return answer(reply, name, uint16(t)), nil
			default:
				refused = &mx.Answer{Rcode: mx.Rcode(reply.Rcode)}
			}
		}
	}
	if refused != nil {
		return *refused, nil
	}
	return mx.Answer{}, err
}

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
	return servers[:min(len(servers), maxServers)], nil
}

// ask sends the question to one server, and again when its first answer says how it must be asked.
func (c *Client) ask(ctx context.Context, server, name string, t uint16) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(name, t)
	query.SetEdns0(udpSize, false)
	query.AuthenticatedData = true // asks for the bit in the answer (RFC 6840, section 5.7)
	reply, err := c.exchange(ctx, "udp", server, query)
	if err == nil && (reply.Rcode == dns.RcodeFormatError || reply.Rcode == dns.RcodeNotImplemented) {
		query.Extra = nil // a server from before EDNS (RFC 6891, section 7)
		reply, err = c.exchange(ctx, "udp", server, query)
	}
	if err == nil && reply.Truncated {
		reply, err = c.exchange(ctx, "tcp", server, query)
	}
	return reply, err
}

// exchange sends query and waits for its answer.
func (c *Client) exchange(ctx context.Context, network, server string, query *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Timeout, 3*time.Second))
	defer cancel()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	query.Id = dns.Id()
	conn := &dns.Conn{Conn: raw, UDPSize: udpSize}
	if err := conn.WriteMsg(query); err != nil {
		return nil, cmp.Or(ctx.Err(), err)
	}
	for range maxPackets {
		reply, err := conn.ReadMsg()
		switch {
		case reply != nil && answers(reply, query) && (err == nil || reply.Truncated):
			return reply, nil
		case network == "tcp" && err != nil, reply == nil && !errors.Is(err, dns.ErrShortRead):
			return nil, cmp.Or(ctx.Err(), err)
		}
	}
	return nil, errors.New("too many packets that answer something else")
}

// answers reports whether reply is one to query.
func answers(reply, query *dns.Msg) bool {
	if !reply.Response || reply.Id != query.Id || len(reply.Question) != 1 {
		return false
	}
	a, q := reply.Question[0], query.Question[0]
	return a.Qtype == q.Qtype && a.Qclass == q.Qclass && dns.CanonicalName(a.Name) == q.Name
}

// answer makes an Answer of a reply, following CNAMEs from name. Records that belong to other names are ignored.
func answer(reply *dns.Msg, name string, t uint16) mx.Answer {
	a := mx.Answer{Authentic: reply.AuthenticatedData, Rcode: mx.Rcode(reply.Rcode)}
	ttl := ^uint32(0)
	aliases := make(map[string]*dns.CNAME)
	for _, rr := range reply.Answer {
		if c, ok := rr.(*dns.CNAME); ok {
			aliases[dns.CanonicalName(c.Hdr.Name)] = c
		}
	}
	for range maxChain {
		c := aliases[name]
		if c == nil {
			break
		}
		name, ttl = dns.CanonicalName(c.Target), min(ttl, c.Hdr.Ttl)
	}
	for _, rr := range reply.Answer {
		h := rr.Header()
		if h.Rrtype != t || h.Class != dns.ClassINET || dns.CanonicalName(h.Name) != name {
			continue
		}
		if record, ok := record(rr); ok {
			a.Records, ttl = append(a.Records, record), min(ttl, h.Ttl)
		}
	}
	if len(a.Records) == 0 {
		ttl = min(ttl, negativeTTL(reply))
	}
	a.TTL = time.Duration(ttl) * time.Second
	return a
}

// record returns what a resource record says.
func record(rr dns.RR) (mx.Record, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		addr, ok := netip.AddrFromSlice(rr.A.To4())
		return mx.Record{Addr: addr}, ok
	case *dns.AAAA:
		addr, ok := netip.AddrFromSlice(rr.AAAA.To16())
		return mx.Record{Addr: addr}, ok
	case *dns.MX:
		host := dns.CanonicalName(rr.Mx)
		if host != "." {
			host = host[:len(host)-1]
		}
		return mx.Record{Preference: rr.Preference, Host: host}, true
	}
	return mx.Record{}, false
}

// negativeTTL is how long the lack of records may be kept (RFC 2308, section 5).
func negativeTTL(reply *dns.Msg) uint32 {
	for _, rr := range reply.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(soa.Hdr.Ttl, soa.Minttl)
		}
	}
	return 0
}
