package pgqueue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// drawAtOnce is how many tokens are drawn when there are too few: a round trip is for many messages.
const drawAtOnce = 1000

// tokens are numbers of the sequence of tokens that nobody has had, for jobs that are about to be leased. Each is used for one job,
// once, so that a lease can be ended by its token whether or not it was made. Who has received the list may take of it and draw
// more, and sends it back.
type tokens chan []int64

func newTokens() tokens {
	t := make(tokens, 1)
	t <- nil
	return t
}

// draw takes n tokens.
func (q *Queue) draw(ctx context.Context, n int) ([]int64, error) {
	if n == 0 {
		return nil, nil
	}
	var list []int64
	select {
	case list = <-q.tokens:
	case <-ctx.Done():
		return nil, fmt.Errorf("pgqueue: %w", ctx.Err())
	}
	defer func() { q.tokens <- list }()
	if len(list) < n {
		more, err := q.drawMore(ctx, max(n, drawAtOnce))
		if err != nil {
			return nil, err
		}
		list = more
	}
	drawn := list[:n:n]
	list = list[n:]
	return drawn, nil
}

func (q *Queue) drawMore(ctx context.Context, n int) (list []int64, err error) {
	err = q.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		list = make([]int64, 0, n)
		return q.own(c).each(ctx, q.sql["tokens"], []any{n}, func(scan func(...any) error) error {
			var t int64
			err := scan(&t)
			list = append(list, t)
			return err
		})
	})
	return list, err
}

// putBack gives tokens back that no job has had, unless somebody is drawing: who has what it wanted doesn't wait for that.
func (q *Queue) putBack(unused []int64) {
	select {
	case list := <-q.tokens:
		q.tokens <- append(list, unused...)
	default:
	}
}

const (
	// untoldTime is how long a lease is ended again and again that may have been made: the server may still be about to commit it.
	untoldTime = time.Minute
	// maxUntold bounds how many these are, and untoldAtOnce how many of them one statement looks for.
	maxUntold    = 10_000
	untoldAtOnce = 1000
)

// untold are the tokens of leases of which it isn't known whether they were made. Nobody has them, so each Beat ends those that it
// finds, as if they had never been: without a lapse. That is safe since no other lease has the token.
type untold struct {
	mu   sync.Mutex
	list []untoldToken // oldest first
}

type untoldToken struct {
	token int64
	since time.Time
}

func (u *untold) add(tokens []int64, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, t := range tokens {
		u.list = append(u.list, untoldToken{t, now})
	}
	u.list = u.list[max(0, len(u.list)-maxUntold):]
}

// current returns the tokens of what is still to be ended.
func (u *untold) current(now time.Time) (tokens []int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.list) > 0 && now.Sub(u.list[0].since) > untoldTime {
		u.list = u.list[1:]
	}
	for _, t := range u.list {
		tokens = append(tokens, t.token)
	}
	return tokens
}

// endUntold ends the leases that nobody was told of.
func (q *Queue) endUntold(ctx context.Context, s session) error {
	for some := range slices.Chunk(q.untold.current(time.Now()), untoldAtOnce) {
		if err := q.change(ctx, s, "release", some); err != nil {
			return err
		}
	}
	return nil
}
