package mx_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/mxtest"
)

func ExampleResolver() {
	zone, err := mxtest.NewServer(
		"example.org. MX 20 backup.example.net.",
		"example.org. MX 10 mail.example.org.",
		"mail.example.org. A 127.0.0.2",
		"backup.example.net. A 127.0.0.3",
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer zone.Close()
	resolver := &mx.Resolver{DNS: zone.DNS(), AllowPrivate: true, Port: 2525}
	route, err := resolver.Route(context.Background(), "example.org")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, host := range route.Hosts {
		fmt.Println(host.Name, host.Addrs, host.Port)
	}
	// Output:
	// mail.example.org [127.0.0.2] 2525
	// backup.example.net [127.0.0.3] 2525
}

func ExampleParseRelay() {
	relay, err := mx.ParseRelay("smtps://shop:s3cret@192.0.2.25")
	if err != nil {
		fmt.Println(err)
		return
	}
	route, err := relay.Route(context.Background(), "example.org")
	if err != nil {
		fmt.Println(err)
		return
	}
	host := route.Hosts[0]
	fmt.Println(host.Name, host.Port, host.TLS, host.Auth)
	// Output: 192.0.2.25 465 verified shop:***
}

// Mail for one partner goes over a relay, all other mail direct.
func ExamplePerDomain() {
	router := &mx.PerDomain{
		Domains: map[string]mx.Router{
			"partner.example":  &mx.Relay{Host: "192.0.2.25", TLS: mx.Required},
			".partner.example": &mx.Relay{Host: "192.0.2.26"},
		},
		Default: &mx.Resolver{Hostname: "mail.example.com"},
	}
	for _, domain := range []string{"partner.example", "shop.partner.example"} {
		route, err := router.Route(context.Background(), domain)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(domain, route.Hosts[0].Addrs, route.Hosts[0].TLS)
	}
	// Output:
	// partner.example [192.0.2.25] required
	// shop.partner.example [192.0.2.26] opportunistic
}

// A router around another demands TLS of every host.
func ExampleRouterFunc() {
	var inner mx.Router = &mx.Relay{Host: "192.0.2.25"}
	router := mx.RouterFunc(func(ctx context.Context, domain string) (*mx.Route, error) {
		route, err := inner.Route(ctx, domain)
		if err != nil {
			return nil, err
		}
		strict := &mx.Route{Site: route.Site} // a copy, since routes may be shared
		for _, host := range route.Hosts {
			host.TLS = mx.Required
			strict.Hosts = append(strict.Hosts, host)
		}
		return strict, nil
	})
	route, err := router.Route(context.Background(), "example.org")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(route.Hosts[0].Addrs[0] == netip.MustParseAddr("192.0.2.25"), route.Hosts[0].TLS)
	// Output: true required
}
