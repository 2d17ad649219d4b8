package move

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/postroad/postroad/queue"
)

// moveNotes goes first, so that what is paused or suppressed is so before there is mail.
func (m *mover) moveNotes(ctx context.Context) error {
	return m.eachNote(ctx, func(from, to queue.Notes, key string) error {
		if slices.Contains(m.options.Cursors, key) {
			return nil
		}
		value, err := from.Get(ctx, key)
		if err != nil {
			return err
		}
		m.Notes++
		return add(ctx, to, key, value)
	})
}

// eachNote calls f for the keys of all notes that there are to move.
func (m *mover) eachNote(ctx context.Context, f func(from, to queue.Notes, key string) error) error {
	from, ok := m.from.(queue.Notes)
	if !ok {
		return nil
	}
	to, ok := m.to.(queue.Notes)
	for key, err := range from.Keys(ctx, "") {
		if err != nil {
			return err
		}
		if !ok {
			return errors.New("the other queue keeps no notes")
		}
		if err := f(from, to, key); err != nil {
			return err
		}
	}
	return nil
}

// add stores a note unless there is one under its key.
func add(ctx context.Context, notes queue.Notes, key string, value []byte) error {
	if there, err := notes.Get(ctx, key); err != nil || there != nil {
		return err
	}
	return notes.Set(ctx, key, value)
}

// moveCursors goes last, when it is known which mark is the other queue's last.
func (m *mover) moveCursors(ctx context.Context) (err error) {
	if m.Mark, err = lastMark(ctx, m.to); err != nil || len(m.options.Cursors) == 0 {
		return err
	}
	last, err := lastMark(ctx, m.from)
	if err != nil {
		return err
	}
	return m.eachNote(ctx, func(from, to queue.Notes, key string) error {
		if !slices.Contains(m.options.Cursors, key) {
			return nil
		}
		value, err := from.Get(ctx, key)
		if err != nil {
			return err
		}
		if mark, err := strconv.ParseUint(string(value), 10, 64); err != nil || queue.Mark(mark) < last {
			return nil
		}
		m.Notes++
		return add(ctx, to, key, strconv.AppendUint(nil, uint64(m.Mark), 10))
	})
}

// lastMark is the mark of what has ended last, zero if nothing has.
func lastMark(ctx context.Context, q queue.Queue) (last queue.Mark, err error) {
	for j, err := range q.Jobs(ctx, queue.Filter{Ended: true}) {
		if err != nil {
			return 0, err
		}
		last = j.Mark()
	}
	return last, nil
}
