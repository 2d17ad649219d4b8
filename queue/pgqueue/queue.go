package pgqueue

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/queue"
)

// Options are what [Open] may be told. The zero value is a good choice.
type Options struct {
	// Schema is where all the queue's tables are; several queues of one database have each their own. It is 1 to 63
	// letters, digits, '_' and '-', and doesn't begin with a digit or "pg_". Defaults to "postroad".
	Schema string
	// Retention is how long a finished message is kept to recognise its ID and to be listed, without its body. It is measured
	// by the database's clock from the time the message finished. Defaults to 8 days: whoever asks a week later
	// gets an answer, whatever the hour. A negative value keeps messages forever.
	Retention time.Duration
	// Poll is how often [Queue.Wake] receives even if nobody has said that there is something new, give or take a half. A
	// Sender that is woken looks at the first job of each lane. Defaults to 5 seconds, or to 1 second with PollOnly.
	Poll time.Duration
	// PollOnly does without LISTEN and NOTIFY.
	PollOnly bool
	// Listen is how to connect for LISTEN. A pool of sessions such as PgBouncer in transaction mode must be bypassed, or
	// PollOnly set. Defaults to what the pool connects with.
	Listen *pgx.ConnConfig
}

func (o Options) withDefaults(pool *pgxpool.Pool) Options {
	o.Schema = cmp.Or(o.Schema, "postroad")
	o.Retention = cmp.Or(o.Retention, 8*24*time.Hour)
	if o.PollOnly {
		o.Poll = cmp.Or(o.Poll, time.Second)
	}
	o.Poll = cmp.Or(o.Poll, 5*time.Second)
	if o.Listen == nil {
		o.Listen = pool.Config().ConnConfig
	}
	return o
}

// Queue is a queue in a PostgreSQL database, which any number of processes may have open. It implements [queue.Queue],
// [queue.Bulk], [queue.Leaser], [queue.Waker], [queue.Notes], [queue.Depths] and [queue.Shared].
type Queue struct {
	pool     *pgxpool.Pool
	prepares bool // see ownSession
	schema   string
	options  Options
	sql      statements // with lists as JSON
	arrays   statements // with lists as arrays of types
	types    types

	name   string // of this process among those that send notifications
	life   context.Context
	end    context.CancelFunc
	beside sync.WaitGroup // goroutines that Close waits for
	mu     sync.Mutex     // guards closing against beginning one
	wakers wakers
	news   news
	tidy   tidiness
	fresh  fresh
	tokens tokens
	untold untold

	rooms   sync.Pool // of *[]byte: to read bodies by
	buffers sync.Pool // of *[]byte: bodies on their way to the server

	arrivals gathering[*prepared] // messages to be stored
	outcomes gathering[*outcome]  // jobs to be stored as they are now
	readings gathering[*reader]   // bodies to be opened
}

var (
	_ queue.Queue  = (*Queue)(nil)
	_ queue.Bulk   = (*Queue)(nil)
	_ queue.Leaser = (*Queue)(nil)
	_ queue.Waker  = (*Queue)(nil)
	_ queue.Notes  = (*Queue)(nil)
	_ queue.Depths = (*Queue)(nil)
	_ queue.Shared = (*Queue)(nil)
)

// Open opens the queue in a schema of the database that pool connects to, and creates the schema or brings it up to date if
// that is necessary and the pool's role may. A schema of a newer version is [queue.ErrVersion], a database that doesn't write
// [ErrReadOnly]. The pool stays the caller's, who closes it after the queue.
func Open(ctx context.Context, pool *pgxpool.Pool, o Options) (*Queue, error) {
	o = o.withDefaults(pool)
	if err := checkSchema(o.Schema); err != nil {
		return nil, err
	}
	sql, err := loadStatements(o.Schema, rowsOfJSON)
	if err != nil {
		return nil, fmt.Errorf("pgqueue: %w", err)
	}
	arrays, err := loadStatements(o.Schema, rowsOfArray)
	if err != nil {
		return nil, fmt.Errorf("pgqueue: %w", err)
	}
	q := &Queue{pool: pool, prepares: prepares(pool.Config().ConnConfig), schema: o.Schema, options: o, sql: sql, arrays: arrays, name: rand.Text(), tokens: newTokens()}
	q.rooms.New = func() any { return new(make([]byte, 0, smallBody)) }
	q.buffers.New = func() any { return new([]byte) }
	q.arrivals = gathering[*prepared]{
		fits: fitTogether, together: q.enqueueTogether, alone: q.enqueue, done: func(p *prepared) bool { return p.added },
		rest: 1, // callers wait for it
	}
	q.outcomes = gathering[*outcome]{
		fits: commitFit, together: q.commitTogether, alone: q.commit, done: func(o *outcome) bool { return o.stored },
		rest: 3, // nobody does
	}
	q.readings = gathering[*reader]{
		fits: openFit, together: q.openTogether, alone: q.open, done: func(r *reader) bool { return r.found },
		harmless: true,
	}
	q.life, q.end = context.WithCancel(context.Background())
	for _, step := range []func(context.Context) error{q.checkServer, q.migrate, q.resume, q.lookUpTypes} {
		if err := step(ctx); err != nil {
			q.end()
			return nil, err
		}
	}
	return q, nil
}

// oldest is the first version of PostgreSQL that has what [Filter.Ended] needs.
const oldest = 130000

// checkServer refuses what can't work.
func (q *Queue) checkServer(ctx context.Context) error {
	var server int
	var readOnly string
	err := q.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT current_setting('server_version_num')::integer, current_setting('transaction_read_only')`).
			Scan(&server, &readOnly)
	})
	switch {
	case err != nil:
		return err
	case server < oldest:
		return fmt.Errorf("pgqueue: PostgreSQL %d is too old; 13 or later is needed", server/10000)
	case readOnly == "on":
		return fmt.Errorf("%w: a standby, or default_transaction_read_only is on", ErrReadOnly)
	}
	return nil
}

// Close makes all methods return [queue.ErrClosed], and waits for what goes on beside. It leaves the pool open, and returns nil.
func (q *Queue) Close() error {
	q.mu.Lock()
	q.end()
	q.mu.Unlock()
	q.beside.Wait()
	return nil
}

// usable is what every method begins with.
func (q *Queue) usable(ctx context.Context) error {
	if q.life.Err() != nil {
		return fmt.Errorf("pgqueue: %w", queue.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("pgqueue: %w", err)
	}
	return nil
}

// goBeside runs f in a goroutine that Close waits for; f ends when q.life does. It reports whether the queue is still open.
func (q *Queue) goBeside(f func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.life.Err() != nil {
		return false
	}
	q.beside.Go(f)
	return true
}

// jitter is d, give or take a half.
func (q *Queue) jitter(d time.Duration) time.Duration {
	return d/2 + mathrand.N(d+1)
}
