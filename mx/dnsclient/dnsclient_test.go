package dnsclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad/postroad/mx"
)

// serve starts a UDP server that sends what respond returns for each query, and returns its address.
func serve(t *testing.T, respond func(query *dns.Msg) []*dns.Msg) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			query := new(dns.Msg)
			if query.Unpack(b[:n]) != nil {
				continue
			}
			for _, reply := range respond(query) {
				packet, err := reply.Pack()
				if err != nil {
					t.Error(err)
				}
				conn.WriteTo(packet, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func rr(t *testing.T, s string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// replying returns a respond function for serve that answers with these records.
func replying(t *testing.T, records ...string) func(*dns.Msg) []*dns.Msg {
	return func(query *dns.Msg) []*dns.Msg {
		reply := new(dns.Msg).SetReply(query)
		for _, s := range records {
			reply.Answer = append(reply.Answer, rr(t, s))
		}
		return []*dns.Msg{reply}
	}
}

func failing(rcode int) func(*dns.Msg) []*dns.Msg {
	return func(query *dns.Msg) []*dns.Msg { return []*dns.Msg{new(dns.Msg).SetRcode(query, rcode)} }
}

func silent(*dns.Msg) []*dns.Msg { return nil }

// hosts returns what an answer's records say.
func hosts(a mx.Answer) string {
	var list []string
	for _, r := range a.Records {
		if r.Addr.IsValid() {
			list = append(list, r.Addr.String())
		} else {
			list = append(list, fmt.Sprintf("%d %s", r.Preference, r.Host))
		}
	}
	return strings.Join(list, ", ")
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name    string
		t       mx.Type
		records []string
		want    string
		ttl     time.Duration
	}{
		{"records", mx.TypeMX, []string{"x.example. 300 MX 10 A.Example.", "x.example. 200 MX 20 b.example."}, "10 a.example, 20 b.example", 200 * time.Second},
		{"null MX", mx.TypeMX, []string{"x.example. 300 MX 0 ."}, "0 .", 300 * time.Second},
		{"name in capitals", mx.TypeA, []string{"X.EXAMPLE. 300 A 192.0.2.1"}, "192.0.2.1", 300 * time.Second},
		{"IPv6", mx.TypeAAAA, []string{"x.example. 300 AAAA 2001:db8::1"}, "2001:db8::1", 300 * time.Second},
		{"alias", mx.TypeA, []string{"y.example. 300 A 192.0.2.1", "x.example. 60 CNAME y.example."}, "192.0.2.1", time.Minute},
		{"alias to nothing", mx.TypeA, []string{"x.example. 60 CNAME y.example."}, "", 0},
		{"of another name", mx.TypeA, []string{"z.example. 300 A 192.0.2.1"}, "", 0},
		{"of another type", mx.TypeA, []string{"x.example. 300 AAAA 2001:db8::1"}, "", 0},
		{"of another class", mx.TypeA, []string{"x.example. 300 CH A 192.0.2.1"}, "", 0},
		{"none", mx.TypeMX, nil, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &Client{Servers: []string{serve(t, replying(t, tt.records...))}}
			a, err := c.Lookup(t.Context(), "x.example", tt.t)
			if err != nil || hosts(a) != tt.want || a.TTL != tt.ttl || a.Rcode != mx.Success || a.Authentic {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

func TestNegativeAnswers(t *testing.T) {
	server := serve(t, func(query *dns.Msg) []*dns.Msg {
		reply := new(dns.Msg).SetRcode(query, dns.RcodeNameError)
		reply.Ns = []dns.RR{rr(t, "example. 600 SOA ns.example. h.example. 1 2 3 4 120")}
		reply.AuthenticatedData = query.AuthenticatedData
		return []*dns.Msg{reply}
	})
	a, err := (&Client{Servers: []string{server}}).Lookup(t.Context(), "x.example", mx.TypeMX)
	if err != nil || a.Rcode != mx.NXDomain || a.TTL != 2*time.Minute || !a.Authentic || len(a.Records) != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

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
			c := &Client{Timeout: 500 * time.Millisecond}
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

// Packets that answer something else are passed over.
func TestForgedAnswers(t *testing.T) {
	server := serve(t, func(query *dns.Msg) []*dns.Msg {
		forge := func(change func(*dns.Msg)) *dns.Msg {
			m := replying(t, "x.example. 300 A 203.0.113.66")(query)[0]
			change(m)
			return m
		}
		return []*dns.Msg{
			forge(func(m *dns.Msg) { m.Id++ }),
			forge(func(m *dns.Msg) { m.Response = false }),
			forge(func(m *dns.Msg) { m.Question[0].Name = "y.example." }),
			forge(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMX }),
			forge(func(m *dns.Msg) { m.Question = nil }),
			replying(t, "x.example. 300 A 192.0.2.1")(query)[0],
		}
	})
	a, err := (&Client{Servers: []string{server}}).Lookup(t.Context(), "x.example", mx.TypeA)
	if err != nil || hosts(a) != "192.0.2.1" {
		t.Errorf("%s, %v", hosts(a), err)
	}
}

func TestFloodOfForgedAnswers(t *testing.T) {
	server := serve(t, func(query *dns.Msg) []*dns.Msg {
		m := new(dns.Msg).SetReply(query)
		m.Id++
		var flood []*dns.Msg
		for range 2 * maxPackets {
			flood = append(flood, m)
		}
		return flood
	})
	if a, err := (&Client{Servers: []string{server}, Timeout: time.Second}).Lookup(t.Context(), "x.example", mx.TypeA); err == nil {
		t.Errorf("believed %+v", a)
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := serve(t, func(*dns.Msg) []*dns.Msg { cancel(); return nil })
	_, err := (&Client{Servers: []string{server}, Timeout: time.Hour}).Lookup(ctx, "x.example", mx.TypeA)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was cancelled", err)
	}
}

func FuzzAnswer(f *testing.F) {
	query := new(dns.Msg).SetQuestion("x.example.", dns.TypeMX)
	for _, records := range [][]string{
		{"x.example. 300 MX 10 a.example."}, {"x.example. 1 CNAME y.example.", "y.example. 2 MX 0 ."}, {"x.example. 300 A 192.0.2.1"}, nil,
	} {
		m := new(dns.Msg).SetReply(query)
		for _, s := range records {
			r, err := dns.NewRR(s)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, r)
		}
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet, uint16(dns.TypeMX))
	}
	f.Fuzz(func(t *testing.T, packet []byte, typ uint16) {
		reply := new(dns.Msg)
		if reply.Unpack(packet) != nil {
			return
		}
		answers(reply, query)
		for _, r := range answer(reply, "x.example.", typ).Records {
			if typ == dns.TypeMX && r.Host == "" || typ != dns.TypeMX && r.Addr == (netip.Addr{}) {
				t.Errorf("empty record %+v", r)
			}
		}
	})
}
