// Package dnsclient is an [mx.DNS] that speaks to name servers itself, and so knows what Go's net package doesn't tell: whether a
// name exists, how long an answer may be kept, and whether the server has validated it.
//
// It is a stub: the servers are ones that resolve, such as those of /etc/resolv.conf. A mail server best has one of its own on
// loopback, which validates; see [Client.Trusted].
//
// # Promises
//
//   - A lookup ends within 30 seconds, and when its ctx ends. Lookups of the same name and type that are under way at the
//     same time are one, and none of them fails because another one's ctx ends.
//   - Answers are kept for their TTL, but not longer than 1 hour; that there is no such record, for what the SOA says, but not
//     longer than 5 minutes (RFC 2308). Failures are not kept, nor is NXDOMAIN for MX: a domain that is believed to be
//     missing only when it is found so twice, is looked for twice.
//   - What is kept has a bound in memory, [Client.CacheSize] and 100,000 answers; the least recently used goes first. One answer
//     of more than 64 KiB is not kept.
//   - An answer is believed if it comes from the address and port that was asked, to the random port that it was asked from, and
//     has the random number and the question that was sent, to the random case of each letter. A server that doesn't
//     preserve case is asked by TCP or, if it has none, in lower case.
package dnsclient

import (
	"context"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad/postroad/mx"
)

// Client asks resolving name servers, each in its turn, by UDP, and by TCP when an answer doesn't fit. The zero value is ready
// to use. Its fields must not change once it is in use, and it must not be copied.
type Client struct {
	// Servers are addresses with ports, such as 127.0.0.1:53; at most 4 are asked. Defaults to what /etc/resolv.conf says
	// at the time of each lookup. If some of them are trusted, only those are asked: to a name that they refuse for a bad
	// signature, another server's answer would do harm.
	Servers []string
	// Trusted are servers, written as in Servers, whose word on DNSSEC is passed on as Answer.Authentic: they validate, and
	// nobody can tamper with the path to them. Servers on loopback are always trusted. Defaults to none.
	Trusted []string
	// Timeout is how long to wait for one answer of one server. Defaults to 3 seconds.
	Timeout time.Duration
	// CacheSize bounds the memory for answers that are kept, in octets. Defaults to 8 MiB; if it is negative, none is kept.
	CacheSize int
	// Observe, if not nil, hears of each lookup when it ends. It is called by the goroutine that called Lookup, which waits
	// for it.
	Observe func(Lookup)

	cache   cache
	flights flights
	health  health
}

// Lookup is what [Client.Observe] hears.
type Lookup struct {
	Name   string // in lower case, without a dot at its end
	Type   mx.Type
	Server string // who answered; "" if the answer was kept, or none was had
	Took   time.Duration
	Cached bool     // the answer was kept from an earlier lookup
	Shared bool     // another lookup of the same was under way, and this one waited for its answer
	Rcode  mx.Rcode // of the answer, if Err is nil
	Err    error
}

// question is what answers are kept and shared by.
type question struct {
	name string // absolute and in lower case, as package dns has it
	t    uint16
}

// outcome is what a lookup came to.
type outcome struct {
	answer mx.Answer
	server string
	err    error
}

// Lookup asks for the records of one type. Servers that are silent, or that answer SERVFAIL or REFUSED and the like, are passed
// over until all were asked twice; if one of them did answer, that is the answer. A server that was silent is asked last for
// the next 30 seconds.
func (c *Client) Lookup(ctx context.Context, name string, t mx.Type) (mx.Answer, error) {
	start := time.Now()
	q := question{dns.CanonicalName(name), uint16(t)}
	seen := Lookup{Name: withoutDot(q.name), Type: t}
	var out outcome
	if out.answer, seen.Cached = c.cache.get(q, start); !seen.Cached {
		out, seen.Shared = c.flights.do(ctx, q, c.resolveAndKeep)
	}
	if c.Observe != nil {
		seen.Server, seen.Rcode, seen.Err, seen.Took = out.server, out.answer.Rcode, out.err, time.Since(start)
		c.Observe(seen)
	}
	return out.answer, out.err
}

func (c *Client) resolveAndKeep(ctx context.Context, q question) outcome {
	if _, ok := dns.IsDomainName(q.name); !ok {
		return outcome{err: fmt.Errorf("dnsclient: %.300q isn't a domain name", q.name)}
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	out := c.resolve(ctx, q)
	if out.err == nil {
		c.cache.put(q, out.answer, time.Now(), c.CacheSize)
	}
	return out
}
