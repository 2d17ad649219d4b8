package dnsclient

import (
	"fmt"
	"testing"

	"github.com/miekg/dns"

	"github.com/postroad/postroad/mx"
)

func TestRecords(t *testing.T) {
	tests := []struct {
		t      mx.Type
		record string
		want   string
	}{
		{mx.TypeTXT, `x.example. 300 TXT "v=STSv1; " "id=20260101;"`, `"v=STSv1; id=20260101;"`},
		{mx.TypeTXT, `x.example. 300 TXT "a\"b\\c\200\0091"`, `"a\"b\\c\xc8\t1"`},
		{mx.TypeTXT, `x.example. 300 TXT ""`, `""`},
		{mx.TypeTLSA, "x.example. 300 TLSA 3 1 1 00ff10", "{3 1 1 [0 255 16]}"},
		{mx.TypeTLSA, "x.example. 300 TLSA 255 255 255 00", "{255 255 255 [0]}"},
		{mx.TypeCNAME, "x.example. 300 CNAME Y.example.", "y.example"},
	}
	for _, tt := range tests {
		c := &Client{Servers: []string{serve(t, replying(t, tt.record))}}
		a, err := c.Lookup(t.Context(), "x.example", tt.t)
		if err != nil || len(a.Records) != 1 || a.Canonical != "" {
			t.Errorf("%s: %+v, %v", tt.record, a, err)
			continue
		}
		got := a.Records[0].Host
		switch tt.t {
		case mx.TypeTXT:
			got = fmt.Sprintf("%q", a.Records[0].Text)
		case mx.TypeTLSA:
			got = fmt.Sprint(a.Records[0].TLSA)
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.record, got, tt.want)
		}
	}
}

func TestCanonical(t *testing.T) {
	tests := []struct {
		name    string
		records []string
		want    string
	}{
		{"no alias", []string{"x.example. 300 A 192.0.2.1"}, ""},
		{"one alias", []string{"x.example. 300 CNAME Y.example.", "y.example. 300 A 192.0.2.1"}, "y.example"},
		{"two aliases", []string{"y.example. 300 CNAME z.example.", "x.example. 300 CNAME y.example.", "z.example. 300 A 192.0.2.1"}, "z.example"},
		{"an alias of another name", []string{"z.example. 300 CNAME y.example.", "x.example. 300 A 192.0.2.1"}, ""},
	}
	for _, tt := range tests {
		c := &Client{Servers: []string{serve(t, replying(t, tt.records...))}}
		a, err := c.Lookup(t.Context(), "x.example", mx.TypeA)
		if err != nil || a.Canonical != tt.want || hosts(a) != "192.0.2.1" {
			t.Errorf("%s: %+v, %v", tt.name, a, err)
		}
	}
}

// An answer with an error code has no records, whatever it says.
func TestRecordsWithAnErrorCode(t *testing.T) {
	for _, rcode := range []int{dns.RcodeNameError, dns.RcodeServerFailure, dns.RcodeRefused} {
		c := &Client{Servers: []string{serve(t, func(query *dns.Msg) []*dns.Msg {
			reply := replying(t, "x.example. 300 A 192.0.2.1")(query)[0]
			reply.Rcode = rcode
			return []*dns.Msg{reply}
		})}}
		a, err := c.Lookup(t.Context(), "x.example", mx.TypeA)
		if err != nil || a.Rcode != mx.Rcode(rcode) || len(a.Records) > 0 {
			t.Errorf("%+v, %v", a, err)
		}
	}
}

func TestUnescape(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "plain": "plain", `a\"b`: `a"b`, `a\\b`: `a\b`, `\065\066`: "AB", `\255`: "\xff", `\12`: "12", `\`: `\`, `a\`: `a\`, `\\065`: `\065`,
	} {
		if got := unescape(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	query := new(dns.Msg).SetQuestion("x.example.", dns.TypeMX)
	for t, records := range map[uint16][]string{
		dns.TypeMX:   {"x.example. 300 MX 10 a.example."},
		dns.TypeAAAA: {"x.example. 1 CNAME y.example.", "y.example. 2 AAAA 2001:db8::1"},
		dns.TypeA:    {"x.example. 300 A 192.0.2.1"},
		dns.TypeTXT:  {`x.example. 300 TXT "a\"b" "\200"`},
		dns.TypeTLSA: {"x.example. 300 TLSA 3 1 1 00ff"},
		dns.TypeNS:   nil,
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
		f.Add(packet, t)
	}
	f.Fuzz(func(t *testing.T, packet []byte, typ uint16) {
		reply := new(dns.Msg)
		if reply.Unpack(packet) != nil {
			return
		}
		answers(reply, query)
		known := knows(reply, "x.example.", typ)
		a, more := answer(reply, "x.example.", typ)
		if len(a.Records) > 0 && (!known || more) {
			t.Errorf("records of a reply that has none: %+v", a)
		}
		for _, r := range a.Records {
			switch typ {
			case dns.TypeMX, dns.TypeCNAME:
				if r.Host == "" {
					t.Errorf("no host: %+v", r)
				}
			case dns.TypeA, dns.TypeAAAA:
				if !r.Addr.IsValid() {
					t.Errorf("no address: %+v", r)
				}
			}
		}
	})
}
