package mtasts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/mx"
)

// world has a Router and what it depends on, all in memory: an inner router, a DNS, policy hosts.
type world struct {
	*Router
	t *testing.T

	mu     sync.Mutex // guards what follows
	hosts  []string   // of every route
	txt    map[string][]string
	silent map[string]bool // domains about which the DNS fails
	serve  map[string]http.RoundTripper
	asked  map[string]int // how often a domain's policy host was
	events []Event
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, hosts: []string{"mx1.example.org", "mx2.example.org"},
		txt: make(map[string][]string), silent: make(map[string]bool), serve: make(map[string]http.RoundTripper), asked: make(map[string]int),
	}
	w.Router = w.start(nil)
	return w
}

// start makes another Router in the same world.
func (w *world) start(s Store) *Router {
	return &Router{
		Inner: mx.RouterFunc(w.inner), DNS: lookupFunc(w.lookup), Transport: tripFunc(w.roundTrip), Store: s,
		Observe: func(e Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
}

type lookupFunc func(context.Context, string, mx.Type) (mx.Answer, error)

func (f lookupFunc) Lookup(ctx context.Context, name string, t mx.Type) (mx.Answer, error) {
	return f(ctx, name, t)
}

type tripFunc func(*http.Request) (*http.Response, error)

func (f tripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *world) inner(context.Context, string) (*mx.Route, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return routeTo(w.hosts...), nil
}

func routeTo(names ...string) *mx.Route {
	route := &mx.Route{Site: "site"}
	for i, name := range names {
		route.Hosts = append(route.Hosts, mx.Host{
			Name: name, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Port: 25, Preference: uint16(i),
		})
	}
	return route
}

func (w *world) lookup(_ context.Context, name string, t mx.Type) (mx.Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	domain, ok := strings.CutPrefix(name, "_mta-sts.")
	if !ok || t != mx.TypeTXT {
		w.t.Errorf("asked the DNS for %s %v", name, t)
	}
	if w.silent[domain] {
		return mx.Answer{}, errors.New("no answer")
	}
	if w.txt[domain] == nil {
		return mx.Answer{Rcode: mx.NXDomain}, nil
	}
	return mx.Answer{Records: records(w.txt[domain]...)}, nil
}

func (w *world) roundTrip(r *http.Request) (*http.Response, error) {
	domain := strings.TrimPrefix(r.URL.Host, "mta-sts.")
	if got, want := r.URL.String(), "https://mta-sts."+domain+"/.well-known/mta-sts.txt"; got != want {
		w.t.Errorf("fetched %s, want %s", got, want)
	}
	w.mu.Lock()
	w.asked[domain]++
	serve := w.serve[domain]
	w.mu.Unlock()
	if serve == nil {
		return nil, errors.New("connection refused")
	}
	return serve.RoundTrip(r)
}

// announce gives a domain a TXT record with an id, and a policy host.
func (w *world) announce(domain, id string, serve http.RoundTripper) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.txt[domain] = []string{"v=STSv1; id=" + id + ";"}
	w.serve[domain] = serve
}

// withdraw takes the TXT record away.
func (w *world) withdraw(domain string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.txt, domain)
}

func (w *world) failDNS(domain string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent[domain] = true
}

// fetches returns how often a domain's policy host was asked since the last call.
func (w *world) fetches(domain string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.asked[domain]
	w.asked[domain] = 0
	return n
}

// told returns the events since the last call.
func (w *world) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, e := range w.events {
		switch e := e.(type) {
		case Applied:
			list = append(list, fmt.Sprintf("%s: %v, unmatched %v", e.Domain, e.Policy.Mode, e.Unmatched))
		case Failed:
			list = append(list, fmt.Sprintf("%s: %v", e.Domain, e.Err))
		}
	}
	w.events = nil
	return strings.Join(list, "; ")
}

// expect checks what a Router says about a domain.
func (w *world) expect(r mx.Router, domain, want string) {
	w.t.Helper()
	if got := outcome(r.Route(w.t.Context(), domain)); got != want {
		w.t.Errorf("%s: %s, want %s", domain, got, want)
	}
}

// The outcomes that most tests are about.
const (
	open     = "mx1.example.org opportunistic, mx2.example.org opportunistic"
	enforced = "mx1.example.org verified"
)

func outcome(route *mx.Route, err error) string {
	var e *mx.Error
	switch {
	case errors.As(err, &e):
		if e.Permanent || errors.Is(err, ErrUnmatched) != (e.Enhanced == "4.7.5") {
			return "an error that is wrong: " + err.Error()
		}
		return fmt.Sprint(e.Code, " ", e.Enhanced)
	case err != nil:
		return err.Error()
	}
	var list []string
	for _, host := range route.Hosts {
		list = append(list, fmt.Sprint(host.Name, " ", host.TLS))
	}
	return strings.Join(list, ", ")
}

// file serves a policy.
func file(mode Mode, age time.Duration, patterns ...string) http.RoundTripper {
	p := &Policy{mode, age, patterns}
	return tripFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader(p.String())),
		}, nil
	})
}

// hang serves nothing, until the caller has had enough.
var hang = tripFunc(func(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
})

// slow serves what another one does, later.
func slow(d time.Duration, serve http.RoundTripper) http.RoundTripper {
	return tripFunc(func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return serve.RoundTrip(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	})
}

// disk is a Store that outlives a Router, and fails when told to.
type disk struct {
	memory
	broken, full atomic.Bool
}

func (d *disk) Get(ctx context.Context, key string) ([]byte, error) {
	if d.broken.Load() {
		return nil, errors.New("disk is broken")
	}
	return d.memory.Get(ctx, key)
}

func (d *disk) Set(ctx context.Context, key string, value []byte) error {
	if d.full.Load() {
		return errors.New("disk is full")
	}
	return d.memory.Set(ctx, key, value)
}
