package pgqueue

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// prepared does what each does for a statement whose parameters are text and octets. pgx.Batch would copy the bodies of messages once
// more: that was a quarter of all garbage that a Sender makes.
func (s ownSession) prepared(ctx context.Context, statement string, values [][]byte, formats []int16, row func(scan func(...any) error) error) (err error) {
	set, err := s.Prepare(ctx, settings, settings)
	if err != nil {
		return err
	}
	prepared, err := s.Prepare(ctx, statement, statement)
	if err != nil {
		return err
	}
	p := s.PgConn().StartPipeline(ctx)
	defer func() {
		if closed := p.Close(); err == nil {
			err = closed
		}
	}()
	p.SendQueryStatement(set, nil, nil, nil)
	p.SendQueryStatement(prepared, values, formats, nil)
	if err := p.Sync(); err != nil {
		return err
	}
	for _, row := range []func(func(...any) error) error{ignore, row} {
		results, err := p.GetResults()
		if err != nil {
			return err
		}
		reader, ok := results.(*pgconn.ResultReader)
		if !ok {
			return fmt.Errorf("%T is no result", results)
		}
		rows := pgx.RowsFromResultReader(s.TypeMap(), reader)
		if err := eachRow(rows, row); err != nil {
			return err
		}
	}
	return nil
}

func ignore(func(...any) error) error { return nil }

// raw is args as they cross to the server, if they are text and octets.
func raw(args []any) (values [][]byte, formats []int16, ok bool) {
	for _, a := range args {
		switch a := a.(type) {
		case string:
			values, formats = append(values, []byte(a)), append(formats, pgx.TextFormatCode)
		case []byte:
			values, formats = append(values, a), append(formats, pgx.BinaryFormatCode)
		default:
			return nil, nil, false
		}
	}
	return values, formats, true
}
