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

// Only who is trusted to validate can make an answer authentic.
func TestAuthentic(t *testing.T) {
	respond := func(query *dns.Msg) []*dns.Msg {
		m := replying(t, "x.example. 300 A 192.0.2.1")(query)
		m[0].AuthenticatedData = true
		return m
	}
	c := &Client{Servers: []string{serve(t, respond)}}
	if a, err := c.Lookup(t.Context(), "x.example", mx.TypeA); err != nil || !a.Authentic {
		t.Errorf("from loopback: %+v, %v", a, err)
	}
	c = &Client{Trusted: []string{"192.0.2.53:53"}}
	for server, want := range map[string]bool{
		"127.0.0.53:53": true, "[::1]:53": true, "[::ffff:127.0.0.1]:53": true, "192.0.2.53:53": true,
		"192.0.2.53:54": false, "192.0.2.54:53": false, "[2001:db8::1]:53": false, "localhost:53": false,
	} {
		if got := c.trusts(server); got != want {
			t.Errorf("%s: trusted %v", server, got)
		}
	}
}
