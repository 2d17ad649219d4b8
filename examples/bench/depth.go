package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/postroad/postroad/delivery"
)

const waitingDomains = 10_000

// depths is what messages that wait cost those that don't.
type depths struct {
	RateSpread    figure  `json:"rate_spread"`      // the lowest rate over the highest
	MemoryGrownMB figure  `json:"memory_growth_mb"` // from the least to the most
	Curve         []depth `json:"curve"`
}

type depth struct {
	Waiting       int    `json:"waiting"`
	EnqueuePerS   figure `json:"enqueue_per_s"`
	DeliveredPerS figure `json:"delivered_per_s"`
	EndToEndP50   figure `json:"e2e_p50_ms"`
	CPU           figure `json:"cpu_us_per_msg"`
	PeakAnonymous figure `json:"peak_anon_mb"` // memory that is no file's
	Lost          int    `json:"lost"`
	Duplicates    int    `json:"duplicates"`
}

// deepen sends the load again and again, while more and more messages for other domains wait for tomorrow.
func (b *bench) deepen(ctx context.Context) (_ any, err error) {
	l := b.load()
	box, err := openOutbox(b.options, b.routes(l), &watch{ledger: b.foreign})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, box.close()) }()
	names := domainNames("waiting", waitingDomains)
	tomorrow := time.Now().Add(24 * time.Hour)
	var curve []depth
	most := b.depthOr(1_000_000)
	for waiting, next := 0, min(1000, most); waiting < most; next = min(10*next, most) {
		err := box.fill(ctx, next-waiting, func(i int) delivery.Message {
			return delivery.Message{To: delivery.To("later@" + names[(waiting+i)%len(names)]), SendAt: tomorrow}
		})
		if err != nil {
			return nil, err
		}
		waiting = next
		debug.FreeOSMemory() // what filling has left behind
		peak := watchPeak(ctx, func() (float64, float64) { return 0, anonymous() })
		f, err := b.measure(ctx, box, l, whileDelivering)
		_, anonymous := peak()
		if err != nil {
			return nil, err
		}
		curve = append(curve, depth{
			Waiting:     waiting,
			EnqueuePerS: f.EnqueuePerS, DeliveredPerS: f.DeliveredPerS, EndToEndP50: f.EndToEndP50,
			CPU: f.CPU, PeakAnonymous: figure(anonymous / megabyte),
			Lost: f.Lost, Duplicates: f.Duplicates,
		})
	}
	if trouble := box.watch.report(); trouble != nil {
		fmt.Fprintln(b.warn, "bench:", trouble)
	}
	return spread(curve), nil
}

// spread says how far the points of a curve lie apart.
func spread(curve []depth) depths {
	first := curve[0]
	slowest, fastest, least, most := first.DeliveredPerS, first.DeliveredPerS, first.PeakAnonymous, first.PeakAnonymous
	for _, d := range curve {
		slowest, fastest = min(slowest, d.DeliveredPerS), max(fastest, d.DeliveredPerS)
		least, most = min(least, d.PeakAnonymous), max(most, d.PeakAnonymous)
	}
	return depths{RateSpread: slowest / fastest, MemoryGrownMB: most - least, Curve: curve}
}
