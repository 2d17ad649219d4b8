package mtasts_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/mtasts"
	"github.com/postroad/postroad/mx/mxtest"
)

// notes stands for what outlives a process: the Notes of a queue have these two methods, too.
type notes struct{ values sync.Map }

func (n *notes) Get(_ context.Context, key string) ([]byte, error) {
	value, _ := n.values.Load(key)
	b, _ := value.([]byte)
	return b, nil
}

func (n *notes) Set(_ context.Context, key string, value []byte) error {
	n.values.Store(key, value)
	return nil
}

func ExampleRouter() {
	// A domain, with its name server and its policy host.
	zone, err := mxtest.NewServer(
		"example.com. MX 10 mail.example.com.",
		"example.com. MX 20 backup.example.net.",
		"mail.example.com. A 127.0.0.2",
		"backup.example.net. A 127.0.0.3",
		`_mta-sts.example.com. TXT "v=STSv1; id=20261122;"`,
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer zone.Close()
	policyHost := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "version: STSv1\nmode: enforce\nmx: *.example.com\nmax_age: 1209600\n")
	}))
	defer policyHost.Close()

	// The Router of a sender, as it is at its first start, and at the next one.
	store := new(notes)
	route := func() {
		router := &mtasts.Router{
			Inner:     &mx.Resolver{DNS: zone.DNS(), AllowPrivate: true},
			DNS:       zone.DNS(),
			Store:     store,
			Transport: policyHost.Client().Transport,
			Observe: func(e mtasts.Event) {
				if a, ok := e.(mtasts.Applied); ok {
					fmt.Println(a.Domain, "policy:", a.Policy.Mode, "unmatched:", a.Unmatched)
				}
			},
		}
		defer router.Close()
		route, err := router.Route(context.Background(), "example.com")
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, host := range route.Hosts {
			fmt.Println("mail goes to", host.Name, "TLS:", host.TLS)
		}
	}
	route()
	if err := zone.Set("_mta-sts.example.com."); err != nil { // somebody hides the record
		fmt.Println(err)
		return
	}
	policyHost.Close()
	route()
	// Output:
	// example.com policy: enforce unmatched: [backup.example.net]
	// mail goes to mail.example.com TLS: verified
	// example.com policy: enforce unmatched: [backup.example.net]
	// mail goes to mail.example.com TLS: verified
}
