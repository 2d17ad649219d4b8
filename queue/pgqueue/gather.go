package pgqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// maxLeaders is how many transactions of gathered work there are at once: while one syncs, another is on its way.
const maxLeaders = 2

// gathering has callers that come while others are being served share a transaction: a statement costs the server more than the
// rows of one message do. Nobody waits for company. Who finds a leader's place free goes at once, with all who wait; the
// others wait for a place, or for a leader that takes them along. What fails together is tried again alone.
type gathering[T any] struct {
	fits     func(list []T) bool                       // whether these may share a transaction
	together func(ctx context.Context, list []T) error // does it for all that it can be done for
	done     func(T) bool                              // whether it was
	alone    func(ctx context.Context, one T) error

	mu      sync.Mutex // guards what follows
	leaders int
	waiting []*guest[T]
}

// guest is a caller.
type guest[T any] struct {
	what T
	turn chan role // receives once; the sender has taken the guest off the list
	err  error     // of the transaction, for one who was taken along
}

type role int

const (
	leader    role = iota // it has a leader's place
	passenger             // its leader's transaction is over
)

// do does what, alone or with others. When ctx ends in a transaction that another one leads, its end is waited for a while.
func (g *gathering[T]) do(ctx context.Context, what T) error {
	me := &guest[T]{what: what, turn: make(chan role, 1)}
	if g.enter(me) {
		return g.lead(ctx, me)
	}
	select {
	case r := <-me.turn:
		return g.play(ctx, me, r)
	case <-ctx.Done():
	}
	if g.leave(me) {
		return fmt.Errorf("pgqueue: %w", ctx.Err())
	}
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case r := <-me.turn:
		return g.play(ctx, me, r)
	case <-patience.C:
		return fmt.Errorf("pgqueue: %w: %w", queue.ErrInDoubt, ctx.Err())
	}
}

func (g *gathering[T]) play(ctx context.Context, me *guest[T], r role) error {
	if r == leader {
		return g.lead(ctx, me)
	}
	return g.settle(ctx, me)
}

// enter takes a leader's place, or else waits.
func (g *gathering[T]) enter(me *guest[T]) (leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leaders < maxLeaders {
		g.leaders++
		return true
	}
	g.waiting = append(g.waiting, me)
	return false
}

// leave no longer waits, and reports whether me did.
func (g *gathering[T]) leave(me *guest[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, me)
	if i < 0 {
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

// lead does what me wants, with all who wait and fit.
func (g *gathering[T]) lead(ctx context.Context, me *guest[T]) error {
	along, list := g.board(me.what)
	if len(along) == 0 {
		defer g.pass()
		return g.alone(ctx, me.what)
	}
	err := g.together(ctx, list)
	g.pass()
	for _, one := range along {
		one.err = err
		one.turn <- passenger
	}
	me.err = err
	return g.settle(ctx, me)
}

// board takes those off the list who go along with one.
func (g *gathering[T]) board(one T) (along []*guest[T], list []T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	list = []T{one}
	for _, next := range g.waiting {
		if !g.fits(append(list, next.what)) {
			break
		}
		list = append(list, next.what)
		along = append(along, next)
	}
	g.waiting = slices.Delete(g.waiting, 0, len(along))
	return along, list
}

// pass gives a leader's place to the first who waits.
func (g *gathering[T]) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.leaders--
		return
	}
	next := g.waiting[0]
	g.waiting = slices.Delete(g.waiting, 0, 1)
	next.turn <- leader
}

// settle says what came of a transaction with others.
func (g *gathering[T]) settle(ctx context.Context, me *guest[T]) error {
	switch {
	case me.err == nil && g.done(me.what):
		return nil
	case errors.Is(me.err, queue.ErrInDoubt), errors.Is(me.err, queue.ErrClosed):
		return me.err
	}
	return g.alone(ctx, me.what)
}
