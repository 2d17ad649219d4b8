package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// world is a small internet in memory: hosts with scripted servers, domains that lead to them, and a Sender. Made inside a
// synctest bubble, it lives in the bubble's time.
type world struct {
	t      *testing.T
	queue  queue.Queue
	config delivery.Config
	hosts  map[string]*host // by address
	sender *delivery.Sender
	stop   func() // ends Run and waits for it

	mu     sync.Mutex // guards what follows
	events []delivery.Event
	routes map[string][]mx.Host
}

// host is a server at an address of its own.
type host struct {
	*smtptest.Server
	mx.Host

	mu         sync.Mutex // guards what follows
	open, most int        // connections, as the client sees them
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, queue: memqueue.New(), hosts: make(map[string]*host), routes: make(map[string][]mx.Host)}
	w.config = delivery.Config{
		Hostname: "postroad.example",
		Router:   mx.RouterFunc(w.route),
		Dial:     w.dial,
		Observer: delivery.ObserverFunc(w.observe),
	}
	return w
}

// host starts a server that answers with reply, which may be nil, and names it by the domains that lead to it, each of
// which has it as its last host.
func (w *world) host(name string, reply func(smtptest.Command) string, domains ...string) *host {
	w.t.Helper()
	return w.serve(&smtptest.Server{Name: name, Reply: reply}, domains...)
}

// serve starts a server as host does.
func (w *world) serve(s *smtptest.Server, domains ...string) *host {
	w.t.Helper()
	addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(len(w.hosts) + 1)})
	h := &host{Server: s, Host: mx.Host{Name: s.Name, Addrs: []netip.Addr{addr}, Port: 25}}
	w.t.Cleanup(h.Close)
	w.hosts[addr.String()+":25"] = h
	for _, d := range domains {
		w.routes[d] = append(w.routes[d], h.Host)
	}
	return h
}

// reroute makes hosts those of a domain, in this order.
func (w *world) reroute(domain string, hosts ...*host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.routes[domain] = nil
	for _, h := range hosts {
		w.routes[domain] = append(w.routes[domain], h.Host)
	}
}

func (w *world) route(ctx context.Context, domain string) (*mx.Route, error) {
	w.mu.Lock()
	hosts := w.routes[domain]
	w.mu.Unlock()
	if len(hosts) == 0 {
		return nil, &mx.Error{Domain: domain, Permanent: true, Code: 550, Enhanced: "5.1.2", Err: mx.ErrNoDomain}
	}
	return &mx.Route{Site: hosts[0].Name, Hosts: hosts}, nil
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	h := w.hosts[address]
	if h == nil {
		return nil, errors.New("connection refused")
	}
	conn, err := h.Server.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	h.count(1)
	return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { h.count(-1) })}, nil
}

func (h *host) count(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open += n
	h.most = max(h.most, h.open)
}

// countedConn tells its host when the client closes it.
type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

func (w *world) observe(e delivery.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// start makes the Sender and runs it until the test ends or w.stop is called.
func (w *world) start() {
	w.t.Helper()
	s, err := delivery.New(w.queue, w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.sender = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	w.t.Cleanup(w.stop)
}

// enqueue sends a small message to addresses.
func (w *world) enqueue(to ...string) queue.ID {
	w.t.Helper()
	return w.send(delivery.Message{From: "sender@home.example", To: delivery.To(to...), Body: strings.NewReader("Subject: hello\r\n\r\nHello.\r\n")})
}

func (w *world) send(m delivery.Message) queue.ID {
	w.t.Helper()
	r, err := w.sender.Enqueue(context.Background(), m)
	if err != nil {
		w.t.Fatalf("Enqueue: %v", err)
	}
	return r.ID
}

// settle lets d pass and everything come to rest.
func (w *world) settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// jobs lists all jobs of a message.
func (w *world) jobs(id queue.ID) (jobs []*queue.Job) {
	w.t.Helper()
	for j, err := range w.queue.Jobs(context.Background(), queue.Filter{ID: id}) {
		if err != nil {
			w.t.Fatal(err)
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// states says what has become of each recipient of a message, such as "ann@a.example delivered".
func (w *world) states(id queue.ID) (states []string) {
	w.t.Helper()
	for _, j := range w.jobs(id) {
		for _, r := range j.Recipients {
			states = append(states, r.Address+" "+r.State.String())
		}
	}
	slices.Sort(states)
	return states
}

func (w *world) wantStates(id queue.ID, want ...string) {
	w.t.Helper()
	if got := w.states(id); !slices.Equal(got, want) {
		w.t.Errorf("recipients are %q, want %q", got, want)
	}
}

// attempts says what was observed of each attempt, such as "ann@a.example deferred mx.a.example 450".
func (w *world) attempts() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if a, ok := e.(delivery.Attempted); ok {
			list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s %d", a.Recipient, a.Outcome, a.Reply.Host, a.Reply.Code)))
		}
	}
	return list
}

func (w *world) wantAttempts(want ...string) {
	w.t.Helper()
	if got := w.attempts(); !slices.Equal(got, want) {
		w.t.Errorf("attempts are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// observed returns the events of one type.
func observed[E delivery.Event](w *world) (list []E) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e, ok := e.(E); ok {
			list = append(list, e)
		}
	}
	return list
}

// wantTaken checks how many messages a host has taken, and returns them.
func (h *host) wantTaken(t *testing.T, n int) []smtptest.Message {
	t.Helper()
	m := h.Messages()
	if len(m) != n {
		t.Fatalf("%s has taken %d messages, want %d", h.Host.Name, len(m), n)
	}
	return m
}

func loopback(n byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, n}) }
