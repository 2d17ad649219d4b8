package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

// waitingSize is the size of messages that are only there to wait.
const waitingSize = 1024

// fill puts n messages into the queue, as many to a transaction as it likes. message makes each, without a body.
func (b *outbox) fill(ctx context.Context, n int, message func(i int) delivery.Message) error {
	bulk, ok := b.queue.(queue.Bulk)
	if !ok {
		return errors.New("the queue stores one message at a time")
	}
	text := newLetter(waitingSize)
	var failed error
	stored, err := bulk.EnqueueAll(ctx, func(yield func(*queue.Entry) bool) {
		for i := range n {
			m := message(i)
			m.From, m.Body = bounces, bytes.NewReader(text)
			var e *queue.Entry
			if e, failed = b.sender.Prepare(ctx, m); failed != nil || !yield(e) {
				return
			}
		}
	})
	if err = errors.Join(failed, err); err == nil && stored != n {
		err = fmt.Errorf("%d of %d messages were stored", stored, n)
	}
	return err
}
