package pgqueue

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Where a statement takes a list, it says ":rows(type, $1)". The list crosses to the server as JSON, which every driver and every mode
// of the protocol can carry, or, in the queue's own sessions, as an array of that type in the binary format: to read JSON takes
// the server as long as to store what it says of a job.

// record is a row of a list. It has a type of its own in the schema, with the same columns in the same order.
type record interface {
	// record appends the values of the columns.
	record(a *array) error
}

// encodeRows is a parameter that has rows of a type, as a session takes it.
func encodeRows[R record](s session, of uint32, rows []R) (any, error) {
	if !s.arrays() {
		return jsonText(rows)
	}
	a := newArray(of)
	for _, r := range rows {
		if err := a.row(r); err != nil {
			return nil, verdict{fmt.Errorf("pgqueue: %w", err)}
		}
	}
	return a.octets, nil
}

// types are the numbers that the server has given to the types of rows.
type types struct{ message, job, outcome uint32 }

func (q *Queue) lookUpTypes(ctx context.Context) error {
	const numbers = "SELECT 'postroad.given_message'::regtype::oid, 'postroad.given_job'::regtype::oid, 'postroad.outcome'::regtype::oid"
	return q.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, in(q.schema, numbers)).Scan(&q.types.message, &q.types.job, &q.types.outcome)
	})
}

// jsonText is v as JSON.
func jsonText(v any) (string, error) {
	var text strings.Builder
	if err := json.NewEncoder(&text).Encode(v); err != nil {
		return "", verdict{fmt.Errorf("pgqueue: %w", err)}
	}
	return text.String(), nil
}

// array is an array of a composite type in the format of PostgreSQL's functions array_recv and record_recv: each value has its length
// before it, and the type's number where the server wants to see that both sides mean the same.
type array struct {
	octets []byte
	n      uint32 // rows
	fields uint32 // of the row that is being appended
}

const (
	arrayCount  = 12 // where the number of rows is
	arrayHeader = 20
)

func newArray(of uint32) *array {
	a := &array{octets: make([]byte, 0, 1024)}
	for _, v := range [arrayHeader / 4]uint32{1, 0, of, 0, 1} { // dimensions, nulls, type, rows, first index
		a.uint32(v)
	}
	return a
}

func (a *array) uint32(v uint32) { a.octets = binary.BigEndian.AppendUint32(a.octets, v) }

// row appends a row.
func (a *array) row(r record) error {
	start := len(a.octets)
	a.fields = 0
	a.uint32(0) // its length
	a.uint32(0) // its fields
	if err := r.record(a); err != nil {
		return err
	}
	binary.BigEndian.PutUint32(a.octets[start:], uint32(len(a.octets)-start-4))
	binary.BigEndian.PutUint32(a.octets[start+4:], a.fields)
	a.n++
	binary.BigEndian.PutUint32(a.octets[arrayCount:], a.n)
	return nil
}

// value begins a value of so many octets, below 0 for null.
func (a *array) value(of uint32, size int) {
	a.fields++
	a.uint32(of)
	a.uint32(uint32(int32(size)))
}

func (a *array) null(of uint32) { a.value(of, -1) }

func (a *array) text(s string) {
	a.value(pgtype.TextOID, len(s))
	a.octets = append(a.octets, s...)
}

func (a *array) bytea(b []byte) {
	a.value(pgtype.ByteaOID, len(b))
	a.octets = append(a.octets, b...)
}

func (a *array) uuid(b [16]byte) {
	a.value(pgtype.UUIDOID, len(b))
	a.octets = append(a.octets, b[:]...)
}

func (a *array) smallint(n int16) {
	a.value(pgtype.Int2OID, 2)
	a.octets = binary.BigEndian.AppendUint16(a.octets, uint16(n))
}

func (a *array) integer(n int) {
	a.value(pgtype.Int4OID, 4)
	a.uint32(uint32(int32(n)))
}

func (a *array) bigint(n int64) {
	a.value(pgtype.Int8OID, 8)
	a.octets = binary.BigEndian.AppendUint64(a.octets, uint64(n))
}

func (a *array) boolean(b bool) {
	a.value(pgtype.BoolOID, 1)
	a.bool(b)
}

func (a *array) bool(b bool) {
	var v byte
	if b {
		v = 1
	}
	a.octets = append(a.octets, v)
}

// timestamptz appends a time, null for nil.
func (a *array) timestamptz(t *time.Time) {
	if t == nil {
		a.null(pgtype.TimestamptzOID)
		return
	}
	a.value(pgtype.TimestamptzOID, 8)
	const epoch = 946684800 // the year 2000
	a.octets = binary.BigEndian.AppendUint64(a.octets, uint64((t.Unix()-epoch)*1e6+int64(t.Nanosecond()/1e3)))
}

// jsonb appends v as JSON.
func (a *array) jsonb(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	a.value(pgtype.JSONBOID, 1+len(b))
	a.octets = append(append(a.octets, 1), b...) // the version of the format
	return nil
}

// bigints appends an array, null for nil.
func (a *array) bigints(list []int) {
	const size = 4 + 8
	a.values(pgtype.Int8ArrayOID, pgtype.Int8OID, size, len(list), list == nil)
	for _, n := range list {
		a.uint32(8)
		a.octets = binary.BigEndian.AppendUint64(a.octets, uint64(n))
	}
}

// booleans appends an array, null for nil.
func (a *array) booleans(list []bool) {
	const size = 4 + 1
	a.values(pgtype.BoolArrayOID, pgtype.BoolOID, size, len(list), list == nil)
	for _, b := range list {
		a.uint32(1)
		a.bool(b)
	}
}

// values begins an array of n values that take so many octets each.
func (a *array) values(array, of uint32, size, n int, null bool) {
	if null {
		a.null(array)
		return
	}
	a.value(array, arrayHeader+n*size)
	for _, v := range [arrayHeader / 4]uint32{1, 0, of, uint32(n), 1} {
		a.uint32(v)
	}
}
