package shaping

import "time"

// Limits bound what is done to one site at once. A field that is zero leaves that limit to whatever lies below: see [Policy].
type Limits struct {
	// Connections is how many there are at most at once; what a site gets within that is found by trying. Defaults to 20.
	Connections int
	// Start is how many connections to begin with, and no more than Connections. Defaults to 2.
	Start int
	// Messages is how many go over one connection. Defaults to 100.
	Messages int
	// Lifetime is how old a connection may be when a message begins on it. A bound by time, beside that by count, keeps
	// the slowest host of a site from collecting all connections. Defaults to 300 seconds.
	Lifetime time.Duration
	// Idle is how long a connection may wait for its next message. Defaults to 5 seconds.
	Idle time.Duration
	// Rest is how long a site whose connections fail is left alone, at first; it doubles each time, up to fifty times as much.
	// Defaults to 1 minute.
	Rest time.Duration
	// MessageRate and ConnectionRate are how often a message, or a connection, may begin. Default to no limit. A rate that
	// lies below is lifted by one that is too high to be reached.
	MessageRate, ConnectionRate Rate
}

// defaults is what lies below everything else.
var defaults = Limits{Connections: 20, Start: 2, Messages: 100, Lifetime: 300 * time.Second, Idle: 5 * time.Second, Rest: time.Minute}

// Over lays l over base: fields that l leaves zero are those of base.
func (l Limits) Over(base Limits) Limits {
	over(&l.Connections, base.Connections)
	over(&l.Start, base.Start)
	over(&l.Messages, base.Messages)
	over(&l.Lifetime, base.Lifetime)
	over(&l.Idle, base.Idle)
	over(&l.Rest, base.Rest)
	over(&l.MessageRate, base.MessageRate)
	over(&l.ConnectionRate, base.ConnectionRate)
	return l
}

func over[T comparable](field *T, base T) {
	var zero T
	if *field == zero {
		*field = base
	}
}

// Slowed returns l as it is while o is in force: the lower of both. l has all its fields, as from [Policy.Limits]. An Order
// that isn't [Slow] changes nothing.
func (l Limits) Slowed(o Order) Limits {
	if o.Action != Slow {
		return l
	}
	if o.Connections > 0 {
		l.Connections = min(l.Connections, o.Connections)
		l.Start = min(l.Start, l.Connections)
	}
	if o.Messages > 0 {
		l.Messages = min(l.Messages, o.Messages)
	}
	if o.Rate.slower(l.MessageRate) {
		l.MessageRate = o.Rate
	}
	return l
}

// check returns an error that names the field that makes no sense.
func (l Limits) check() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Connections", int64(l.Connections)}, {"Start", int64(l.Start)}, {"Messages", int64(l.Messages)},
		{"Lifetime", int64(l.Lifetime)}, {"Idle", int64(l.Idle)}, {"Rest", int64(l.Rest)},
	} {
		if f.value < 0 {
			return within(f.name, problem("is negative"))
		}
	}
	if err := within("MessageRate", l.MessageRate.check()); err != nil {
		return err
	}
	return within("ConnectionRate", l.ConnectionRate.check())
}
