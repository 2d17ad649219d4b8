package pgqueue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/postroad/postroad/queue"
)

// Errors that say what the database wants. They come wrapped, with what the server said. After all of them nothing was stored.
var (
	// ErrUnavailable means that the server can't be reached, is starting or stopping, or has no connection to spare. Trying later
	// helps.
	ErrUnavailable = errors.New("pgqueue: the database is not available")
	// ErrReadOnly means that the server doesn't write: it is a standby, or default_transaction_read_only is on. Connect to the
	// primary (target_session_attrs=read-write).
	ErrReadOnly = errors.New("pgqueue: the database is read-only")
	// ErrTimeout means that the server's statement_timeout or lock_timeout ended a statement. Raise it for this role, or see
	// what holds the locks.
	ErrTimeout = errors.New("pgqueue: the database's own timeout was too short")
	// ErrPermission means that the role may not do what is asked of it; see the package's documentation for the rights that it
	// needs.
	ErrPermission = errors.New("pgqueue: the role has not the right")
	// ErrSchema means that the schema isn't there, or isn't what Open has left: open the queue again.
	ErrSchema = errors.New("pgqueue: the schema is not the queue's")
)

// SQLSTATEs; see https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	undefinedTable      = "42P01"
	undefinedSchema     = "3F000"
	undefinedColumn     = "42703"
	undefinedObject     = "42704"
	datatypeMismatch    = "42804"
	permissionDenied    = "42501"
	readOnlyTransaction = "25006"
	diskFull            = "53100"
	outOfMemory         = "53200"
	tooManyConnections  = "53300"
	queryCanceled       = "57014"
	lockNotAvailable    = "55P03"
	serialization       = "40001"
	deadlock            = "40P01"
)

// verdict is an error that is the answer to a call, not trouble with the database.
type verdict struct{ error }

// answered returns what the server said, if that is what err is about and the session has survived it: the transaction is
// then known to have been undone. A session that was ended may have been so after its commit.
func answered(err error) *pgconn.PgError {
	var e *pgconn.PgError
	if errors.As(err, &e) && !fatal(e) {
		return e
	}
	return nil
}

func fatal(e *pgconn.PgError) bool {
	severity := e.SeverityUnlocalized
	if severity == "" {
		severity = e.Severity
	}
	return severity == "FATAL" || severity == "PANIC"
}

// again reports whether what failed can be done again at once, because nothing of it has happened.
func again(err error) bool {
	if e := answered(err); e != nil {
		return e.Code == serialization || e.Code == deadlock
	}
	return pgconn.SafeToRetry(err)
}

// unclear reports whether what failed may have happened all the same.
func unclear(err error) bool { return answered(err) == nil && !pgconn.SafeToRetry(err) }

// explain says what an error of the database means for the caller, whose ctx it is. handed is whether a change may have been
// committed all the same.
func explain(ctx context.Context, err error, handed bool) error {
	var v verdict
	if err == nil || errors.As(err, &v) {
		return v.error
	}
	e := answered(err)
	switch {
	case e != nil && e.Code == queryCanceled && ctx.Err() != nil:
		return fmt.Errorf("pgqueue: %w", ctx.Err())
	case e != nil:
		return explainCode(e.Code, err)
	case pgconn.SafeToRetry(err) && ctx.Err() != nil:
		return fmt.Errorf("pgqueue: %w", ctx.Err())
	case pgconn.SafeToRetry(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case handed:
		return fmt.Errorf("pgqueue: %w: %w", queue.ErrInDoubt, err)
	case ctx.Err() != nil:
		return fmt.Errorf("pgqueue: %w", ctx.Err())
	}
	var fromServer *pgconn.PgError
	var connect *pgconn.ConnectError
	if errors.As(err, &fromServer) || errors.As(err, &connect) || broken(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("pgqueue: %w", err)
}

func explainCode(code string, err error) error {
	kind := error(nil)
	switch code {
	case readOnlyTransaction:
		kind = ErrReadOnly
	case diskFull:
		kind = fmt.Errorf("pgqueue: %w: the server's disk", queue.ErrFull)
	case queryCanceled, lockNotAvailable:
		kind = ErrTimeout
	case permissionDenied:
		kind = ErrPermission
	case undefinedTable, undefinedSchema, undefinedColumn, undefinedObject, datatypeMismatch:
		kind = ErrSchema
	default:
		switch {
		case strings.HasPrefix(code, "53"), strings.HasPrefix(code, "57"), strings.HasPrefix(code, "08"), code == serialization, code == deadlock:
			kind = ErrUnavailable
		default:
			return fmt.Errorf("pgqueue: %w", err)
		}
	}
	return fmt.Errorf("%w: %w", kind, err)
}
