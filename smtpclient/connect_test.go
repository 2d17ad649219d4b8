package smtpclient_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

const (
	six     = "[2001:db8::1]:25"
	six2    = "[2001:db8::2]:25"
	four    = "192.0.2.1:25"
	four2   = "192.0.2.2:25"
	nowhere = "192.0.2.9:25"
)

// network is what happens to connections in a bubble.
type network struct {
	server *smtptest.Server
	wait   map[string]time.Duration // before anything happens; forever if less than 0
	refuse map[string]bool
	deaf   bool // doesn't hear that nobody wants the connection any more

	mu      sync.Mutex // guards what follows
	dialled []string
	open    int
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dialled = append(n.dialled, address)
	n.mu.Unlock()
	d, slow := n.wait[address]
	if slow {
		if d < 0 {
			d = 24 * time.Hour
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			if !n.deaf {
				return nil, ctx.Err()
			}
			time.Sleep(time.Second)
			ctx = context.Background()
		}
	}
	if n.refuse[address] {
		return nil, errors.New(address + " refuses")
	}
	conn, err := n.server.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	n.count(1)
	return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { n.count(-1) })}, nil
}

func (n *network) count(by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open += by
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// Addresses are tried one after the other, with a head start; the first to connect wins, and the others are closed.
func TestDialAny(t *testing.T) {
	for _, c := range []struct {
		name      string
		addresses []string
		wait      map[string]time.Duration
		refuse    []string
		deaf      bool
		headStart time.Duration
		want      string // address; an error's text if nobody is reached
		took      time.Duration
		dialled   int
	}{
		{name: "the first is good", addresses: []string{six, four}, want: six, dialled: 1},
		{name: "the first leads nowhere", addresses: []string{six, four}, wait: map[string]time.Duration{six: -1}, want: four, took: 250 * time.Millisecond, dialled: 2},
		{name: "the first fails at once", addresses: []string{six, four}, refuse: []string{six}, want: four, dialled: 2},
		{name: "the first fails late", addresses: []string{six, four, four2}, wait: map[string]time.Duration{six: 300 * time.Millisecond, four: -1}, refuse: []string{six}, want: four2, took: 300 * time.Millisecond, dialled: 3},
		{name: "slow, but faster than the next", addresses: []string{six, four}, wait: map[string]time.Duration{six: 300 * time.Millisecond, four: time.Second}, want: six, took: 300 * time.Millisecond, dialled: 2},
		{name: "both at the same time", addresses: []string{six, four}, wait: map[string]time.Duration{six: 500 * time.Millisecond, four: 250 * time.Millisecond}, want: "", took: 500 * time.Millisecond, dialled: 2},
		{name: "the loser comes late", addresses: []string{six, four}, wait: map[string]time.Duration{six: -1}, deaf: true, want: four, took: 1250 * time.Millisecond, dialled: 2},
		{name: "another head start", addresses: []string{six, four}, wait: map[string]time.Duration{six: -1}, headStart: time.Second, want: four, took: time.Second, dialled: 2},
		{name: "several of each", addresses: []string{six, six2, four}, wait: map[string]time.Duration{six: -1, six2: -1}, want: four, took: 500 * time.Millisecond, dialled: 3},
		{name: "none", addresses: []string{six, four}, refuse: []string{six, four}, want: "connect: " + six + " refuses; " + four + " refuses", dialled: 2},
		{name: "silence", addresses: []string{six, four}, wait: map[string]time.Duration{six: -1, four: -1}, want: "context deadline exceeded", took: 30*time.Second + 250*time.Millisecond, dialled: 2},
		{name: "no address", want: "no address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{server: &smtptest.Server{}, wait: c.wait, refuse: make(map[string]bool), deaf: c.deaf}
				defer n.server.Close()
				for _, a := range c.refuse {
					n.refuse[a] = true
				}
				begin := time.Now()
				s, err := smtpclient.DialAny(t.Context(), c.addresses, &smtpclient.Options{Dial: n.dial, HeadStart: c.headStart})
				if took := time.Since(begin); took != c.took || len(n.dialled) != c.dialled {
					t.Errorf("took %v, dialled %v", took, n.dialled)
				}
				if err != nil {
					if !strings.Contains(err.Error(), c.want) || c.want == "" {
						t.Errorf("error %v", err)
					}
				} else {
					if c.want != "" && s.Addr() != c.want || n.open != 1 {
						t.Errorf("connected to %s, %d connections", s.Addr(), n.open)
					}
					s.Close()
				}
				if n.open != 0 {
					t.Errorf("%d connections are open", n.open)
				}
			})
		})
	}
}

// The end of a context ends all that run, as does a panic, which is the caller's to see.
func TestDialAnyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{server: &smtptest.Server{}, wait: map[string]time.Duration{six: -1, four: -1}}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("time is up"))
		defer cancel()
		begin := time.Now()
		_, err := smtpclient.DialAny(ctx, []string{six, four}, &smtpclient.Options{Dial: n.dial})
		if e, ok := errors.AsType[*smtpclient.Error](err); !ok || e.Phase != smtpclient.PhaseConnect || !strings.Contains(err.Error(), "time is up") || time.Since(begin) != time.Second {
			t.Errorf("error %v", err)
		}
		defer func() {
			if p := recover(); p != "my own" {
				t.Errorf("recovered %v", p)
			}
		}()
		smtpclient.DialAny(t.Context(), []string{six, four}, &smtpclient.Options{Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			if address == four {
				panic("my own")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}})
	})
}

// Row 36: a host that turns us away is asked once more, at its other addresses, those of the other family first.
func TestTurnedAway(t *testing.T) {
	for _, c := range []struct {
		name      string
		addresses []string
		refuse    map[string]string // reply to EHLO on connections to an address
		want      string            // address, or error
		dialled   []string
	}{
		{"no PTR", []string{six, six2, four}, map[string]string{six: "554 5.7.25 no PTR", six2: "554 5.7.25 no PTR"}, four, []string{six, four}},
		{"the other way", []string{four, six}, map[string]string{four: "421 4.7.0 not you"}, six, []string{four, six}},
		{"one family", []string{four, four2}, map[string]string{four: "421 4.7.0 busy"}, four2, []string{four, four2}},
		{"everywhere", []string{six, four, four2}, map[string]string{six: "554 5.7.25 no PTR", four: "554 5.7.1 no", four2: "554 5.7.1 no"}, "5.7.1 no", []string{six, four}},
		{"nobody else there", []string{six, nowhere}, map[string]string{six: "554 5.7.25 no PTR"}, "5.7.25 no PTR", []string{six, nowhere}},
		{"nobody else", []string{six}, map[string]string{six: "554 5.7.25 no PTR"}, "5.7.25 no PTR", []string{six}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex // guards dialled
			var dialled []string
			srv := start(t, &smtptest.Server{Reply: func(cmd smtptest.Command) string {
				mu.Lock()
				defer mu.Unlock()
				if cmd.Verb == "CONNECT" {
					return c.refuse[dialled[cmd.Conn-1]]
				}
				return ""
			}})
			s, err := smtpclient.DialAny(t.Context(), c.addresses, &smtpclient.Options{HeadStart: time.Hour, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				mu.Lock()
				dialled = append(dialled, address)
				mu.Unlock()
				if address == nowhere {
					return nil, errors.New("unreachable")
				}
				return new(net.Dialer).DialContext(ctx, network, srv.Addr)
			}})
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = s.Addr()
				s.Close()
			}
			if !strings.HasSuffix(got, c.want) || !slices.Equal(dialled, c.dialled) {
				t.Errorf("got %s, dialled %v", got, dialled)
			}
		})
	}
}

// Each family has its source address.
func TestLocalAddr(t *testing.T) {
	var from sync.Map
	srv := start(t, &smtptest.Server{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			from.Store(c.RemoteAddr().(*net.TCPAddr).IP.String(), true)
			c.Close()
		}
	}()
	o := &smtpclient.Options{LocalAddr4: netip.MustParseAddr("127.0.0.7"), LocalAddr6: netip.MustParseAddr("2001:db8::7")}
	smtpclient.Dial(t.Context(), l.Addr().String(), o)
	if _, ok := from.Load("127.0.0.7"); !ok {
		t.Error("not from 127.0.0.7")
	}
	if _, err := smtpclient.Dial(t.Context(), "[::1]:25", o); err == nil || !strings.Contains(err.Error(), "2001:db8::7") {
		t.Errorf("error %v", err)
	}
	for _, o := range []*smtpclient.Options{{LocalAddr4: o.LocalAddr6}, {LocalAddr6: o.LocalAddr4}} {
		if _, err := smtpclient.Dial(t.Context(), srv.Addr, o); err == nil || !strings.Contains(err.Error(), "other family") {
			t.Errorf("error %v", err)
		}
	}
}
