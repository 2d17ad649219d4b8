package dane

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/mxtest"
)

const (
	checked  = " TLSA 3 1 1 1111111111111111111111111111111111111111111111111111111111111111"
	unusable = " TLSA 1 1 1 1111111111111111111111111111111111111111111111111111111111111111"
)

// newServer starts a name server that vouches for all names below signed.example, the TLSA records of hosts included.
func newServer(t *testing.T, records ...string) *mxtest.Server {
	t.Helper()
	s, err := mxtest.NewServer(records...)
	must(t, err)
	t.Cleanup(s.Close)
	for _, record := range records {
		name, _, _ := strings.Cut(record, " ")
		if strings.HasSuffix("."+name, ".signed.example") {
			s.SetAuthentic(name, true)
			s.SetAuthentic("_25._tcp."+name, true)
		}
	}
	return s
}

// newRouter is a Router that asks s, and so does the one in it.
func newRouter(s *mxtest.Server) *Router {
	dns := s.DNS()
	return &Router{Inner: &mx.Resolver{DNS: dns, AllowPrivate: true}, DNS: dns}
}

// describe says what a route demands of each host: its name, the level of TLS, whether there is a check, and the name to ask for
// if it isn't the host's.
func describe(route *mx.Route, err error) string {
	if err != nil {
		e := new(mx.Error)
		if !errors.As(err, &e) {
			return err.Error()
		}
		return fmt.Sprint(e.Code, " ", e.Enhanced)
	}
	var list []string
	for _, h := range route.Hosts {
		s := h.Name + " " + h.TLS.String()
		if h.Verify != nil {
			s += " checked"
		}
		if h.SNI != "" {
			s += " as " + h.SNI
		}
		if (h.Verify != nil) != (h.Policy != "") {
			s += " policy " + h.Policy
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

func TestRoute(t *testing.T) {
	long := strings.Repeat("a.", 238/2) + "signed.example"
	for _, c := range []struct {
		name    string
		records []string // x.signed.example and x.plain.example lead to mx.signed.example unless they say otherwise
		change  func(*mxtest.Server)
		domain  string // defaults to x.signed.example
		want    string
	}{
		{name: "no records", want: "mx.signed.example opportunistic"},
		{name: "records", records: []string{"_25._tcp.mx.signed.example" + checked}, want: "mx.signed.example required checked"},
		{
			name: "records for another port", records: []string{"_465._tcp.mx.signed.example" + checked},
			want: "mx.signed.example opportunistic",
		},
		{
			name: "unusable records", records: []string{"_25._tcp.mx.signed.example" + unusable},
			want: "mx.signed.example required",
		},
		{
			name: "one is usable", want: "mx.signed.example required checked",
			records: []string{"_25._tcp.mx.signed.example" + unusable, "_25._tcp.mx.signed.example" + checked},
		},
		{
			name: "too many records", want: "451 4.7.5",
			change: func(s *mxtest.Server) {
				for i := range maxRecords + 1 {
					s.Add(fmt.Sprintf("_25._tcp.mx.signed.example TLSA 3 1 1 %064x", i))
				}
			},
		},
		{
			name: "unsigned records", records: []string{"_25._tcp.mx.signed.example" + checked},
			change: func(s *mxtest.Server) { s.SetAuthentic("_25._tcp.mx.signed.example", false) },
			want:   "mx.signed.example opportunistic",
		},
		{
			name: "records are an alias", want: "mx.signed.example required checked",
			records: []string{"_25._tcp.mx.signed.example CNAME _dane.signed.example.", "_dane.signed.example" + checked},
		},
		{
			name: "records are an alias of unsigned ones", want: "mx.signed.example opportunistic",
			records: []string{"_25._tcp.mx.signed.example CNAME _dane.plain.example.", "_dane.plain.example" + checked},
		},
		{
			name: "unsigned domain", domain: "x.plain.example", records: []string{"_25._tcp.mx.signed.example" + checked},
			want: "mx.signed.example opportunistic",
		},
		{
			name: "unsigned host", domain: "y.signed.example", want: "mx.plain.example opportunistic",
			records: []string{"y.signed.example MX 10 mx.plain.example", "_25._tcp.mx.plain.example" + checked},
		},
		{
			name: "domain without MX", domain: "mx.signed.example", records: []string{"_25._tcp.mx.signed.example" + checked},
			want: "mx.signed.example required checked",
		},
		{name: "address literal", domain: "[127.0.0.1]", want: "127.0.0.1 opportunistic"},
		{
			name: "MX with an address", domain: "y.signed.example", records: []string{"y.signed.example MX 10 127.0.0.1"},
			want: "127.0.0.1 opportunistic",
		},
		{
			name: "host of IPv6", domain: "y.signed.example", want: "six.signed.example required checked",
			records: []string{"y.signed.example MX 10 six.signed.example", "six.signed.example AAAA ::1", "_25._tcp.six.signed.example" + checked},
		},
		{
			name: "host with the longest name", domain: "y.signed.example", want: long + " opportunistic",
			records: []string{"y.signed.example MX 10 " + long, long + " A 127.0.0.1"}, // no name is left for its records
		},
		{
			name: "failed lookup", want: "451 4.7.5",
			change: func(s *mxtest.Server) { s.SetFault("_25._tcp.mx.signed.example", mxtest.Fault{Rcode: mx.ServFail}) },
		},
		{
			name: "refused lookup", want: "451 4.7.5",
			change: func(s *mxtest.Server) { s.SetFault("_25._tcp.mx.signed.example", mxtest.Fault{Rcode: 5}) },
		},
		{
			name: "one host of three", domain: "y.signed.example", want: "mx.plain.example opportunistic, good.signed.example required checked",
			records: []string{
				"y.signed.example MX 10 mx.signed.example", "y.signed.example MX 20 mx.plain.example", "y.signed.example MX 30 good.signed.example",
				"good.signed.example A 127.0.0.1", "_25._tcp.good.signed.example" + checked,
			},
			change: func(s *mxtest.Server) { s.SetFault("_25._tcp.mx.signed.example", mxtest.Fault{Rcode: mx.ServFail}) },
		},
		{
			name: "alias", domain: "alias.signed.example", want: "a.signed.example required checked as mx.signed.example",
			records: []string{"_25._tcp.mx.signed.example" + checked},
		},
		{
			name: "alias with records of its own", domain: "alias.signed.example", want: "a.signed.example required checked",
			records: []string{"_25._tcp.a.signed.example" + checked},
		},
		{
			name: "alias with useless records of its own", domain: "alias.signed.example", want: "a.signed.example required checked as mx.signed.example",
			records: []string{"_25._tcp.mx.signed.example" + checked, "_25._tcp.a.signed.example" + unusable},
		},
		{
			name: "alias without records", domain: "alias.signed.example", want: "a.signed.example opportunistic",
		},
		{
			name: "failed lookup for what it is an alias of", domain: "alias.signed.example", want: "451 4.7.5",
			records: []string{"_25._tcp.a.signed.example" + checked},
			change:  func(s *mxtest.Server) { s.SetFault("_25._tcp.mx.signed.example", mxtest.Fault{Rcode: mx.ServFail}) },
		},
		{
			name: "alias of an unsigned host", domain: "leaves.signed.example", want: "l.signed.example opportunistic",
			records: []string{"_25._tcp.mx.plain.example" + checked},
		},
		{
			name: "alias of an unsigned host with records of its own", domain: "leaves.signed.example", want: "l.signed.example required checked",
			records: []string{"_25._tcp.l.signed.example" + checked},
		},
		{
			name: "unsigned alias", domain: "enters.signed.example", want: "e.plain.example opportunistic",
			records: []string{"_25._tcp.mx.signed.example" + checked, "_25._tcp.e.plain.example" + checked},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, append([]string{
				"x.signed.example MX 10 mx.signed.example", "x.plain.example MX 10 mx.signed.example",
				"mx.signed.example A 127.0.0.1", "mx.plain.example A 127.0.0.1",
				"alias.signed.example MX 10 a.signed.example", "a.signed.example CNAME mx.signed.example.",
				"leaves.signed.example MX 10 l.signed.example", "l.signed.example CNAME mx.plain.example.",
				"enters.signed.example MX 10 e.plain.example", "e.plain.example CNAME mx.signed.example.",
			}, c.records...)...)
			if c.change != nil {
				c.change(s)
			}
			if c.domain == "" {
				c.domain = "x.signed.example"
			}
			got := describe(newRouter(s).Route(t.Context(), c.domain))
			if got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			if s.Queries("_25._tcp.mx.plain.example", mx.TypeTLSA) > 0 || s.Queries("_25._tcp.e.plain.example", mx.TypeTLSA) > 0 {
				t.Error("an unsigned host's servers were bothered")
			}
			if s.Queries("127.0.0.1", mx.TypeA) > 0 {
				t.Error("an address was taken for a name")
			}
		})
	}
}

// When no host is left, the error says why, and that trying again may help.
func TestRouteError(t *testing.T) {
	s := newServer(t, "x.signed.example MX 10 mx.signed.example", "mx.signed.example A 127.0.0.1")
	s.SetFault("_25._tcp.mx.signed.example", mxtest.Fault{Rcode: mx.ServFail})
	_, err := newRouter(s).Route(t.Context(), "x.signed.example")
	const want = "mx: x.signed.example: dane: TLSA records can't be known: looking up TLSA of _25._tcp.mx.signed.example: SERVFAIL"
	e := new(mx.Error)
	if !errors.Is(err, ErrLookup) || !errors.As(err, &e) || e.Permanent || err.Error() != want {
		t.Errorf("%v", err)
	}
	_, err = newRouter(s).Route(t.Context(), "missing.example")
	if !errors.Is(err, mx.ErrNoDomain) || errors.Is(err, ErrLookup) {
		t.Errorf("the other router's error became %v", err)
	}
}

// An observer hears of what protects each host, and why one is left out, but not of hosts that have nothing to do with DANE.
func TestObserve(t *testing.T) {
	s := newServer(t,
		"x.signed.example MX 10 mx.signed.example", "x.signed.example MX 20 a.signed.example", "x.signed.example MX 30 sick.signed.example",
		"x.signed.example MX 40 none.signed.example", "x.signed.example MX 50 mx.plain.example",
		"mx.signed.example A 127.0.0.1", "a.signed.example CNAME mx.signed.example.", "sick.signed.example A 127.0.0.1",
		"none.signed.example A 127.0.0.1", "mx.plain.example A 127.0.0.1",
		"_25._tcp.mx.signed.example"+checked, "_25._tcp.mx.signed.example"+unusable,
	)
	s.SetFault("_25._tcp.sick.signed.example", mxtest.Fault{Rcode: mx.ServFail})
	events := make(chan Event, 10)
	router := newRouter(s)
	router.Observe = func(e Event) { events <- e }
	_, err := router.Route(t.Context(), "x.signed.example")
	must(t, err)
	close(events)
	var got []string
	for e := range events {
		if e.Err != nil && !errors.Is(e.Err, ErrLookup) {
			t.Error(e.Err)
		}
		got = append(got, fmt.Sprintf("%s %s %q %d %v", e.Domain, e.Host, e.Base, len(e.Records), e.Err == nil))
	}
	slices.Sort(got)
	want := []string{
		`x.signed.example a.signed.example "mx.signed.example" 2 true`,
		`x.signed.example mx.signed.example "mx.signed.example" 2 true`,
		`x.signed.example sick.signed.example "" 0 false`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
}
