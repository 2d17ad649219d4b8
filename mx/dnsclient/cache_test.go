package dnsclient

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad/postroad/mx"
)

func TestKeep(t *testing.T) {
	record := []mx.Record{{Host: "a.example"}}
	tests := []struct {
		name string
		t    mx.Type
		a    mx.Answer
		want time.Duration
	}{
		{"records", mx.TypeMX, mx.Answer{Records: record, TTL: time.Minute}, time.Minute},
		{"records, long", mx.TypeMX, mx.Answer{Records: record, TTL: 48 * time.Hour}, time.Hour},
		{"records, not at all", mx.TypeMX, mx.Answer{Records: record}, 0},
		{"no data", mx.TypeMX, mx.Answer{TTL: time.Minute}, time.Minute},
		{"no data, long", mx.TypeMX, mx.Answer{TTL: time.Hour}, 5 * time.Minute},
		{"no data, no SOA", mx.TypeMX, mx.Answer{}, 0},
		{"no name", mx.TypeTLSA, mx.Answer{TTL: time.Hour, Rcode: mx.NXDomain}, 5 * time.Minute},
		{"no domain", mx.TypeMX, mx.Answer{TTL: time.Hour, Rcode: mx.NXDomain}, 0},
		{"failure", mx.TypeA, mx.Answer{TTL: time.Hour, Rcode: mx.ServFail}, 0},
	}
	for _, tt := range tests {
		if got := keep(question{"x.example.", uint16(tt.t)}, tt.a); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestCacheEndsWithTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c cache
		q := question{"x.example.", dns.TypeMX}
		c.put(q, mx.Answer{Records: []mx.Record{{Host: "a.example"}}, TTL: time.Minute}, time.Now(), 0)
		time.Sleep(20 * time.Second)
		if a, ok := c.get(q, time.Now()); !ok || a.TTL != 40*time.Second || len(a.Records) != 1 {
			t.Errorf("after 20 s: %+v, %v", a, ok)
		}
		if _, ok := c.get(question{"x.example.", dns.TypeA}, time.Now()); ok {
			t.Error("an answer of another type is there")
		}
		time.Sleep(40 * time.Second)
		if a, ok := c.get(q, time.Now()); ok {
			t.Errorf("after a minute: %+v", a)
		}
		if c.octets != 0 || len(c.entries) != 0 || c.recent.Len() != 0 {
			t.Errorf("%d octets, %d entries left", c.octets, len(c.entries))
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	var c cache
	now := time.Now()
	const size = 100 << 10
	name := func(i int) question { return question{fmt.Sprintf("%d.example.", i), dns.TypeTXT} }
	first := name(0)
	for i := range 10_000 {
		c.put(name(i), mx.Answer{Records: []mx.Record{{Text: strings.Repeat("x", i%500)}}, TTL: time.Minute}, now, size)
		c.get(first, now) // what is in use stays
	}
	if _, ok := c.get(first, now); !ok {
		t.Error("what was used all the time is gone")
	}
	if _, ok := c.get(name(1), now); ok {
		t.Error("what nobody used is still there")
	}
	n := len(c.entries)
	if c.octets > size || c.octets < size*9/10 || c.recent.Len() != n || n < 20 || n > 1000 {
		t.Errorf("%d octets, %d and %d entries", c.octets, n, c.recent.Len())
	}
	big := mx.Answer{Records: slices.Repeat([]mx.Record{{Host: "a.example"}}, 10_000), TTL: time.Minute}
	c.put(question{"big.example.", dns.TypeMX}, big, now, size)
	if got := len(c.entries); got != n {
		t.Errorf("an answer of 10,000 records left %d entries of %d", got, n)
	}
	big.Records = big.Records[:1000:1000]
	c.put(question{"big.example.", dns.TypeMX}, big, now, 1<<40)
	if got := len(c.entries); got != n {
		t.Errorf("an answer of 1,000 records made %d entries of %d", got, n)
	}
	for i := range maxAnswers + 10 {
		c.put(name(i), mx.Answer{TTL: time.Minute}, now, 1<<40)
	}
	if len(c.entries) > maxAnswers {
		t.Errorf("%d entries", len(c.entries))
	}
}

// An answer put again takes the place of the one before.
func TestCacheReplaces(t *testing.T) {
	var c cache
	q, now := question{"x.example.", dns.TypeTXT}, time.Now()
	for _, text := range []string{strings.Repeat("x", 1000), "y"} {
		c.put(q, mx.Answer{Records: []mx.Record{{Text: text}}, TTL: time.Minute}, now, 0)
	}
	a, ok := c.get(q, now)
	if !ok || a.Records[0].Text != "y" || c.octets > 1000 || c.recent.Len() != 1 {
		t.Errorf("%+v, %v, %d octets, %d entries", a, ok, c.octets, c.recent.Len())
	}
}

// counting counts the queries that respond gets.
func counting(n *atomic.Int32, respond func(*dns.Msg) []*dns.Msg) func(*dns.Msg) []*dns.Msg {
	return func(query *dns.Msg) []*dns.Msg {
		n.Add(1)
		return respond(query)
	}
}

// Each lookup is made as often as it has to be, and Observe hears of it.
func TestLookupTwice(t *testing.T) {
	negative := func(rcode int) func(*dns.Msg) []*dns.Msg {
		return func(query *dns.Msg) []*dns.Msg {
			reply := new(dns.Msg).SetRcode(query, rcode)
			reply.Ns = []dns.RR{rr(t, "example. 600 SOA ns.example. h.example. 1 2 3 4 120")}
			return []*dns.Msg{reply}
		}
	}
	tests := []struct {
		name    string
		t       mx.Type
		respond func(*dns.Msg) []*dns.Msg
		size    int
		kept    bool
	}{
		{"records", mx.TypeA, replying(t, "x.example. 300 A 192.0.2.1"), 0, true},
		{"records that may not be kept", mx.TypeA, replying(t, "x.example. 0 A 192.0.2.1"), 0, false},
		{"a client that keeps nothing", mx.TypeA, replying(t, "x.example. 300 A 192.0.2.1"), -1, false},
		{"no data", mx.TypeMX, negative(dns.RcodeSuccess), 0, true},
		{"no name", mx.TypeAAAA, negative(dns.RcodeNameError), 0, true},
		{"no domain", mx.TypeMX, negative(dns.RcodeNameError), 0, false},
		{"no data, no SOA", mx.TypeMX, replying(t), 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int32
			var seen []Lookup
			c := &Client{
				Servers: []string{serve(t, counting(&n, tt.respond))}, CacheSize: tt.size,
				Observe: func(l Lookup) { seen = append(seen, l) },
			}
			for range 2 {
				a, err := c.Lookup(t.Context(), "X.example", tt.t)
				if err != nil || tt.kept && a.TTL <= 0 {
					t.Fatalf("%+v, %v", a, err)
				}
			}
			if kept := n.Load() == 1; kept != tt.kept || seen[1].Cached != kept || seen[0].Cached || seen[0].Shared {
				t.Errorf("%d queries, %+v", n.Load(), seen)
			}
			if l := seen[0]; l.Name != "x.example" || l.Type != tt.t || l.Server != c.Servers[0] || l.Took <= 0 || l.Err != nil {
				t.Errorf("%+v", l)
			}
			if tt.kept && seen[1].Server != "" {
				t.Errorf("%+v", seen[1])
			}
		})
	}
}

// The second look at a domain that seemed to be missing sees that it is there.
func TestNoDomainThenFine(t *testing.T) {
	c := &Client{Servers: []string{serve(t, afterwards(failing(dns.RcodeNameError), replying(t, "x.example. 300 MX 10 a.example.")))}}
	if a, err := c.Lookup(t.Context(), "x.example", mx.TypeMX); err != nil || a.Rcode != mx.NXDomain {
		t.Errorf("first: %+v, %v", a, err)
	}
	if a, err := c.Lookup(t.Context(), "x.example", mx.TypeMX); err != nil || hosts(a) != "10 a.example" {
		t.Errorf("second: %+v, %v", a, err)
	}
}

func TestObserveFailure(t *testing.T) {
	var seen []Lookup
	c := &Client{Servers: []string{serve(t, silent)}, Timeout: 10 * time.Millisecond, Observe: func(l Lookup) { seen = append(seen, l) }}
	_, err := c.Lookup(t.Context(), "x.example", mx.TypeA)
	if err == nil || len(seen) != 1 || seen[0].Err != err || seen[0].Server != "" {
		t.Errorf("%v, %+v", err, seen)
	}
}
