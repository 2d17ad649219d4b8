package mxtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/mx"
)

func open(t *testing.T, records ...string) *Server {
	t.Helper()
	s, err := NewServer(records...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// ask returns what the server says: records or a code.
func ask(t *testing.T, s *Server, name string, typ mx.Type) string {
	t.Helper()
	a, err := s.DNS().Lookup(t.Context(), name, typ)
	if err != nil {
		t.Fatal(err)
	}
	out := a.Rcode.String()
	for _, r := range a.Records {
		if typ == mx.TypeMX {
			out += fmt.Sprintf(" %d %s", r.Preference, r.Host)
		} else {
			out += " " + r.Addr.String()
		}
	}
	return out
}

func TestZone(t *testing.T) {
	s := open(t,
		"example.org. MX 10 mx1.example.org.", "example.org. 60 IN MX 20 mx2.example.org.",
		"mx1.example.org A 127.0.0.2", "MX1.example.org AAAA ::1",
		"alias.example.org CNAME mx1.example.org.", "dangling.example.org CNAME nowhere.example.", "circle.example CNAME circle.example.",
		"a.empty.example A 127.0.0.3",
	)
	tests := []struct {
		name string
		t    mx.Type
		want string
	}{
		{"example.org", mx.TypeMX, "NOERROR 10 mx1.example.org 20 mx2.example.org"},
		{"EXAMPLE.org", mx.TypeMX, "NOERROR 10 mx1.example.org 20 mx2.example.org"},
		{"example.org", mx.TypeA, "NOERROR"},
		{"mx1.example.org", mx.TypeA, "NOERROR 127.0.0.2"},
		{"mx1.example.org", mx.TypeAAAA, "NOERROR ::1"},
		{"alias.example.org", mx.TypeA, "NOERROR 127.0.0.2"},
		{"alias.example.org", mx.TypeMX, "NOERROR"},
		{"dangling.example.org", mx.TypeA, "NXDOMAIN"},
		{"circle.example", mx.TypeA, "SERVFAIL"},
		{"empty.example", mx.TypeA, "NOERROR"},
		{"missing.example", mx.TypeA, "NXDOMAIN"},
		{"mx9.example.org", mx.TypeA, "NXDOMAIN"},
	}
	for _, tt := range tests {
		if got := ask(t, s, tt.name, tt.t); got != tt.want {
			t.Errorf("%s %v: %s, want %s", tt.name, tt.t, got, tt.want)
		}
	}
}

func TestZoneChanges(t *testing.T) {
	s := open(t)
	if got := ask(t, s, "x.example", mx.TypeA); got != "NXDOMAIN" {
		t.Errorf("empty zone: %s", got)
	}
	for _, step := range []struct {
		do   error
		want string
	}{
		{s.Set("X.example", "x.example. A 127.0.0.1", "x.example. A 127.0.0.2"), ""},
		{s.Set("x.example.", "x.example. A 127.0.0.3"), ""},
		{s.Add("x.example. A 127.0.0.4"), ""},
	} {
		if step.do != nil {
			t.Fatal(step.do)
		}
	}
	if got := ask(t, s, "x.example", mx.TypeA); got != "NOERROR 127.0.0.3 127.0.0.4" {
		t.Errorf("after changes: %s", got)
	}
	if err := s.Set("x.example"); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, s, "x.example", mx.TypeA); got != "NXDOMAIN" {
		t.Errorf("after removal: %s", got)
	}
	if n := s.Queries("x.example", mx.TypeA); n != 3 {
		t.Errorf("%d queries, want 3", n)
	}
}

// What a server says about DNSSEC it says of a name, whether there are records or not, and of each CNAME on the way.
func TestAuthentic(t *testing.T) {
	s := open(t,
		"signed.example A 127.0.0.1", "plain.example A 127.0.0.1",
		"in.example CNAME signed.example.", "out.example CNAME plain.example.", "half.example CNAME signed.example.",
		"_25._tcp.signed.example TLSA 3 1 1 00ff", "text.example TXT \"v=STSv1; id=1\"",
	)
	for _, name := range []string{"signed.example", "in.example", "out.example", "missing.example", "_25._tcp.signed.example"} {
		s.SetAuthentic(name, true)
	}
	tests := []struct {
		name string
		t    mx.Type
		want bool
	}{
		{"signed.example", mx.TypeA, true}, {"signed.example", mx.TypeMX, true}, {"missing.example", mx.TypeA, true},
		{"in.example", mx.TypeA, true}, {"out.example", mx.TypeA, false}, {"out.example", mx.TypeCNAME, true},
		{"half.example", mx.TypeA, false}, {"plain.example", mx.TypeA, false}, {"nowhere.example", mx.TypeA, false},
		{"_25._tcp.signed.example", mx.TypeTLSA, true}, {"text.example", mx.TypeTXT, false},
	}
	for _, tt := range tests {
		a, err := s.DNS().Lookup(t.Context(), tt.name, tt.t)
		if err != nil || a.Authentic != tt.want {
			t.Errorf("%s %v: %+v, %v, want %v", tt.name, tt.t, a, err, tt.want)
		}
	}
	s.SetAuthentic("signed.example", false)
	if a, err := s.DNS().Lookup(t.Context(), "signed.example", mx.TypeA); err != nil || a.Authentic {
		t.Errorf("no longer signed: %+v, %v", a, err)
	}
}

func TestBadRecords(t *testing.T) {
	for _, line := range []string{"", "; comment", "x.example", "x.example A", "x.example A 1.2.3", "$INCLUDE /dev/null", "x.example A 127.0.0.1\ny.example A 127.0.0.1"} {
		if s, err := NewServer(line); err == nil {
			s.Close()
			t.Errorf("%q was taken", line)
		}
	}
	if err := open(t).Set("x.example", "y.example A 127.0.0.1"); err == nil {
		t.Error("a record of another name was set")
	}
}

// Close doesn't wait for an answer that is still to be delayed.
func TestCloseDuringDelay(t *testing.T) {
	s := open(t, "x.example A 127.0.0.1")
	s.SetFault("x.example", Fault{Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.DNS().Lookup(ctx, "x.example", mx.TypeA)
	}()
	for s.Queries("x.example", mx.TypeA) == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	s.Close()
	cancel()
	<-done
}

func FuzzRecord(f *testing.F) {
	for _, s := range []string{"example.org. MX 10 mx1.example.org.", "a 5 IN A 1.2.3.4", "a CNAME a", "$GENERATE 1-9 a A 1.2.3.4", "x TXT \"a b\" (c", ". SOA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		list, err := parse([]string{line})
		if err == nil && (len(list) != 1 || list[0].Header().Name == "") {
			t.Errorf("%q: %v", line, list)
		}
	})
}

func ExampleServer() {
	s, err := NewServer("example.org. MX 10 mx1.example.org.", "mx1.example.org. A 127.0.0.2")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	router := &mx.Resolver{DNS: s.DNS(), AllowPrivate: true}
	route, err := router.Route(context.Background(), "example.org")
	fmt.Println(route.Hosts[0].Name, err)

	s.SetFault("example.org", Fault{Rcode: mx.ServFail})
	_, err = router.Route(context.Background(), "example.org")
	fmt.Println(err)
	// Output:
	// mx1.example.org <nil>
	// mx: example.org: looking up MX: SERVFAIL
}
