package suppress

import (
	"context"
	"fmt"
	"iter"
	"strconv"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

const (
	// CursorKey is the note in which Follow keeps the mark up to which it has learned, in decimal digits: for who moves the queue,
	// and its notes, to another one, where marks mean something else.
	CursorKey = "suppress/cursor"
	// saveEvery is after how many outcomes it is stored that have taught nothing: reading these again costs less than storing it.
	saveEvery = 1000
)

// Follow learns from how every recipient ends, as the outcomes of a Sender tell, until ctx ends; then it returns nil:
//
//	err := list.Follow(ctx, sender.Outcomes)
//
// It goes on where the last call has stopped, in whatever life of the program that was, so that it may begin later than the mail, or
// pause; only what the queue has forgotten by then it doesn't hear of. An error is the queue's, or that of Notes, and calling it
// again helps if that does. Notes are to be those of the Sender's queue: in another one the marks mean something else. One Follow for
// a queue is enough, in whichever process.
func (l *List) Follow(ctx context.Context, outcomes func(ctx context.Context, since queue.Mark) iter.Seq2[delivery.Outcome, error]) error {
	err := l.follow(ctx, outcomes)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (l *List) follow(ctx context.Context, outcomes func(context.Context, queue.Mark) iter.Seq2[delivery.Outcome, error]) error {
	cursor, err := l.cursor(ctx)
	if err != nil {
		return err
	}
	unsaved := 0
	for o, err := range outcomes(ctx, cursor) {
		if err != nil {
			return fmt.Errorf("suppress: %w", err)
		}
		at := o.Recipient.Decided
		if at.IsZero() { // it was stored by an earlier version of Postroad
			at = o.Job.Message.Enqueued
		}
		taught, err := l.hear(ctx, o.Job.Message.Tenant, at, &o.Recipient)
		if err != nil {
			return err
		}
		if unsaved++; taught || unsaved == saveEvery {
			unsaved = 0
			if err := l.set(ctx, CursorKey, strconv.AppendUint(nil, uint64(o.Mark), 10)); err != nil {
				return err
			}
		}
	}
	return nil
}

// cursor reads the mark up to which everything was learned.
func (l *List) cursor(ctx context.Context) (queue.Mark, error) {
	note, err := l.Notes.Get(ctx, CursorKey)
	if err != nil {
		return 0, fmt.Errorf("suppress: %w", err)
	}
	if note == nil {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(note), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("suppress: note %q: %w", CursorKey, err)
	}
	return queue.Mark(n), nil
}
