package smtptest

import (
	"context"
	"net"
	"sync"
	"time"
)

// Proxy is a long way to a server: what either side says arrives Delay later, however much it is.
type Proxy struct {
	// To connects to the server, such as [Server.Dial]. Defaults to that of a zero [net.Dialer].
	To    func(ctx context.Context, network, address string) (net.Conn, error)
	Delay time.Duration

	relays sync.WaitGroup

	mu      sync.Mutex // guards what follows
	said    bool       // the client has said something since the last flight
	flights int
	conns   []net.Conn
}

// Dial connects through the proxy. It has the form of smtpclient.Options.Dial.
func (p *Proxy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	to := p.To
	if to == nil {
		to = new(net.Dialer).DialContext
	}
	server, err := to(ctx, network, address)
	if err != nil {
		return nil, err
	}
	p.clientSaid() // hello, so to speak
	client, here := pipe()
	p.mu.Lock()
	p.conns = append(p.conns, here, server)
	p.mu.Unlock()
	p.relay(server, here, p.clientSaid, func() {})
	p.relay(here, server, func() {}, p.clientHears)
	return client, nil
}

// Close closes all connections and waits until nothing of the proxy runs any more.
func (p *Proxy) Close() {
	p.mu.Lock()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.relays.Wait()
}

// Flights returns how often the server has answered, whatever came together counting once. To wait for that many is what a
// dialogue costs.
func (p *Proxy) Flights() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flights
}

func (p *Proxy) clientSaid() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = true
}

func (p *Proxy) clientHears() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.said {
		p.flights++
	}
	p.said = false
}

// late is something that was said, and when it is to arrive.
type late struct {
	text []byte
	at   time.Time
}

// relay brings what src says to dst, until either is closed. Then it closes both.
func (p *Proxy) relay(dst, src net.Conn, said, heard func()) {
	way := make(chan late, 4096)
	p.relays.Go(func() {
		defer close(way)
		for {
			text := make([]byte, 32<<10)
			n, err := src.Read(text)
			if n > 0 {
				said()
				way <- late{text[:n], time.Now().Add(p.Delay)}
			}
			if err != nil {
				return
			}
		}
	})
	p.relays.Go(func() {
		for l := range way {
			time.Sleep(time.Until(l.at))
			heard()
			if _, err := dst.Write(l.text); err != nil {
				src.Close()
			}
		}
		dst.Close()
	})
}
