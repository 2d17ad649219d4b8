package pgqueue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

// drawAtOnce is how many tokens are drawn when there are too few: a round trip is for many messages.
const drawAtOnce = 1000

// tokens are numbers of the sequence of tokens that nobody has had, for jobs that are leased as they are stored. Each is used for one
// job, once, so that a lease can be ended by its token whether or not it was made; what isn't used is lost. Who has received the list
// may take of it and draw more, and sends it back.
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

const (
	// untoldTime is how long a lease is ended again and again that may have been made: the server may still be about to commit it.
	untoldTime = time.Minute
	// maxUntold bounds how many these are.
	maxUntold = 10_000
)

// untold are leases of which it isn't known whether they were made. Nobody has them, so each Beat ends those that it finds, as if
// they had never been: without a lapse. That is safe since no other lease has the token.
type untold struct {
	mu   sync.Mutex
	list []untoldLease // oldest first
}

type untoldLease struct {
	ID    queue.ID    `json:"id"`
	N     int         `json:"n"`
	Token queue.Token `json:"token"`
	since time.Time
}

// add remembers the leases of jobs.
func (u *untold) add(jobs []*queue.Job, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, j := range jobs {
		u.list = append(u.list, untoldLease{j.Key.ID, j.Key.N, j.Token, now})
	}
	u.list = u.list[max(0, len(u.list)-maxUntold):]
}

// current returns what is still to be ended.
func (u *untold) current(now time.Time) []untoldLease {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.list) > 0 && now.Sub(u.list[0].since) > untoldTime {
		u.list = u.list[1:]
	}
	return u.list[:len(u.list):len(u.list)]
}

// endUntold ends the leases that nobody was told of.
func (q *Queue) endUntold(ctx context.Context, s session) error {
	list := q.untold.current(time.Now())
	if len(list) == 0 {
		return nil
	}
	return q.change(ctx, s, "release", list)
}
