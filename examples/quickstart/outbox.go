package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/retry"
)

const (
	sender    = "ada@shop.example" // who sends all the mail here
	retryWait = time.Second
)

// outbox is what a host program has: a queue file, and a Sender that runs on it.
type outbox struct {
	*delivery.Sender
	queue *boltqueue.Queue
	stop  context.CancelFunc
	ended chan error
}

// open opens a queue file and lets a Sender run on it.
func (w *world) open(file string) (*outbox, error) {
	q, err := boltqueue.Open(file, boltqueue.Options{})
	if err != nil {
		return nil, err
	}
	s, err := delivery.New(q, delivery.Config{
		Hostname:     "mail.shop.example",
		Router:       w.router(),
		Retry:        retry.Schedule{retryWait},
		MaxWait:      2 * retryWait,
		DrainTimeout: time.Second,
		Observer:     w.timeline,
		Dial:         w.dial,
	})
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	o := &outbox{Sender: s, queue: q, stop: stop, ended: make(chan error, 1)}
	go func() { o.ended <- s.Run(ctx) }()
	return o, nil
}

// close lets the Sender finish what it has begun, and closes the file.
func (o *outbox) close() error {
	o.stop()
	return errors.Join(<-o.ended, o.queue.Close())
}

// deliver enqueues a message and waits until every recipient has ended. It returns the attempts, one for each recipient that
// they concerned.
func (w *world) deliver(ctx context.Context, text string, to ...string) ([]delivery.Attempted, error) {
	receipt, err := w.outbox.Enqueue(ctx, message(text, to...))
	if err != nil {
		return nil, err
	}
	return w.wait(ctx, receipt.ID, len(to))
}

func message(text string, to ...string) delivery.Message {
	return delivery.Message{From: sender, To: delivery.To(to...), Body: strings.NewReader(text)}
}
