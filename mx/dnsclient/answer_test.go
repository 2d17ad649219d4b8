package dnsclient

import (
	"fmt"
	"net/netip"
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
		a, _ := answer(reply, "x.example.", typ)
		for _, r := range a.Records {
			if typ == dns.TypeMX && r.Host == "" || typ != dns.TypeMX && r.Addr == (netip.Addr{}) {
				t.Errorf("empty record %+v", r)
			}
		}
	})
}
