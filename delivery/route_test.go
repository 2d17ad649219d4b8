package delivery_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// via reroutes the jobs of a message that isn't due yet, as the host program will, and makes it due.
func (w *world) via(id queue.ID, to string) {
	w.t.Helper()
	for _, j := range w.jobs(id) {
		c, err := w.queue.Claim(context.Background(), queue.ClaimRequest{Now: time.Now(), Lease: time.Minute, Limit: 1, Keys: []queue.Key{j.Key}})
		if err != nil || len(c.Jobs) != 1 {
			w.t.Fatal(c, err)
		}
		j = c.Jobs[0]
		j.Via, j.Due = to, time.Now()
		if err := w.queue.Commit(context.Background(), j); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestRerouted(t *testing.T) {
	for to, taken := range map[string]bool{
		"b.example":                    true,
		"[192.0.2.1]":                  true,
		"smtp://192.0.2.1":             true,
		"smtp://192.0.2.1:25":          true,
		"smtp://192.0.2.1:26":          false,
		"smtps://nobody@":              false,
		"nowhere.example":              false,
		"smtps://192.0.2.1:25":         false,
		"gopher://b.example/00/letter": false,
	} {
		t.Run(to, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				other := w.host("mx.b.example", nil, "b.example", "[192.0.2.1]")
				own := w.host("mx.a.example", nil, "a.example")
				w.config.Retry = retry.Schedule{time.Minute}
				w.start()
				w.stop()
				id := w.send(delivery.Message{To: delivery.To("ann@a.example"), SendAt: time.Now().Add(time.Hour)})
				w.via(id, to)
				w.start()
				w.settle(10 * time.Minute)
				own.wantTaken(t, 0)
				if taken {
					w.wantStates(id, "ann@a.example delivered")
					other.wantTaken(t, 1)
				} else {
					w.wantPending(id) // a mistake of the host program's bounces nothing
				}
			})
		})
	}
}

// A worker that does one job after the other for a domain asks for its way once a minute.
func TestRouteIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var asked atomic.Int64
		w.config.Router = mx.RouterFunc(func(ctx context.Context, domain string) (*mx.Route, error) {
			asked.Add(1)
			return w.route(ctx, domain)
		})
		h := w.host("mx.a.example", nil, "a.example")
		w.one()
		w.start()
		for range 30 { // 90 seconds on one connection
			w.enqueue("ann@a.example")
			w.settle(3 * time.Second)
		}
		h.wantTaken(t, 30)
		h.wantConnections(t, 1)
		if n := asked.Load(); n != 2 {
			t.Errorf("the router was asked %d times", n)
		}
	})
}

func TestSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		w.config.Sources = []delivery.Source{{Name: "news", Hostname: "news.example"}, {Name: "orders"}}
		w.config.Source = func(m *queue.Message, domain string) string { return m.Tenant }
		w.one()
		w.start()
		for _, tenant := range []string{"orders", "news", "orders", "unknown"} {
			w.send(delivery.Message{Tenant: tenant, To: delivery.To("ann@a.example")})
			w.settle(time.Second)
		}
		var names []string
		for _, m := range h.wantTaken(t, 4) {
			names = append(names, m.Helo)
		}
		for i, want := range []string{"postroad.example", "news.example", "postroad.example", "news.example"} {
			if names[i] != want {
				t.Errorf("the names said are %q", names)
				break
			}
		}
		h.wantConnections(t, 4)
	})
}

// The local address of a source is what connections come from.
func TestSourceAddress(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a loopback network with more than one address")
	}
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	relay, err := mx.ParseRelay("smtp://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w.config.Router, w.config.Dial = relay, nil
	w.config.Sources = []delivery.Source{{Addr4: loopback(7)}}
	w.start()
	w.enqueue("ann@a.example")
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(); from != loopback(7) {
		t.Errorf("the connection comes from %v", from)
	}
	w.stop()
}

func TestConfigNamesTheField(t *testing.T) {
	for field, config := range map[string]delivery.Config{
		"Config.Shaping: shaping: Policy.Default.Connections": {Shaping: shaping.Policy{Default: shaping.Limits{Connections: -1}}},
		"Config.Sources has two":                              {Sources: []delivery.Source{{Name: "a"}, {Name: "a"}}},
		"Config.Sources[0].Hostname":                          {Sources: []delivery.Source{{Hostname: "a b"}}},
		"Config.Sources[0].Addr4":                             {Sources: []delivery.Source{{Addr4: netip.MustParseAddr("::1")}}},
		"Config.Sources[0].Addr6":                             {Sources: []delivery.Source{{Addr6: netip.MustParseAddr("127.0.0.1")}}},
		"Config.DelayAfter":                                   {DelayAfter: -1},
	} {
		_, err := delivery.New(newWorld(t).queue, config)
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("the error is %v, want one about %s", err, field)
		}
	}
}

// A route that leads nowhere is asked for again.
func TestFailedRouteIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		var asked atomic.Int64
		w.config.Router = mx.RouterFunc(func(ctx context.Context, domain string) (*mx.Route, error) {
			if asked.Add(1) == 2 {
				return nil, errors.New("no answer")
			}
			return w.route(ctx, domain)
		})
		w.config.Retry = retry.Schedule{time.Minute}
		w.one()
		w.start()
		w.each(61*time.Second, "ann@a.example", "ben@a.example", "cat@a.example")
		w.settle(time.Minute)
		h.wantTaken(t, 3)
	})
}
