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
}

// pgxSession is a connection or a transaction of pgx.
type pgxSession struct{ queryer }

type queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func (s pgxSession) each(ctx context.Context, statement string, args []any, row func(scan func(...any) error) error) error {
	rows, err := s.Query(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return eachRow(rows, row)
}

// sqlSession is a transaction of database/sql.
type sqlSession struct{ *sql.Tx }

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
