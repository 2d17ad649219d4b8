// Package move copies what one queue holds into another: from a file to a database when a program outgrows one process, or back.
// The command queue/pgqueue/pgmove does that for the files of boltqueue and the schemas of pgqueue.
//
// # What is kept
//
//   - Messages with their IDs, digests, times and bodies as they are stored: nothing is made or signed again. As an ID is still
//     recognised, whoever enqueues a message with the same key after the move changes nothing.
//   - Jobs with all their recipients. Whoever has the mail is not sent it again; the others are when they are due, and what is held stays so.
//   - Finished messages, as long as they can be found in the queue that they come from.
//   - Notes: rules, suppression lists, what was learned about hosts. What the other queue has noted already under the same key stays.
//
// What is not: leases and the count of those that have lapsed, and the Size of finished messages, which is 0 from then on. What
// boltqueue suspects of ending the process is suspected no more, unless it is held for that.
//
// # Marks
//
// The marks of a queue mean nothing in another. What has ended ends once more in the other queue's list, in the order of keys and not
// of time, before all that ends later. A reader of outcomes that had read everything before the move goes on behind [Moved].Mark; one
// that begins at zero is shown it all again. [Options].Cursors is for notes of such readers.
//
// # What a crash leaves
//
// Nothing is written to the queue that is read. A message is in the other queue with all its jobs or not at all, and there only
// once, however often the move is repeated: so repeating it is what to do after a crash or an error. When it has returned nil,
// the first queue must be used no more, or what is waiting there would be sent twice. Repeated a long time later, it would bring back
// what the other queue has forgotten meanwhile.
package move

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postroad/postroad/queue"
)

// ErrInUse means that a job of the queue that is to be moved is leased: a Sender works on it, or has been killed while it did. It is to
// drain and end first; what it leaves behind is free when the lease ends.
var ErrInUse = errors.New("move: the queue is in use")

// Options are what [All] may be told. The zero value moves everything but cursors right.
type Options struct {
	// Cursors are keys of notes that hold a mark, in decimal digits, up to which outcomes were read, such as suppress.CursorKey. One
	// that was read to the end becomes Moved.Mark; another one is left out, so that its reader begins at the beginning.
	Cursors []string
	// Unreadable, if not nil, is told of each message that stays behind because its body is damaged.
	Unreadable func(id queue.ID, err error)
}

// Moved is what the other queue has now. After an error, it is what was read.
type Moved struct {
	Unfinished, Finished int // messages
	Unreadable           int // messages that aren't there
	Notes                int
	Mark                 queue.Mark // the last one, under which everything is that has ended so far
}

// All copies everything from one queue to the other. Nobody may use the first meanwhile: a job that is leased is [ErrInUse], but who
// begins later isn't noticed. The lock of boltqueue's file keeps others out; pgmove takes a schema out of their way. The other
// queue may hold messages before, and be in use; but who reads outcomes there may then miss some if it trusts Moved.Mark.
//
// Jobs are looked at before anything is copied, and a listing that ends in an error is that error: of a damaged file, boltcheck
// makes one that can be moved. Messages are read one at a time, and stored many at a time if the other queue is a [queue.Bulk].
func All(ctx context.Context, from, to queue.Queue, o Options) (Moved, error) {
	m := mover{options: o, from: from, to: to}
	for _, step := range []func(context.Context) error{m.look, m.moveNotes, m.moveMessages, m.moveCursors} {
		if err := step(ctx); err != nil {
			return m.Moved, fmt.Errorf("move: %w", err)
		}
	}
	return m.Moved, nil
}

// mover is one call of All.
type mover struct {
	Moved
	options  Options
	from, to queue.Queue
}

// look reads all unfinished jobs, to be sure that this is possible and that nobody has them.
func (m *mover) look(ctx context.Context) error {
	now := time.Now()
	if shared, ok := m.from.(queue.Shared); ok {
		var err error
		if now, err = shared.Now(ctx); err != nil {
			return err
		}
	}
	for j, err := range m.from.Jobs(ctx, queue.Filter{Unfinished: true}) {
		if err != nil {
			return err
		}
		if j.Leased.After(now) {
			return fmt.Errorf("%w: job %s is leased until %s", ErrInUse, j.Key, j.Leased.Format(time.RFC3339))
		}
	}
	return nil
}
