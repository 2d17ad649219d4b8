package delivery_test

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/retry"
)

// dnsFunc is an mx.DNS made of a function.
type dnsFunc func(name string, t mx.Type) mx.Answer

func (f dnsFunc) Lookup(_ context.Context, name string, t mx.Type) (mx.Answer, error) {
	return f(name, t), nil
}

// A name server that says something else each time leads nobody inside: what is dialled are the addresses that the route was
// checked for, and no name is dialled that someone would have to look up again.
func TestDialsWhatWasChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		var dialled []string
		answers := []string{"8.8.8.8", "127.0.0.1", "10.0.0.1", "8.8.4.4", "169.254.169.254"}
		w.config.Router = &mx.Resolver{DNS: dnsFunc(func(name string, t mx.Type) mx.Answer {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case t == mx.TypeMX:
				return mx.Answer{Records: []mx.Record{{Host: "mx.a.example"}}}
			case t == mx.TypeAAAA || len(answers) == 0:
				return mx.Answer{}
			}
			next := netip.MustParseAddr(answers[0])
			answers = answers[1:]
			return mx.Answer{Records: []mx.Record{{Addr: next}}}
		})}
		w.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			dialled = append(dialled, address)
			mu.Unlock()
			return w.dial(ctx, network, address)
		}
		w.config.Retry = retry.Schedule{time.Minute}
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Hour)
		if want := []string{"8.8.8.8:25", "8.8.4.4:25"}; !slices.Equal(dialled, want) || len(answers) > 0 {
			t.Errorf("dialled %v, want %v; answers left: %v", dialled, want, answers)
		}
	})
}

// A domain that doesn't exist at one attempt and does at the next gets its mail; one that still doesn't, doesn't.
func TestDomainMissingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil)
		var mu sync.Mutex
		asked := map[string]int{}
		w.config.Router = &mx.Resolver{AllowPrivate: true, DNS: dnsFunc(func(name string, t mx.Type) mx.Answer {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case t == mx.TypeMX:
				if asked[name]++; asked[name] == 1 || name == "gone.example" {
					return mx.Answer{Rcode: mx.NXDomain}
				}
				return mx.Answer{Records: []mx.Record{{Host: "mx.a.example"}}}
			case t == mx.TypeA:
				return mx.Answer{Records: []mx.Record{{Addr: h.Addrs[0]}}}
			}
			return mx.Answer{}
		})}
		w.start()
		there, gone := w.enqueue("ann@there.example"), w.enqueue("bob@gone.example")
		w.settle(30 * time.Second)
		w.wantStates(there, "ann@there.example pending")
		w.wantStates(gone, "bob@gone.example pending")
		w.settle(5 * time.Minute)
		w.wantStates(there, "ann@there.example delivered")
		w.wantStates(gone, "bob@gone.example bounced")
	})
}
