package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/queue/pgqueue"
)

// database is the address of a database and the name of a schema there.
type database struct{ url, schema string }

func (d *database) String() string { return "schema " + d.schema }

func (d *database) name(as string) string {
	if as == "" {
		return d.schema
	}
	return d.schema + "_" + as
}

func (d *database) exists(ctx context.Context, as string) (there bool, err error) {
	err = d.do(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", d.name(as)).Scan(&there)
	})
	return there, err
}

// rename locks the jobs, so that nobody enqueues or claims any while it is found out whether they are at rest.
func (d *database) rename(ctx context.Context, from, to string) error {
	const limit = 63 // octets of a name; PostgreSQL cuts off what is more
	if len(d.name(to)) > limit {
		return fmt.Errorf("%s: with %q behind it, the name has more than %d octets", d, "_"+to, limit)
	}
	if err := d.free(ctx, from); err != nil {
		return err
	}
	schema := pgx.Identifier{d.name(from)}.Sanitize()
	return d.do(ctx, func(c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "LOCK TABLE "+schema+".jobs IN ACCESS EXCLUSIVE MODE"); err != nil {
				return err
			}
			if err := d.atRest(ctx, tx, schema); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "ALTER SCHEMA "+schema+" RENAME TO "+pgx.Identifier{d.name(to)}.Sanitize())
			return err
		})
	})
}

// atRest is an error if there are jobs that are leased, or Senders that may yet lease some.
func (d *database) atRest(ctx context.Context, tx pgx.Tx, schema string) error {
	var leased, holders int
	var until *time.Time
	err := tx.QueryRow(ctx, "SELECT count(*), max(leased), (SELECT count(*) FROM "+schema+".holders WHERE until > clock_timestamp() AND holder <> $1) FROM "+
		schema+".jobs WHERE leased > clock_timestamp()", self).Scan(&leased, &until, &holders)
	switch {
	case err != nil:
		return err
	case holders > 0:
		return fmt.Errorf("%s: %d Senders were at work a moment ago: %w", d, holders, errInUse)
	case leased > 0:
		return fmt.Errorf("%s: %d jobs are leased, the last until %s: %w", d, leased, until.Local().Format(time.DateTime), errInUse)
	}
	return nil
}

// self is what this program is called among those who share a queue.
const self = "pgmove"

// free frees what a process had leased that has been silent for its time.
func (d *database) free(ctx context.Context, as string) error {
	q, err := d.open(ctx, as)
	if err != nil {
		return err
	}
	defer q.Close()
	_, err = q.(*openedSchema).Beat(ctx, self, time.Millisecond, nil)
	return err
}

func (d *database) do(ctx context.Context, f func(*pgx.Conn) error) error {
	c, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	return f(c)
}

func (d *database) open(ctx context.Context, as string) (opened, error) {
	pool, err := pgxpool.New(ctx, d.url)
	if err != nil {
		return nil, err
	}
	q, err := pgqueue.Open(ctx, pool, pgqueue.Options{Schema: d.name(as), PollOnly: true, Retention: -1})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &openedSchema{q, pool}, nil
}

// openedSchema is a queue with a pool of its own.
type openedSchema struct {
	*pgqueue.Queue
	pool *pgxpool.Pool
}

func (q *openedSchema) Close() error {
	err := q.Queue.Close()
	q.pool.Close()
	return err
}
