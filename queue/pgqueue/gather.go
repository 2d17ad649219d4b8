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

const (
	// maxLeaders is how many transactions of gathered work there are at once.
	maxLeaders = 4
	// crew is how many wait, for each transaction that is under way, when another one begins beside. What a statement costs the
	// server depends little on how few rows it has, so that to begin early with a few costs more than it gains.
	crew = 16
	// impatience is how long one waits at most before another transaction begins, be it alone: those that are under way may be
	// waiting for a lock.
	impatience = 20 * time.Millisecond
	// maxRest bounds the rest after a transaction.
	maxRest = 10 * time.Millisecond
)

// gathering has callers that come while others are being served share a transaction: a statement costs the server more than the
// rows of one message do. Who finds nothing under way goes at once. The others wait for a leader's place, to which they take all
// along who wait, or for a leader that takes them. After a transaction that several have shared there is a rest, for more of them
// to come: it ends when there are enough. What fails together is tried again alone.
type gathering[T any] struct {
	fits     func(list []T) bool                       // whether these may share a transaction
	together func(ctx context.Context, list []T) error // does it for all that it can be done for
	done     func(T) bool                              // whether it was
	alone    func(ctx context.Context, one T) error
	rest     int  // how many times as long as a transaction the rest after it is, and as many callers are enough
	harmless bool // nothing is changed: nobody need wait to hear whether it was done

	mu      sync.Mutex // guards what follows
	leaders int
	waiting []*guest[T] // whoever has waited longest is first
	hurry   *time.Timer // sees to it that nobody waits for long; nil: nobody waited
	resting *time.Timer // its end has a leader's place; nil: there is none
	enough  int         // who wait end the rest
}

// guest is a caller.
type guest[T any] struct {
	ctx   context.Context
	what  T
	since time.Time // it waits
	turn  chan role // receives once; the sender has taken the guest off the list
	party *party[T] // that it belongs to; guarded by the gathering's mu
	err   error     // of the transaction, for one who has shared it
}

// party is who shares a transaction.
type party[T any] struct {
	guests []*guest[T]
	list   []T             // what they want
	ctx    context.Context // of the transaction
	left   int             // of the guests, those whose ctx hasn't ended; guarded by the gathering's mu
	end    func()          // ends the transaction
}

type role int

const (
	leader    role = iota // it has a leader's place
	passenger             // the transaction that it shares is over
)

// do does what, alone or with others. When ctx ends in a transaction with others, its end is waited for a while, unless it is harmless.
func (g *gathering[T]) do(ctx context.Context, what T) error {
	me := &guest[T]{ctx: ctx, what: what, turn: make(chan role, 1)}
	if g.enter(me) {
		return g.lead(me)
	}
	return g.wait(me)
}

// wait waits for me's turn.
func (g *gathering[T]) wait(me *guest[T]) error {
	select {
	case r := <-me.turn:
		return g.play(me, r)
	case <-me.ctx.Done():
	}
	if g.leave(me) {
		return fmt.Errorf("pgqueue: %w", me.ctx.Err())
	}
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case r := <-me.turn:
		return g.play(me, r)
	case <-patience.C:
		return fmt.Errorf("pgqueue: %w: %w", queue.ErrInDoubt, me.ctx.Err())
	}
}

func (g *gathering[T]) play(me *guest[T], r role) error {
	if r == leader {
		return g.lead(me)
	}
	return g.settle(me)
}

// enter takes a leader's place, or else waits.
func (g *gathering[T]) enter(me *guest[T]) (leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leaders == 0 || g.resting == nil && g.leaders < maxLeaders && len(g.waiting) >= g.leaders*crew {
		g.leaders++
		return true
	}
	me.since = time.Now()
	g.waiting = append(g.waiting, me)
	if g.hurry == nil {
		g.hurry = time.AfterFunc(impatience, g.hasten)
	}
	if g.resting != nil && len(g.waiting) >= g.enough {
		g.resume()
	}
	return false
}

// hasten gives a leader's place to whoever has waited for too long, if there is one.
func (g *gathering[T]) hasten() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hurry = nil
	if len(g.waiting) == 0 {
		return
	}
	soon := impatience - time.Since(g.waiting[0].since)
	if soon <= 0 {
		if g.leaders < maxLeaders {
			g.leaders++
			g.appoint()
		}
		soon = impatience
	}
	g.hurry = time.AfterFunc(soon, g.hasten)
}

// leave no longer waits, and reports whether me may go. If its party is under way it is one less of that, and stays for the end unless
// that is harmless; if it is to lead, it does.
func (g *gathering[T]) leave(me *guest[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, me); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return true
	}
	if me.party != nil {
		if me.party.left--; me.party.left == 0 {
			me.party.end()
		}
		return g.harmless
	}
	return false
}

// lead does what me wants, with all who wait and fit. What several share is nobody's in particular: me waits for it like the others.
func (g *gathering[T]) lead(me *guest[T]) error {
	p := g.board(me)
	if len(p.guests) == 1 {
		defer g.pass(1, 0)
		return g.alone(me.ctx, me.what)
	}
	go func() {
		defer p.end()
		began := time.Now()
		err := g.together(p.ctx, p.list)
		g.pass(len(p.guests), time.Since(began))
		for _, one := range p.guests {
			one.err = err
			one.turn <- passenger
		}
	}()
	return g.wait(me)
}

// board takes those off the list who go along with me.
func (g *gathering[T]) board(me *guest[T]) *party[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &party[T]{guests: []*guest[T]{me}, list: []T{me.what}}
	for _, next := range g.waiting {
		if !g.fits(append(p.list, next.what)) {
			break
		}
		p.list = append(p.list, next.what)
		p.guests = append(p.guests, next)
	}
	g.waiting = slices.Delete(g.waiting, 0, len(p.guests)-1)
	for _, one := range p.guests {
		one.party = p
	}
	p.left = len(p.guests)
	p.ctx, p.end = context.WithCancel(context.WithoutCancel(me.ctx))
	return p
}

// pass is called when a transaction of a party is over. A leader's place is then free at once, or after the rest.
func (g *gathering[T]) pass(party int, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if enough := g.rest * party; party > 1 && g.leaders == 1 && len(g.waiting) < enough {
		g.enough = enough
		g.resting = time.AfterFunc(min(time.Duration(g.rest)*took, maxRest), g.wake)
		return
	}
	g.free()
}

// wake ends the rest when it was long enough.
func (g *gathering[T]) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.resting != nil {
		g.resume()
	}
}

// resume ends the rest. It is called with mu locked, as free is.
func (g *gathering[T]) resume() {
	g.resting.Stop()
	g.resting = nil
	g.free()
}

// free gives a leader's place to the first who waits, unless the others that lead will do.
func (g *gathering[T]) free() {
	if len(g.waiting) <= (g.leaders-1)*crew {
		g.leaders--
		return
	}
	g.appoint()
}

// appoint has the first who waits lead. It is called with mu locked.
func (g *gathering[T]) appoint() {
	next := g.waiting[0]
	g.waiting = slices.Delete(g.waiting, 0, 1)
	next.turn <- leader
}

// settle says what came of a transaction with others.
func (g *gathering[T]) settle(me *guest[T]) error {
	switch {
	case me.err == nil && g.done(me.what):
		return nil
	case errors.Is(me.err, queue.ErrInDoubt), errors.Is(me.err, queue.ErrClosed):
		return me.err
	}
	return g.alone(me.ctx, me.what)
}
