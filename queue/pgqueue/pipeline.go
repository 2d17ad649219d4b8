package pgqueue

import (
	"context"
	"errors"
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
	s.lendBuffer(values)
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

const (
	// keptBuffer bounds what is kept of ours for each connection.
	keptBuffer = 512 << 10
	// overhead is more than the requests of a statement take beside its parameters.
	overhead = 1 << 10
)

// buffer is what a connection's requests are encoded in, again and again. To pgx it is a message of no octets.
type buffer struct{ octets []byte }

// Frontend implements [pgproto3.FrontendMessage].
func (*buffer) Frontend() {}

// Encode implements [pgproto3.FrontendMessage]: what follows is appended to what it returns. pgx lets go of that when it was
// sent; if it didn't, it would still be this connection's alone.
func (b *buffer) Encode(dst []byte) ([]byte, error) { return append(b.octets[:0], dst...), nil }

// Decode implements [pgproto3.FrontendMessage].
func (*buffer) Decode([]byte) error { return errors.ErrUnsupported }

// bufferKey is where a connection's buffer is in its custom data.
const bufferKey = "github.com/postroad/postroad/queue/pgqueue"

// lendBuffer has a statement with these parameters encoded in the connection's buffer. pgx would make one for each statement: that was
// a third of all garbage that a Sender makes.
func (s ownSession) lendBuffer(values [][]byte) {
	size := overhead
	for _, v := range values {
		size += len(v)
	}
	if size > keptBuffer {
		return
	}
	data := s.PgConn().CustomData()
	b, ok := data[bufferKey].(*buffer)
	if !ok {
		b = &buffer{}
		data[bufferKey] = b
	}
	if cap(b.octets) < size {
		b.octets = make([]byte, 0, min(size+size/4, keptBuffer))
	}
	s.PgConn().Frontend().Send(b)
}
