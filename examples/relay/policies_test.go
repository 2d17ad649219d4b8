package main

import (
	"net"
	"testing"

	"github.com/postroad/postroad/mx/mxtest"
)

// A host whose TLSA records speak of TLS gets nothing without it, if -policies says so.
func TestPolicies(t *testing.T) {
	next := target(t, nil)
	_, port, err := net.SplitHostPort(next.Addr)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"example.net", "mx.example.net", "_" + port + "._tcp.mx.example.net"}
	dns, err := mxtest.NewServer(
		names[0]+" MX 10 "+names[1],
		names[1]+" A 127.0.0.1",
		names[2]+" TLSA 3 1 1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	for _, name := range names {
		dns.SetAuthentic(name, true)
	}
	for flag, want := range map[string]string{"-policies": "deferred", "-policies=false": "delivered"} {
		c := startChild(t, queueFile(t), "-dns", dns.Addr(), "-port", port, flag)
		hello(t, c.addr).mail("", "b@example.net", simple("held to policies"))
		if e := c.wait(t, "attempt", 1)[0]; e["outcome"] != want {
			t.Errorf("%s: %v, want %s", flag, e, want)
		}
		c.stop()
	}
	if n := len(next.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}
