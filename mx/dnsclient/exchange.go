package dnsclient

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/miekg/dns"
)

const (
	udpSize    = 1232 // octets of an answer by UDP: what passes every path unfragmented
	maxPackets = 64   // packets that are not the answer, before a server is given up
)

// errCase means that an answer has the right name in another case than it was asked for.
var errCase = errors.New("the question came back in another case")

// ask sends the question to one server, and again when its first answer says how it must be asked.
func (c *Client) ask(ctx context.Context, server, name string, t uint16) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(randomCase(name), t)
	query.SetEdns0(udpSize, false)
	query.AuthenticatedData = true // asks for the bit in the answer (RFC 6840, section 5.7)
	reply, err := c.exchange(ctx, "udp", server, query)
	if errors.Is(err, errCase) { // a forger's guess, or the server's habit: by TCP it can't be a guess
		if reply, err = c.exchange(ctx, "tcp", server, query); err == nil {
			return reply, nil
		}
		query.Question[0].Name = name
		reply, err = c.exchange(ctx, "udp", server, query)
	}
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
	raw, err := dialer.DialContext(ctx, network, server) // by UDP, from a random port, and connected to the server's
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
			if network == "udp" && otherCase(reply, query) {
				return nil, errCase
			}
			return reply, nil
		case network == "tcp" && err != nil, reply == nil && !errors.Is(err, dns.ErrShortRead):
			return nil, cmp.Or(ctx.Err(), err)
		}
	}
	return nil, errors.New("too many packets that answer something else")
}

// answers reports whether reply is one to query. A server that understands no word may leave the question out.
func answers(reply, query *dns.Msg) bool {
	if !reply.Response || reply.Id != query.Id || len(reply.Question) > 1 {
		return false
	}
	if len(reply.Question) == 0 {
		return reply.Rcode == dns.RcodeFormatError || reply.Rcode == dns.RcodeNotImplemented
	}
	a, q := reply.Question[0], query.Question[0]
	return a.Qtype == q.Qtype && a.Qclass == q.Qclass && dns.CanonicalName(a.Name) == dns.CanonicalName(q.Name)
}

// otherCase reports whether a reply has the name in another case than query, unless that is in lower case throughout, as
// one sends it to a server that is known for this.
func otherCase(reply, query *dns.Msg) bool {
	name := query.Question[0].Name
	return len(reply.Question) > 0 && reply.Question[0].Name != name && dns.CanonicalName(name) != name
}

// randomCase makes each letter of a name a capital by chance: a forger has to guess them all.
func randomCase(name string) string {
	b := []byte(name)
	for i, c := range b {
		if 'a' <= c && c <= 'z' && rand.IntN(2) == 0 {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}
