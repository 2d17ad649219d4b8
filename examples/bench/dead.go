package main

import (
	"context"
	"errors"
	"net/netip"

	"github.com/postroad/postroad/delivery"
)

const (
	liveDomains = 10
	deadDomains = 10_000
)

// deadness compares the rate of live domains with and without dead ones beside them.
type deadness struct {
	WithoutPerS  figure   `json:"without_per_s"`
	WithPerS     figure   `json:"with_per_s"`
	Ratio        figure   `json:"with_of_without"`
	DeadJobs     int      `json:"dead_jobs"`
	DeadAttempts int      `json:"dead_attempts"` // that were made meanwhile
	Without      *figures `json:"without"`
	With         *figures `json:"with"`
}

// dead takes turns: a load for live domains alone, and the same after dead ones have got their messages.
func (b *bench) dead(ctx context.Context) (any, error) {
	l := b.load()
	l.domains = domainNames("live", liveDomains)
	routes := b.routes(l)
	names := domainNames("dead", deadDomains)
	routes.add(names, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 1)) // a port at which nobody listens
	d := deadness{DeadJobs: b.depthOr(1_000_000)}
	var without, with []*figures
	for range b.rounds {
		f, err := b.trial(ctx, l, routes, whileDelivering)
		if err != nil {
			return nil, err
		}
		without = append(without, f)
		if f, d.DeadAttempts, err = b.besideDead(ctx, l, routes, names, d.DeadJobs); err != nil {
			return nil, err
		}
		with = append(with, f)
	}
	d.Without, d.With = median(without, (*figures).delivered), median(with, (*figures).delivered)
	d.WithoutPerS, d.WithPerS = d.Without.DeliveredPerS, d.With.DeliveredPerS
	d.Ratio = d.WithPerS / d.WithoutPerS
	return d, nil
}

// besideDead sends a load with an outbox that has jobs for dead domains, and returns how many attempts these had.
func (b *bench) besideDead(ctx context.Context, l load, routes router, names []string, jobs int) (f *figures, attempts int, err error) {
	box, err := openOutbox(b.options, routes, &watch{ledger: b.foreign})
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, box.close()) }()
	const perMessage = 100 // recipients, each a job of its own
	err = box.fill(ctx, (jobs+perMessage-1)/perMessage, func(i int) delivery.Message {
		var m delivery.Message
		for n := i * perMessage; n < min((i+1)*perMessage, jobs); n++ {
			m.To = append(m.To, delivery.Recipient{Address: "nobody@" + names[n%len(names)]})
		}
		return m
	})
	if err != nil {
		return nil, 0, err
	}
	f, err = b.measure(ctx, box, l, whileDelivering)
	return f, box.watch.troubles, err
}
