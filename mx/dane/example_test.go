package dane_test

import (
	"context"
	"fmt"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dane"
	"github.com/postroad/postroad/mx/dnsclient"
	"github.com/postroad/postroad/mx/mxtest"
)

// One client for the router and the one in it: both rest on what its server has validated, and share the answers it keeps.
// A server on loopback is trusted by itself; any other has to be named in Trusted.
func ExampleRouter() {
	zone, err := mxtest.NewServer(
		"example.org. MX 10 mx.example.org.",
		"mx.example.org. A 127.0.0.2",
		"_25._tcp.mx.example.org. TLSA 3 1 1 8bd1da95272f7fa4ffb24137fc0ed03aae67e5c4d8b3c50734e1050a7920b922",
		"example.net. MX 10 mx.example.net.",
		"mx.example.net. A 127.0.0.3",
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer zone.Close()
	for _, name := range []string{"example.org", "mx.example.org", "_25._tcp.mx.example.org"} {
		zone.SetAuthentic(name, true)
	}

	client := &dnsclient.Client{Servers: []string{zone.Addr()}}
	router := &dane.Router{
		Inner: &mx.Resolver{DNS: client, AllowPrivate: true},
		DNS:   client,
	}
	for _, domain := range []string{"example.org", "example.net"} {
		route, err := router.Route(context.Background(), domain)
		if err != nil {
			fmt.Println(err)
			return
		}
		host := route.Hosts[0]
		fmt.Println(host.Name, host.TLS, "certificate checked:", host.Verify != nil)
	}
	// Output:
	// mx.example.org required certificate checked: true
	// mx.example.net opportunistic certificate checked: false
}
