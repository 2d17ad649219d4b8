package pgqueue

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// tries is how often something is begun that the server undoes for reasons that pass, or that never reached it: after a
	// restart every connection of the pool may be broken.
	tries = 10
	// grace is how long the answer to a change is waited for when the caller's ctx has ended, so that the truth can be told.
	grace = time.Second
)

// read calls f with a connection until it succeeds, or fails for good. f may be called several times.
func (q *Queue) read(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	return q.retried(ctx, func() (handed bool, err error) {
		return false, q.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return f(ctx, c.Conn()) })
	})
}

// attempt is one try at a change.
type attempt struct {
	conn   *pgx.Conn
	handed bool // set before what may commit is sent
}

// write calls f with a connection as read does. When ctx ends the server is asked to stop, and has some time to say which way it
// went; the ctx that f gets ends then.
func (q *Queue) write(ctx context.Context, f func(context.Context, *attempt) error) error {
	return q.retried(ctx, func() (handed bool, err error) {
		c, err := q.pool.Acquire(ctx)
		if err != nil {
			return false, err
		}
		defer c.Release()
		a := &attempt{conn: c.Conn()}
		settling, settled := outlive(ctx, c.Conn())
		err = f(settling, a)
		settled()
		return a.handed, err
	})
}

// outlive returns a ctx that ends some time after ctx. settled is to be called when nothing more is expected from the
// connection; if the server was asked to stop by then, which may happen late and to whoever uses the connection next,
// it is closed.
func outlive(ctx context.Context, c *pgx.Conn) (settling context.Context, settled func()) {
	settling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	over := make(chan struct{})
	asked := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(asked)
		patience, end := context.WithTimeout(settling, grace)
		defer end()
		_ = c.PgConn().CancelRequest(patience) // it may be of no use any more
		select {
		case <-patience.Done():
			cancel()
		case <-over:
		}
	})
	return settling, func() {
		close(over)
		if !stop() {
			<-asked
			dead, end := context.WithCancel(context.Background())
			end()
			_ = c.Close(dead)
		}
		cancel()
	}
}

// transaction runs f between BEGIN and COMMIT, or ROLLBACK if it fails.
func (a *attempt) transaction(ctx context.Context, f func() error) error {
	tx, err := a.conn.Begin(ctx)
	if err != nil {
		return err
	}
	if err := f(); err != nil {
		_ = tx.Rollback(ctx) // if that fails, the connection does
		return err
	}
	a.handed = true
	err = tx.Commit(ctx)
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		a.handed = false
	}
	return err
}

// retried calls f until it succeeds or there is no use in trying again.
func (q *Queue) retried(ctx context.Context, f func() (handed bool, err error)) error {
	for n := 1; ; n++ {
		if err := q.usable(ctx); err != nil {
			return err
		}
		handed, err := f()
		if err == nil {
			return nil
		}
		if n == tries || !again(err) || ctx.Err() != nil {
			return explain(ctx, err, handed)
		}
		select {
		case <-time.After(q.jitter(time.Duration(n) * time.Millisecond)):
		case <-ctx.Done():
		}
	}
}

// broken reports whether err is about the connection.
func broken(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, pgconn.ErrConnClosed)
}
