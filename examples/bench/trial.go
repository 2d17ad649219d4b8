package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// kind is when the messages of a trial are enqueued.
type kind int

const (
	whileDelivering  kind = iota
	beforeDelivering      // the rate of deliveries is that of draining a full queue
	acceptOnly            // nothing is delivered
)

// trial sends a load through an outbox of its own.
func (b *bench) trial(ctx context.Context, l load, routes router, k kind) (*figures, error) {
	box, err := openOutbox(b.options, routes, &watch{ledger: b.foreign})
	if err != nil {
		return nil, err
	}
	f, err := b.measure(ctx, box, l, k)
	if trouble := box.watch.report(); trouble != nil {
		fmt.Fprintln(b.warn, "bench:", trouble)
	}
	return f, errors.Join(err, box.close())
}

// measure sends a load through an outbox. What it costs to enqueue a full queue is not in the figures of draining it.
func (b *bench) measure(ctx context.Context, box *outbox, l load, k kind) (*figures, error) {
	if err := b.counter.begin(l.messages); err != nil {
		return nil, err
	}
	resetPeakRSS()
	before, err := box.used()
	if err != nil {
		return nil, err
	}
	enqueueing := time.Now()
	delivering, stop := enqueueing, func() error { return nil }
	if k == whileDelivering {
		stop = box.run(ctx)
	}
	timing, err := l.send(ctx, box.caller(l))
	if k == beforeDelivering && err == nil {
		if before, err = box.used(); err == nil {
			delivering, stop = time.Now(), box.run(ctx)
		}
	}
	if k != acceptOnly && err == nil {
		err = waitFor(ctx, b.counter, l.messages)
	}
	if err = errors.Join(err, stop()); err != nil {
		return nil, err
	}
	after, err := box.used()
	if err != nil {
		return nil, err
	}
	r, err := b.counter.receipts()
	if err != nil {
		return nil, err
	}
	f := &figures{EnqueuePerS: rate(l.messages, timing.ended.Sub(enqueueing)), PeakRSS: figure(peakRSS() / megabyte)}
	f.arrivals(timing, r, delivering)
	if k == acceptOnly {
		f.Lost = 0
	}
	f.costs(before, after, l.messages)
	return f, nil
}

// resetPeakRSS makes peakRSS begin anew, where that can be done.
func resetPeakRSS() { os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }
