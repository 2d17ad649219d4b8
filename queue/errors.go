package queue

import (
	"errors"
	"fmt"
)

// Errors that callers branch on. Backends return them wrapped, with what they concern.
var (
	// ErrConflict means that the ID is taken by a message with another digest. Nothing was stored.
	ErrConflict = errors.New("queue: another message has this ID")
	// ErrLeaseLost means that the job is not, or no longer, leased under this token. Nothing was stored; whoever has the
	// job now decides about it.
	ErrLeaseLost = errors.New("queue: lease lost")
	// ErrNotFound means that there is no such message, or that its body is gone because it is finished.
	ErrNotFound = errors.New("queue: no such message")
	// ErrFull means that the queue's own limits, or its disk, don't allow another message now. Nothing was stored; trying
	// later helps.
	ErrFull = errors.New("queue: full")
	// ErrInDoubt means that the storage failed in such a way that it can't be known whether the change took place.
	// Repeating the call with the same ID or token settles it. It is returned only then, never for a change that is
	// known to have failed.
	ErrInDoubt = errors.New("queue: not known whether the change was stored")
	// ErrInvalid means that what was given doesn't have the form it must have. Nothing was stored, and trying again
	// doesn't help.
	ErrInvalid = errors.New("queue: invalid")
	// ErrDamaged means that stored data contradicts itself: a wrong checksum, a cut file.
	ErrDamaged = errors.New("queue: damaged")
	// ErrVersion means that stored data was written by a newer version of the backend.
	ErrVersion = errors.New("queue: written by a newer version")
	// ErrLocked means that another process has the queue open.
	ErrLocked = errors.New("queue: locked by another process")
	// ErrClosed means that the queue was closed.
	ErrClosed = errors.New("queue: closed")
)

func invalid(field, format string, args ...any) error {
	return fmt.Errorf("%w: %s %s", ErrInvalid, field, fmt.Sprintf(format, args...))
}
