package main

import (
	"context"
	"time"
)

// submission is what one run through a mail server comes to. What the server doesn't tell is null.
type submission struct {
	figures
	PeakAnonymous figure `json:"peak_anon_mb"` // memory of the server that is no file's
}

// target sends the load to a mail server by SMTP, which sends it on to the sink.
func (b *bench) target(ctx context.Context) (any, error) {
	return b.submit(ctx, b.options.target, family(b.pid), b.load())
}

// sinkAlone sends the load straight to the sink: what it takes is what nothing else can exceed.
func (b *bench) sinkAlone(ctx context.Context) (any, error) {
	if b.foreign != nil {
		return nil, errForeign
	}
	return b.submit(ctx, b.addr.String(), family(b.sinkPID), b.load())
}

// submit sends a load to a server, whose processes are known unless they are 0.
func (b *bench) submit(ctx context.Context, addr string, server family, l load) (*submission, error) {
	if err := b.counter.begin(l.messages); err != nil {
		return nil, err
	}
	used, peak := server.cpuTime(), server.peak(ctx)
	began := time.Now()
	timing, err := l.send(ctx, func() (caller, error) { return dialServer(ctx, addr, l) })
	if err == nil {
		err = waitFor(ctx, b.counter, l.messages)
	}
	all, anonymous := peak()
	if err != nil {
		return nil, err
	}
	if err := settle(ctx); err != nil {
		return nil, err
	}
	r, err := b.counter.receipts()
	if err != nil {
		return nil, err
	}
	f := &submission{figures: figures{
		EnqueuePerS: rate(l.messages, timing.ended.Sub(began)),
		CPU:         unknown, PeakRSS: unknown, Syncs: unknown, Written: unknown, Allocs: unknown,
	}, PeakAnonymous: unknown}
	f.arrivals(timing, r, began)
	if server != 0 {
		f.CPU = figure(float64(server.cpuTime()-used) / float64(time.Microsecond) / float64(l.messages))
		f.PeakRSS, f.PeakAnonymous = figure(all/megabyte), figure(anonymous/megabyte)
	}
	return f, nil
}

// settle gives a server the time to finish its work on messages that have arrived, and to send one twice.
func settle(ctx context.Context) error {
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
	}
	return ctx.Err()
}
