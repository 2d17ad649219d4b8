package dnsclient

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad/postroad/mx"
)

// serveTCP starts a server on the TCP port of the same number as address.
func serveTCP(t *testing.T, address string, respond func(query *dns.Msg) []*dns.Msg) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		for _, reply := range respond(query) {
			w.WriteMsg(reply)
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); server.ActivateAndServe() }()
	t.Cleanup(func() { l.Close(); <-done })
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
			forge(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }),
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

// folding responds with the question in lower case.
func folding(respond func(*dns.Msg) []*dns.Msg) func(*dns.Msg) []*dns.Msg {
	return func(query *dns.Msg) []*dns.Msg {
		query.Question[0].Name = strings.ToLower(query.Question[0].Name)
		return respond(query)
	}
}

// longName has so many letters that their case isn't lower by chance.
const longName = "a-name-with-so-many-letters-that-one-of-them-is-a-capital.example"

// A server that doesn't preserve the case of a question is believed by TCP, not by UDP.
func TestAnotherCase(t *testing.T) {
	lie := replying(t, longName+". 300 A 203.0.113.66")
	truth := replying(t, longName+". 300 A 192.0.2.1")
	server := serve(t, folding(lie))
	serveTCP(t, server, folding(truth))
	a, err := (&Client{Servers: []string{server}}).Lookup(t.Context(), longName, mx.TypeA)
	if err != nil || hosts(a) != "192.0.2.1" {
		t.Errorf("%+v, %v", a, err)
	}
}

// One that has no TCP either is asked in lower case.
func TestAnotherCaseWithoutTCP(t *testing.T) {
	var n atomic.Int32
	server := serve(t, counting(&n, folding(replying(t, longName+". 300 A 192.0.2.1"))))
	a, err := (&Client{Servers: []string{server}}).Lookup(t.Context(), longName, mx.TypeA)
	if err != nil || hosts(a) != "192.0.2.1" || n.Load() != 2 {
		t.Errorf("%+v, %v after %d questions", a, err, n.Load())
	}
}

// Questions differ in number, case and port.
func TestQuestionsAreUnpredictable(t *testing.T) {
	type question struct {
		id         uint16
		name, from string
	}
	var seen []question
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(b)
			query := new(dns.Msg)
			if err != nil || query.Unpack(b[:n]) != nil {
				return
			}
			seen = append(seen, question{query.Id, query.Question[0].Name, from.String()})
			packet, _ := new(dns.Msg).SetRcode(query, dns.RcodeNameError).Pack()
			conn.WriteTo(packet, from)
		}
	}()
	c := &Client{Servers: []string{conn.LocalAddr().String()}}
	for range 20 {
		if _, err := c.Lookup(t.Context(), longName, mx.TypeMX); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	<-done
	ids, names, ports := map[uint16]bool{}, map[string]bool{}, map[string]bool{}
	for _, q := range seen {
		ids[q.id], names[q.name], ports[q.from] = true, true, true
	}
	if len(ids) < 10 || len(names) < 10 || len(ports) < 10 {
		t.Errorf("%d numbers, %d cases, %d ports of 20 questions", len(ids), len(names), len(ports))
	}
}

// An answer that is cut is asked for by TCP, and isn't believed if there is none.
func TestTruncation(t *testing.T) {
	cut := func(query *dns.Msg) []*dns.Msg {
		reply := replying(t, "x.example. 300 MX 20 worse.example.")(query)[0]
		reply.Truncated = true
		return []*dns.Msg{reply}
	}
	server := serve(t, cut)
	if a, err := (&Client{Servers: []string{server}, Timeout: time.Second}).Lookup(t.Context(), "x.example", mx.TypeMX); err == nil {
		t.Errorf("without TCP: %+v", a)
	}
	serveTCP(t, server, replying(t, "x.example. 300 MX 20 worse.example.", "x.example. 300 MX 10 better.example."))
	a, err := (&Client{Servers: []string{server}}).Lookup(t.Context(), "x.example", mx.TypeMX)
	if err != nil || hosts(a) != "20 worse.example, 10 better.example" {
		t.Errorf("with TCP: %+v, %v", a, err)
	}
}

// A cut answer by TCP has what fits, but nothing isn't an answer.
func TestTruncationByTCP(t *testing.T) {
	for _, tt := range []struct {
		records []string
		want    string
		rcode   mx.Rcode
	}{
		{[]string{"x.example. 300 MX 10 a.example."}, "10 a.example", mx.Success},
		{nil, "", mx.ServFail},
	} {
		cut := func(query *dns.Msg) []*dns.Msg {
			reply := replying(t, tt.records...)(query)[0]
			reply.Truncated = true
			return []*dns.Msg{reply}
		}
		server := serve(t, cut)
		serveTCP(t, server, cut)
		a, err := (&Client{Servers: []string{server}}).Lookup(t.Context(), "x.example", mx.TypeMX)
		if err != nil || hosts(a) != tt.want || a.Rcode != tt.rcode {
			t.Errorf("%v: %+v, %v", tt.records, a, err)
		}
	}
}

// A server from before EDNS may not even repeat the question that it doesn't understand.
func TestBeforeEDNSWithoutQuestion(t *testing.T) {
	respond := beforeEDNS(replying(t, "x.example. 300 A 192.0.2.1"))
	server := serve(t, func(query *dns.Msg) []*dns.Msg {
		replies := respond(query)
		if replies[0].Rcode != dns.RcodeSuccess {
			replies[0].Question = nil
		}
		return replies
	})
	a, err := (&Client{Servers: []string{server}}).Lookup(t.Context(), "x.example", mx.TypeA)
	if err != nil || hosts(a) != "192.0.2.1" {
		t.Errorf("%+v, %v", a, err)
	}
}
