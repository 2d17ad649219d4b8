package dnsclient_test

import (
	"context"
	"fmt"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dnsclient"
	"github.com/postroad/postroad/mx/mxtest"
)

// A resolver that asks chosen servers, and counts how often an answer was at hand.
func ExampleClient() {
	zone, err := mxtest.NewServer("example.org. MX 10 mail.example.org.", "mail.example.org. A 127.0.0.2")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer zone.Close()
	asked, kept := make(chan bool, 100), make(chan bool, 100)
	client := &dnsclient.Client{
		Servers: []string{zone.Addr()},
		Observe: func(l dnsclient.Lookup) {
			if l.Cached {
				kept <- true
			} else {
				asked <- true
			}
		},
	}
	router := &mx.Resolver{DNS: client, AllowPrivate: true}
	for range 2 {
		route, err := router.Route(context.Background(), "example.org")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(route.Hosts[0].Name, route.Hosts[0].Addrs)
	}
	fmt.Println(len(asked), "asked,", len(kept), "kept")
	// Output:
	// mail.example.org [127.0.0.2]
	// mail.example.org [127.0.0.2]
	// 3 asked, 3 kept
}
