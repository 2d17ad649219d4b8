package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxMessages bounds what a sink is asked to count.
const maxMessages = 20_000_000

// patience is how long nothing may arrive before the messages that are missing count as lost.
const patience = 30 * time.Second

// receipts say what has arrived.
type receipts struct {
	first      []int64 // when each message arrived first, in nanoseconds of Unix time; 0 if it never did
	duplicates int     // messages that arrived again
}

// counter counts messages where they arrive: a sink in another process, or a [ledger] that hears of deliveries.
type counter interface {
	// begin forgets everything and expects the messages with numbers below n.
	begin(n int) error
	// wait waits until n different messages have arrived, until limit is over, or until ctx ends. It returns how many have.
	wait(ctx context.Context, n int, limit time.Duration) (int, error)
	// receipts says what has arrived since begin.
	receipts() (receipts, error)
}

// waitFor waits until n messages have arrived. It gives up, without an error, when none has for a while.
func waitFor(ctx context.Context, c counter, n int) error {
	for before := -1; ; {
		arrived, err := c.wait(ctx, n, patience)
		if err != nil || arrived >= n || arrived == before {
			return err
		}
		before = arrived
	}
}

// ledger notes which messages have arrived.
type ledger struct {
	mu         sync.Mutex // guards what follows
	first      []int64
	arrived    int
	duplicates int
	goal       int           // what somebody waits for; 0 if nobody does
	reached    chan struct{} // closed when arrived gets to goal
}

func (l *ledger) begin(n int) error {
	if n < 0 || n > maxMessages {
		return fmt.Errorf("%d is not from 0 to %d messages", n, maxMessages)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first, l.arrived, l.duplicates, l.goal = make([]int64, n), 0, 0, 0
	return nil
}

// note notes that a message has arrived. One without a number that is expected is nobody's.
func (l *ledger) note(number int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case number < 0 || number >= len(l.first):
	case l.first[number] != 0:
		l.duplicates++
	default:
		l.first[number] = now.UnixNano()
		if l.arrived++; l.arrived == l.goal {
			close(l.reached)
		}
	}
}

// wait is for one caller at a time.
func (l *ledger) wait(ctx context.Context, n int, limit time.Duration) (int, error) {
	l.mu.Lock()
	if l.arrived < n {
		l.goal, l.reached = n, make(chan struct{})
		reached := l.reached
		l.mu.Unlock()
		select {
		case <-reached:
		case <-time.After(limit):
		case <-ctx.Done():
		}
		l.mu.Lock()
		l.goal = 0
	}
	defer l.mu.Unlock()
	return l.arrived, ctx.Err()
}

func (l *ledger) receipts() (receipts, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		return receipts{}, errors.New("nothing was expected")
	}
	return receipts{first: append([]int64(nil), l.first...), duplicates: l.duplicates}, nil
}
