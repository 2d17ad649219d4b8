package mxtest

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dnsclient"
)

func TestFaults(t *testing.T) {
	s := open(t, "x.example A 127.0.0.1")
	s.SetFault("x.example", Fault{Rcode: mx.ServFail})
	if got := ask(t, s, "x.example", mx.TypeA); got != "SERVFAIL" {
		t.Errorf("SERVFAIL: %s", got)
	}
	before := s.Queries("x.example", mx.TypeA)
	s.SetFault("x.example", Fault{Truncate: true, Delay: time.Millisecond})
	if got := ask(t, s, "x.example", mx.TypeA); got != "NOERROR 127.0.0.1" {
		t.Errorf("truncated: %s", got)
	}
	if n := s.Queries("x.example", mx.TypeA) - before; n != 2 {
		t.Errorf("truncated: asked %d times, want by UDP and by TCP", n)
	}
	s.SetFault("x.example", Fault{Silent: true})
	impatient := &dnsclient.Client{Servers: []string{s.Addr()}, Timeout: 50 * time.Millisecond}
	if a, err := impatient.Lookup(t.Context(), "x.example", mx.TypeA); err == nil {
		t.Errorf("silent: %+v", a)
	}
	for _, f := range []Fault{{Forged: true}, {Forged: true, Truncate: true}, {FoldCase: true}, {}} {
		s.SetFault("x.example", f)
		if got := ask(t, s, "x.example", mx.TypeA); got != "NOERROR 127.0.0.1" {
			t.Errorf("%+v: %s", f, got)
		}
	}
}

// A fault that is to happen so often is over then.
func TestFaultTimes(t *testing.T) {
	s := open(t, "x.example A 127.0.0.1")
	s.SetFault("x.example", Fault{Rcode: mx.NXDomain, Times: 2})
	for i, want := range []string{"NXDOMAIN", "NXDOMAIN", "NOERROR 127.0.0.1"} {
		if got := ask(t, s, "x.example", mx.TypeA); got != want {
			t.Errorf("question %d: %s, want %s", i+1, got, want)
		}
	}
}

// An answer that doesn't fit into a packet comes by TCP, whole, and one that doesn't fit there comes in part.
func TestLargeAnswers(t *testing.T) {
	s := open(t)
	for _, n := range []int{1000, 10_000} {
		var records []string
		for i := range n {
			records = append(records, fmt.Sprintf("x.example A %v", netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})))
		}
		if err := s.Set("x.example", records...); err != nil {
			t.Fatal(err)
		}
		a, err := s.DNS().Lookup(t.Context(), "x.example", mx.TypeA)
		if err != nil || len(a.Records) < min(n, 4000) || len(a.Records) > n {
			t.Errorf("%d of %d records, %v", len(a.Records), n, err)
		}
	}
}
