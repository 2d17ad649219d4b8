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

// slowest is how long a server may take to answer here, where others are silent. It is as long on a busy machine.
const slowest = 3 * time.Second

func TestServersInTurn(t *testing.T) {
	good := replying(t, "x.example. 300 A 192.0.2.1")
	tests := []struct {
		name    string
		servers []func(*dns.Msg) []*dns.Msg
		want    string // addresses, an Rcode, or "error"
	}{
		{"second after silence", []func(*dns.Msg) []*dns.Msg{silent, good}, "192.0.2.1"},
		{"second after SERVFAIL", []func(*dns.Msg) []*dns.Msg{failing(2), good}, "192.0.2.1"},
		{"second after REFUSED", []func(*dns.Msg) []*dns.Msg{failing(5), good}, "192.0.2.1"},
		{"NXDOMAIN is believed", []func(*dns.Msg) []*dns.Msg{failing(3), good}, "NXDOMAIN"},
		{"all fail", []func(*dns.Msg) []*dns.Msg{silent, failing(2)}, "SERVFAIL"},
		{"all silent", []func(*dns.Msg) []*dns.Msg{silent, silent}, "error"},
		{"the fifth isn't asked", []func(*dns.Msg) []*dns.Msg{failing(2), failing(2), failing(2), failing(2), good}, "SERVFAIL"},
		{"the second time", []func(*dns.Msg) []*dns.Msg{afterwards(silent, good)}, "192.0.2.1"},
		{"without EDNS", []func(*dns.Msg) []*dns.Msg{beforeEDNS(good)}, "192.0.2.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := &Client{Timeout: slowest}
			for _, s := range tt.servers {
				c.Servers = append(c.Servers, serve(t, s))
			}
			a, err := c.Lookup(t.Context(), "x.example", mx.TypeA)
			got := hosts(a)
			switch {
			case err != nil:
				got = "error"
			case got == "":
				got = a.Rcode.String()
			}
			if got != tt.want {
				t.Errorf("%s (%v), want %s", got, err, tt.want)
			}
		})
	}
}

// afterwards responds as first to the first query, then as second.
func afterwards(first, second func(*dns.Msg) []*dns.Msg) func(*dns.Msg) []*dns.Msg {
	n := 0
	return func(query *dns.Msg) []*dns.Msg {
		if n++; n == 1 {
			return first(query)
		}
		return second(query)
	}
}

// beforeEDNS responds with FORMERR to queries with EDNS.
func beforeEDNS(respond func(*dns.Msg) []*dns.Msg) func(*dns.Msg) []*dns.Msg {
	return func(query *dns.Msg) []*dns.Msg {
		if query.IsEdns0() != nil {
			return failing(dns.RcodeFormatError)(query)
		}
		return respond(query)
	}
}

// A server that was silent is asked last for a while, and first again after that.
func TestSilentServersAreAskedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h health
		servers := []string{"a", "b", "c"}
		order := func() string { return fmt.Sprint(h.order(servers, time.Now())) }
		if got := order(); got != "[a b c]" {
			t.Errorf("at first: %s", got)
		}
		h.note("a", false, time.Now())
		if got := order(); got != "[b c a]" {
			t.Errorf("after silence: %s", got)
		}
		h.note("b", false, time.Now())
		h.note("a", true, time.Now())
		if got := order(); got != "[a c b]" {
			t.Errorf("after an answer: %s", got)
		}
		time.Sleep(shunTime)
		if got := order(); got != "[a b c]" || servers[0] != "a" {
			t.Errorf("after a while: %s", got)
		}
	})
}

func TestSecondLookupSkipsTheSilentServer(t *testing.T) {
	var first, second atomic.Int32
	c := &Client{Timeout: slowest, Servers: []string{
		serve(t, counting(&first, silent)), serve(t, counting(&second, replying(t, "x.example. 0 A 192.0.2.1"))),
	}}
	for range 5 {
		if a, err := c.Lookup(t.Context(), "x.example", mx.TypeA); err != nil || hosts(a) != "192.0.2.1" {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if first.Load() != 1 || second.Load() != 5 {
		t.Errorf("the silent server was asked %d times, the other %d times", first.Load(), second.Load())
	}
}

// Only who is trusted to validate can make an answer authentic.
func TestAuthentic(t *testing.T) {
	respond := func(query *dns.Msg) []*dns.Msg {
		m := replying(t, "x.example. 300 A 192.0.2.1")(query)
		m[0].AuthenticatedData = true
		return m
	}
	loopback := serve(t, respond)
	_, port, _ := strings.Cut(loopback, ":")
	elsewhere := "0.0.0.0:" + port // which is this machine, but isn't called loopback
	for _, tt := range []struct {
		servers, trusted []string
		want             bool
	}{
		{[]string{loopback}, nil, true},
		{[]string{elsewhere}, nil, false},
		{[]string{elsewhere}, []string{loopback}, false},
		{[]string{elsewhere}, []string{elsewhere}, true},
	} {
		a, err := (&Client{Servers: tt.servers, Trusted: tt.trusted}).Lookup(t.Context(), "x.example", mx.TypeA)
		if err != nil || hosts(a) != "192.0.2.1" || a.Authentic != tt.want {
			t.Errorf("%v, trusting %v: %+v, %v", tt.servers, tt.trusted, a, err)
		}
	}
	c := &Client{Trusted: []string{"192.0.2.53:53"}}
	for server, want := range map[string]bool{
		"127.0.0.53:53": true, "[::1]:53": true, "[::ffff:127.0.0.1]:53": true, "192.0.2.53:53": true,
		"192.0.2.53:54": false, "192.0.2.54:53": false, "[2001:db8::1]:53": false, "localhost:53": false,
	} {
		if got := c.trusts(server); got != want {
			t.Errorf("%s: trusted %v", server, got)
		}
	}
}

// A name that a trusted server refuses isn't asked of one that doesn't validate.
func TestTrustedServersAlone(t *testing.T) {
	_, port, _ := strings.Cut(serve(t, replying(t, "x.example. 300 A 203.0.113.66")), ":")
	bogus := &Client{Servers: []string{serve(t, failing(dns.RcodeServerFailure)), "0.0.0.0:" + port}}
	if a, err := bogus.Lookup(t.Context(), "x.example", mx.TypeA); err != nil || a.Rcode != mx.ServFail {
		t.Errorf("%+v, %v", a, err)
	}
	tests := []struct {
		servers, trusted, want []string
	}{
		{[]string{"127.0.0.1:53", "192.0.2.1:53"}, nil, []string{"127.0.0.1:53"}},
		{[]string{"192.0.2.1:53", "[::1]:53"}, nil, []string{"[::1]:53"}},
		{[]string{"192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53"}, []string{"192.0.2.3:53", "192.0.2.1:53"}, []string{"192.0.2.1:53", "192.0.2.3:53"}},
		{[]string{"192.0.2.1:53", "192.0.2.2:53"}, []string{"192.0.2.9:53"}, []string{"192.0.2.1:53", "192.0.2.2:53"}},
		{[]string{"a:1", "a:2", "a:3", "a:4", "a:5"}, nil, []string{"a:1", "a:2", "a:3", "a:4"}},
	}
	for _, tt := range tests {
		c := &Client{Servers: tt.servers, Trusted: tt.trusted}
		if got, err := c.servers(); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%v, trusting %v: %v, %v", tt.servers, tt.trusted, got, err)
		}
	}
}

// CNAMEs that the server doesn't follow are followed by asking again.
func TestUnfinishedChains(t *testing.T) {
	zone := map[string]string{
		"x.example.": "x.example. 300 CNAME y.example.",
		"y.example.": "y.example. 200 CNAME z.example.",
		"z.example.": "z.example. 400 A 192.0.2.1",
		"a.example.": "a.example. 300 CNAME b.example.",
		"b.example.": "b.example. 300 CNAME a.example.",
		"n.example.": "n.example. 300 CNAME gone.example.",
	}
	var insecure atomic.Value // the name that isn't signed
	insecure.Store("")
	server := serve(t, func(query *dns.Msg) []*dns.Msg {
		name := dns.CanonicalName(query.Question[0].Name)
		reply := new(dns.Msg).SetReply(query)
		reply.AuthenticatedData = name != insecure.Load()
		if record := zone[name]; record != "" {
			reply.Answer = []dns.RR{rr(t, record)}
		} else {
			reply.Rcode = dns.RcodeNameError
		}
		return []*dns.Msg{reply}
	})
	c := &Client{Servers: []string{server}, CacheSize: -1}
	lookup := func(name string) mx.Answer {
		a, err := c.Lookup(t.Context(), name, mx.TypeA)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := lookup("x.example"); hosts(a) != "192.0.2.1" || a.Canonical != "z.example" || a.TTL != 200*time.Second || !a.Authentic {
		t.Errorf("%+v", a)
	}
	for _, name := range []string{"x.example.", "y.example.", "z.example."} {
		insecure.Store(name)
		if a := lookup("x.example"); hosts(a) != "192.0.2.1" || a.Authentic {
			t.Errorf("%s isn't signed: %+v", name, a)
		}
	}
	if a := lookup("a.example"); a.Rcode != mx.ServFail {
		t.Errorf("circle: %+v", a)
	}
	if a := lookup("n.example"); a.Rcode != mx.NXDomain || a.Canonical != "gone.example" {
		t.Errorf("alias of nothing: %+v", a)
	}
}

// What can't be asked is nobody's silence.
func TestBadNames(t *testing.T) {
	c := &Client{Servers: []string{serve(t, replying(t))}}
	for _, name := range []string{strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 130), "a..b"} {
		if a, err := c.Lookup(t.Context(), name, mx.TypeA); err == nil {
			t.Errorf("%.20s: %+v", name, a)
		}
	}
	if len(c.health.silent) > 0 {
		t.Errorf("silent: %v", c.health.silent)
	}
}
