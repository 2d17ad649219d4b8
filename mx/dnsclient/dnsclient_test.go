package dnsclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/smtpclient/smtptest/freeport"
)

// serve starts a UDP server that sends what respond returns for each query, and returns its address, where nobody listens by TCP.
func serve(t *testing.T, respond func(query *dns.Msg) []*dns.Msg) string {
	t.Helper()
	l, err := freeport.Listen()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", l.Addr().String())
	l.Close()
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

// What says nothing about the name doesn't say that it has no records.
func TestAnswersToSomethingElse(t *testing.T) {
	chain := []string{"x.example. 60 CNAME a0.example."}
	for i := range maxChain {
		chain = append(chain, fmt.Sprintf("a%d.example. 60 CNAME a%d.example.", i, i+1))
	}
	for what, records := range map[string][]string{
		"of another name":   {"z.example. 300 A 192.0.2.1"},
		"of another type":   {"x.example. 300 AAAA 2001:db8::1"},
		"of another class":  {"x.example. 300 CH A 192.0.2.1"},
		"alias in a circle": {"x.example. 60 CNAME y.example.", "y.example. 60 CNAME x.example."},
		"a long chain":      chain,
	} {
		c := &Client{Servers: []string{serve(t, replying(t, records...))}}
		a, err := c.Lookup(t.Context(), "x.example", mx.TypeA)
		if err != nil || a.Rcode != mx.ServFail || len(a.Records) > 0 {
			t.Errorf("%s: %+v, %v", what, a, err)
		}
	}
	referral := serve(t, func(query *dns.Msg) []*dns.Msg {
		reply := new(dns.Msg).SetReply(query)
		reply.Ns = []dns.RR{rr(t, "example. 600 NS ns.example.")}
		return []*dns.Msg{reply}
	})
	a, err := (&Client{Servers: []string{referral}}).Lookup(t.Context(), "x.example", mx.TypeMX)
	if err != nil || a.Rcode != mx.ServFail {
		t.Errorf("referral: %+v, %v", a, err)
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

func TestLookupEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := serve(t, func(*dns.Msg) []*dns.Msg { cancel(); return nil })
	_, err := (&Client{Servers: []string{server}, Timeout: time.Hour}).Lookup(ctx, "x.example", mx.TypeA)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was cancelled", err)
	}
}
