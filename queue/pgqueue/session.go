package pgqueue

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
)

// session is where statements run that may be part of the host program's own transaction. Their parameters are text, numbers
// and octets, which every driver can carry.
type session interface {
	// each runs a statement and calls row for each row of the result.
	each(ctx context.Context, statement string, args []any, row func(scan func(...any) error) error) error
	// arrays reports whether lists are sent as arrays; see encodeRows.
	arrays() bool
}

// pgxSession is a connection or a transaction of pgx.
type pgxSession struct{ queryer }

type queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func (pgxSession) arrays() bool { return false }

func (s pgxSession) each(ctx context.Context, statement string, args []any, row func(scan func(...any) error) error) error {
	rows, err := s.Query(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return eachRow(rows, row)
}

// ownSession is a connection that only the queue uses. Whatever the tables look like when a statement is planned, they may look
// quite different when it runs: a queue is empty at one moment and has a million jobs at the next. So the server is told, for
// a transaction at a time, to plan for the indexes and to keep the plan: to plan a claim takes longer than to carry it out.
type ownSession struct {
	*pgx.Conn
	prepares bool
}

// prepares reports whether statements are prepared, once for each connection, and nobody wants to see that they run.
func prepares(c *pgx.ConnConfig) bool {
	return c.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement && c.Tracer == nil
}

func (q *Queue) own(c *pgx.Conn) ownSession { return ownSession{c, q.prepares} }

func (s ownSession) arrays() bool { return s.prepares }

const settings = `SELECT set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('jit', 'off', true)`

func (s ownSession) each(ctx context.Context, statement string, args []any, row func(scan func(...any) error) error) error {
	if s.prepares {
		if values, formats, ok := raw(args); ok {
			return s.prepared(ctx, statement, values, formats, row)
		}
	}
	b := &pgx.Batch{}
	b.Queue(statement, args...)
	return s.batch(ctx, b, func(rows pgx.Rows) error { return eachRow(rows, row) })
}

// batch runs statements in one round trip and one transaction, unless one is open, and calls each of read for the result of one.
func (s ownSession) batch(ctx context.Context, b *pgx.Batch, read ...func(pgx.Rows) error) (err error) {
	set := &pgx.QueuedQuery{SQL: settings}
	results := s.SendBatch(ctx, &pgx.Batch{QueuedQueries: append([]*pgx.QueuedQuery{set}, b.QueuedQueries...)})
	defer func() {
		if closed := results.Close(); err == nil {
			err = closed
		}
	}()
	if _, err := results.Exec(); err != nil {
		return err
	}
	for _, f := range read {
		rows, err := results.Query()
		if err != nil {
			return err
		}
		err = f(rows)
		rows.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// sqlSession is a transaction of database/sql.
type sqlSession struct{ *sql.Tx }

func (sqlSession) arrays() bool { return false }

func (s sqlSession) each(ctx context.Context, statement string, args []any, row func(scan func(...any) error) error) error {
	rows, err := s.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return eachRow(rows, row)
}

// result is what pgx.Rows and sql.Rows have in common.
type result interface {
	Next() bool
	Scan(...any) error
	Err() error
}

func eachRow(rows result, row func(scan func(...any) error) error) error {
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// one reads a result that has a single row, and reports whether it has.
func one(ctx context.Context, s session, statement string, args []any, to ...any) (found bool, err error) {
	err = s.each(ctx, statement, args, func(scan func(...any) error) error {
		found = true
		return scan(to...)
	})
	return found, err
}
