package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// bench is what all measurements share: the sink, and who counts what arrives there.
type bench struct {
	*options
	warn    io.Writer
	addr    netip.AddrPort // of the sink
	sinkPID int            // its process, 0 if that isn't ours
	counter counter
	foreign *ledger // the counter, if the sink doesn't count
	close   func()
}

// newBench finds the sink, or starts one.
func newBench(o *options, warn io.Writer) (*bench, error) {
	b := &bench{options: o, warn: warn, close: func() {}}
	addr := o.sink
	if addr == "" {
		var err error
		if addr, b.sinkPID, b.close, err = startSink(); err != nil {
			return nil, err
		}
	}
	if err := b.connect(addr); err != nil {
		b.close()
		return nil, fmt.Errorf("the sink at %s: %w", addr, err)
	}
	if o.queue == ownPostgres {
		url, stop, err := ownDatabase(o.dir)
		if err != nil {
			b.close()
			return nil, err
		}
		o.queue = url
		b.alsoClose(stop)
	}
	return b, nil
}

// alsoClose has close call f first.
func (b *bench) alsoClose(f func()) {
	after := b.close
	b.close = func() {
		f()
		after()
	}
}

func (b *bench) connect(addr string) error {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return err
	}
	b.addr = tcp.AddrPort()
	b.addr = netip.AddrPortFrom(b.addr.Addr().Unmap(), b.addr.Port())
	r, err := dialSink(addr)
	switch {
	case errors.Is(err, errForeign) && b.options.target == "":
		b.foreign = new(ledger)
		b.counter = b.foreign
	case err != nil:
		return err
	default:
		b.counter = r
		b.alsoClose(r.close)
	}
	return nil
}

// load is the load that the command line describes.
func (b *bench) load() load {
	return load{messages: b.messages, size: b.size, domains: domainNames("domain", b.domains), callers: b.concurrency}
}

// routes leads the domains of a load to the sink.
func (b *bench) routes(l load) router { return router{}.add(l.domains, b.addr) }
