package delivery

import (
	"errors"

	"github.com/postroad/postroad/delivery/internal/intake"
)

// Errors that callers branch on; those of package queue ([queue.ErrFull], [queue.ErrConflict], [queue.ErrInDoubt]) pass
// through wrapped.
var (
	// ErrTooLarge means that a message has more octets than Config.MaxSize.
	ErrTooLarge = intake.ErrTooLarge
	// ErrLoop means that a message has passed through so many hosts that it must be going in circles.
	ErrLoop = errors.New("more than 50 Received lines: mail loop")
	// ErrInFlight means that jobs can't be changed now because they are being sent.
	ErrInFlight = errors.New("delivery: jobs are being sent")
	// ErrNoNotes means that the queue keeps no notes, without which a lasting command can't be given.
	ErrNoNotes = errors.New("delivery: the queue keeps no notes")
	// ErrRunning means that Run was called on a Sender that runs already.
	ErrRunning = errors.New("delivery: the Sender runs already")
)

// FieldError says that a field of a [Message] can't be sent as it is. Nothing was stored, and trying again doesn't help.
type FieldError struct {
	Field string // such as "From", "To[3].Address", "Body"
	Err   error  // what is wrong with it
}

// Error names the field and what is wrong with it.
func (e *FieldError) Error() string { return "delivery: " + e.Field + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *FieldError) Unwrap() error { return e.Err }
