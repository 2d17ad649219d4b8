package main

import (
	"context"
	"maps"
	"slices"
)

// modes are the questions that can be asked.
var modes = map[string]func(*bench, context.Context) (any, error){
	"steady":  (*bench).steady,
	"accept":  (*bench).accept,
	"drain":   (*bench).drain,
	"latency": (*bench).latency,
	"dead":    (*bench).dead,
	"depth":   (*bench).deepen,
	"sink":    (*bench).sinkAlone,
	"relay":   (*bench).relay,
	"river":   (*bench).river,
}

func modeNames() []string { return slices.Sorted(maps.Keys(modes)) }

// steady has messages enqueued while they are delivered.
func (b *bench) steady(ctx context.Context) (any, error) {
	l := b.load()
	return b.trial(ctx, l, b.routes(l), whileDelivering)
}

// acceptance compares accepting and delivering with accepting alone, and many domains with one.
type acceptance struct {
	AcceptOnlyPerS        figure   `json:"accept_only_per_s"`
	DeliveredPerS         figure   `json:"delivered_per_s"`
	DeliveredOfAcceptOnly figure   `json:"delivered_of_accept_only"`
	OneDomainPerS         figure   `json:"one_domain_per_s"`
	OneDomainOfDelivered  figure   `json:"one_domain_of_delivered"`
	AcceptOnly            *figures `json:"accept_only"`
	Steady                *figures `json:"steady"`
	OneDomain             *figures `json:"one_domain"`
}

// accept takes turns: accepting alone, accepting and delivering to many domains, and to one.
func (b *bench) accept(ctx context.Context) (any, error) {
	many := b.load()
	one := many
	one.domains = many.domains[:1]
	routes := b.routes(many)
	var accepted, steady, single []*figures
	for range b.rounds {
		for _, turn := range []struct {
			load load
			kind kind
			to   *[]*figures
		}{{many, acceptOnly, &accepted}, {many, whileDelivering, &steady}, {one, whileDelivering, &single}} {
			f, err := b.trial(ctx, turn.load, routes, turn.kind)
			if err != nil {
				return nil, err
			}
			*turn.to = append(*turn.to, f)
		}
	}
	a := acceptance{
		AcceptOnly: median(accepted, (*figures).enqueued),
		Steady:     median(steady, (*figures).delivered),
		OneDomain:  median(single, (*figures).delivered),
	}
	a.AcceptOnlyPerS, a.DeliveredPerS, a.OneDomainPerS = a.AcceptOnly.EnqueuePerS, a.Steady.DeliveredPerS, a.OneDomain.DeliveredPerS
	a.DeliveredOfAcceptOnly = a.DeliveredPerS / a.AcceptOnlyPerS
	a.OneDomainOfDelivered = a.OneDomainPerS / a.DeliveredPerS
	return a, nil
}

// draining compares the rate at which a full queue is drained with that at which messages pass through.
type draining struct {
	SteadyPerS    figure   `json:"steady_per_s"`
	DrainPerS     figure   `json:"drain_per_s"`
	DrainOfSteady figure   `json:"drain_of_steady"`
	Steady        *figures `json:"steady"`
	Drain         *figures `json:"drain"`
}

// drain takes turns: messages that pass through, and a queue that is filled first.
func (b *bench) drain(ctx context.Context) (any, error) {
	l := b.load()
	full := l
	full.messages = b.depthOr(100_000)
	routes := b.routes(l)
	var steady, drained []*figures
	for range b.rounds {
		f, err := b.trial(ctx, l, routes, whileDelivering)
		if err != nil {
			return nil, err
		}
		steady = append(steady, f)
		if f, err = b.trial(ctx, full, routes, beforeDelivering); err != nil {
			return nil, err
		}
		drained = append(drained, f)
	}
	d := draining{Steady: median(steady, (*figures).delivered), Drain: median(drained, (*figures).delivered)}
	d.SteadyPerS, d.DrainPerS = d.Steady.DeliveredPerS, d.Drain.DeliveredPerS
	d.DrainOfSteady = d.DrainPerS / d.SteadyPerS
	return d, nil
}

func (b *bench) depthOr(n int) int {
	if b.depth > 0 {
		return b.depth
	}
	return n
}
