package pgqueue

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

// version is the schema's that this code works with: the number of the latest file in the folder migrations.
const version = 3

// migrate brings the schema up to date. One that is needs no right to change it.
func (q *Queue) migrate(ctx context.Context) error {
	var current int
	err := q.read(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		current, err = q.schemaVersion(ctx, c)
		return err
	})
	switch {
	case err != nil:
		return err
	case current > version:
		return q.newer(current)
	case current == version:
		return nil
	}
	err = q.write(ctx, func(ctx context.Context, a *attempt) error {
		return a.transaction(ctx, func() error { return q.migrateIn(ctx, a.conn) })
	})
	if errors.Is(err, ErrPermission) {
		return fmt.Errorf("%w; open the queue once as a role that may create schema %q", err, q.schema)
	}
	return err
}

func (q *Queue) newer(current int) error {
	return fmt.Errorf("pgqueue: %w: schema %q has version %d, and this program knows up to %d", queue.ErrVersion, q.schema, current, version)
}

// schemaVersion is 0 if there is no schema, or nothing of the queue in it.
func (q *Queue) schemaVersion(ctx context.Context, c *pgx.Conn) (current int, err error) {
	const exists = `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
		WHERE s.nspname = $1::text AND c.relname = 'version')`
	var there bool
	if err := c.QueryRow(ctx, exists, q.schema).Scan(&there); err != nil || !there {
		return 0, err
	}
	err = c.QueryRow(ctx, in(q.schema, "SELECT version FROM postroad.version")).Scan(&current)
	return current, err
}

// migrateIn runs the migrations that are missing in a transaction. The lock is the transaction's, not the session's, so it also
// works by way of a pool of sessions.
func (q *Queue) migrateIn(ctx context.Context, c *pgx.Conn) error {
	if _, err := c.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))", "postroad "+q.schema); err != nil {
		return err
	}
	var exists bool
	err := c.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1::text)", q.schema).Scan(&exists)
	if err != nil {
		return err
	}
	if !exists { // who may use a schema need not have the right to create one
		if _, err := c.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{q.schema}.Sanitize()); err != nil {
			return err
		}
	}
	current, err := q.schemaVersion(ctx, c)
	if err != nil {
		return err
	}
	if current > version {
		return verdict{q.newer(current)}
	}
	for n := current + 1; n <= version; n++ {
		sql, err := files.ReadFile(fmt.Sprintf("migrations/%d.sql", n))
		if err != nil {
			return err
		}
		if _, err := c.Exec(ctx, in(q.schema, string(sql)), pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("migrating schema %q to version %d: %w", q.schema, n, err)
		}
		if _, err := c.Exec(ctx, in(q.schema, "UPDATE postroad.version SET version = $1::integer"), n); err != nil {
			return err
		}
	}
	return nil
}

// resume makes marks go on where they were if the transaction numbers of the server don't, since the queue was restored from
// a dump on another one. Nobody else uses a queue that was just restored.
func (q *Queue) resume(ctx context.Context) error {
	const behind = `SELECT coalesce((SELECT max(mark) FROM postroad.ended) / 1048576, 0)
		>= epoch + pg_snapshot_xmax(pg_current_snapshot())::text::bigint FROM postroad.version`
	const raise = `UPDATE postroad.version SET epoch = 1 + (SELECT max(mark) FROM postroad.ended) / 1048576
		WHERE (SELECT max(mark) FROM postroad.ended) / 1048576 >= epoch + pg_snapshot_xmax(pg_current_snapshot())::text::bigint`
	var raised bool
	err := q.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, in(q.schema, behind)).Scan(&raised)
	})
	if err != nil || !raised {
		return err
	}
	return q.write(ctx, func(ctx context.Context, a *attempt) error {
		a.handed = true
		_, err := a.conn.Exec(ctx, in(q.schema, raise))
		return err
	})
}
