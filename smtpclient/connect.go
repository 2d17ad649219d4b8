package smtpclient

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// connect returns the first connection that can be had to one of addresses, and which.
func (o *Options) connect(ctx context.Context, addresses []string) (net.Conn, string, error) {
	if len(addresses) == 1 {
		conn, err := o.connectOne(ctx, addresses[0])
		return conn, addresses[0], err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &race{o: o, ctx: ctx, waiting: addresses, finish: make(chan connection, len(addresses))}
	defer r.close()
	defer cancel()
	won, err := r.run()
	if err != nil {
		return nil, addresses[0], err
	}
	return won.conn, won.addr, nil
}

func (o *Options) connectOne(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeouts.Connect)
	defer cancel()
	return o.Dial(ctx, "tcp", address)
}

// dialFrom is the default of Dial.
func (o *Options) dialFrom(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	from := o.LocalAddr6
	if isIPv4(address) {
		from = o.LocalAddr4
	}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d.DialContext(ctx, network, address)
}

// race connects to several addresses, of which the first to connect wins.
type race struct {
	o       *Options
	ctx     context.Context
	waiting []string // addresses not tried yet
	running sync.WaitGroup
	under   int             // how many are running
	finish  chan connection // has room for all
}

// connection is how an attempt to connect has ended.
type connection struct {
	conn     net.Conn
	addr     string
	err      error
	panicked any // what the caller's function has panicked with
}

func (r *race) run() (won connection, err error) {
	next := time.NewTimer(0)
	defer next.Stop()
	for len(r.waiting) > 0 || r.under > 0 {
		select {
		case <-next.C:
		case c := <-r.finish:
			r.under--
			switch {
			case c.panicked != nil:
				panic(c.panicked)
			case c.err == nil:
				return c, nil
			case err == nil:
				err = c.err
			default:
				err = fmt.Errorf("%w; %w", err, c.err)
			}
		}
		if len(r.waiting) > 0 {
			r.start()
			next.Reset(r.o.HeadStart)
		}
	}
	return won, err
}

// start tries the next address.
func (r *race) start() {
	c := connection{addr: r.waiting[0]}
	r.waiting = r.waiting[1:]
	r.under++
	r.running.Go(func() {
		defer func() {
			c.panicked = recover()
			r.finish <- c
		}()
		c.conn, c.err = r.o.connectOne(r.ctx, c.addr)
	})
}

// close waits for all that run, and closes what they have come to.
func (r *race) close() {
	r.running.Wait()
	for {
		select {
		case c := <-r.finish:
			if c.conn != nil {
				c.conn.Close()
			}
		default:
			return
		}
	}
}
