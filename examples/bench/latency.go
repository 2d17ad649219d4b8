package main

import (
	"context"
	"errors"
	"time"
)

// lateness compares the way of a message through an idle system with what the disk alone takes.
type lateness struct {
	EndToEndP50 figure `json:"e2e_p50_ms"`    // from the call of Enqueue to the arrival
	CommitP50   figure `json:"commit_p50_ms"` // of an Enqueue while nothing is delivered
	BeyondP50   figure `json:"beyond_commit_p50_ms"`
	EndToEndP99 figure `json:"e2e_p99_ms"`
	CommitP99   figure `json:"commit_p99_ms"`
	Lost        int    `json:"lost"`
	Duplicates  int    `json:"duplicates"`
}

// latency sends one message at a time, in turns with one that is only accepted. Each waits for the end of the one before. The
// first message to each domain warms the connection up, and is not counted.
func (b *bench) latency(ctx context.Context) (any, error) {
	l := b.load()
	warm := len(l.domains)
	l.messages += warm
	delivered := make(chan struct{}, 1)
	w := &watch{ledger: b.foreign, delivered: delivered}
	box, err := openOutbox(b.options, b.routes(l), w)
	if err != nil {
		return nil, err
	}
	defer box.close()
	bare, err := openOutbox(b.options, b.routes(l), new(watch))
	if err != nil {
		return nil, err
	}
	defer bare.close()
	if err := b.counter.begin(l.messages); err != nil {
		return nil, err
	}
	stop := box.run(ctx)
	defer stop()

	l.callers = 1
	commits := make([]time.Duration, 0, l.messages)
	t, err := l.send(ctx, func() (caller, error) {
		return callerFunc(func(ctx context.Context, number int, text letter) error {
			if _, err := box.sender.Enqueue(ctx, l.message(number, text)); err != nil {
				return err
			}
			select {
			case <-delivered:
			case <-time.After(patience):
				return errors.New("was not delivered")
			case <-ctx.Done():
				return ctx.Err()
			}
			began := time.Now()
			_, err := bare.sender.Enqueue(ctx, l.message(number, text))
			commits = append(commits, time.Since(began))
			time.Sleep(time.Millisecond) // until everything is at rest
			return err
		}), nil
	})
	if err = errors.Join(err, stop(), w.report()); err != nil {
		return nil, err
	}
	r, err := b.counter.receipts()
	if err != nil {
		return nil, err
	}
	var f figures
	f.arrivals(&timing{called: t.called[warm:]}, receipts{first: r.first[warm:], duplicates: r.duplicates}, time.Now())
	late := lateness{
		EndToEndP50: f.EndToEndP50, EndToEndP99: f.EndToEndP99,
		CommitP50: percentile(commits[warm:], 50), CommitP99: percentile(commits[warm:], 99),
		Lost: f.Lost, Duplicates: f.Duplicates,
	}
	late.BeyondP50 = late.EndToEndP50 - late.CommitP50
	return late, nil
}

// callerFunc is a caller that is a function.
type callerFunc func(ctx context.Context, number int, text letter) error

func (f callerFunc) send(ctx context.Context, number int, text letter) error {
	return f(ctx, number, text)
}

func (callerFunc) close() {}
