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
	"slices"
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
	// Trusted are servers, written as in Servers, whose word on DNSSEC is passed on as Answer.Authentic: they validate, and
	// nobody can tamper with the path to them. Servers on loopback are always trusted. Defaults to none.
	Trusted []string
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
				a := answer(reply, name, uint16(t))
				a.Authentic = a.Authentic && c.trusts(server)
				return a, nil
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

// trusts reports whether to believe what a server says about DNSSEC.
func (c *Client) trusts(server string) bool {
	addr, err := netip.ParseAddrPort(server)
	return err == nil && addr.Addr().Unmap().IsLoopback() || slices.Contains(c.Trusted, server)
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
