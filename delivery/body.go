package delivery

import (
	"context"
	"errors"
	"io"

	"github.com/postroad/postroad/queue"
)

// begun is the point from which a dialogue may go on when Run ends: where its message's data begins.
type begun struct {
	ctx  context.Context // the dialogue's
	stop func() bool     // keeps the end of Run from ending it
	done bool
}

// reach passes the point. The error says that it comes too late.
func (b *begun) reach() error {
	if !b.done {
		b.done = true
		if !b.stop() {
			<-b.ctx.Done()
		}
	}
	return b.ctx.Err()
}

// transfer is a message's data on its way out.
type transfer struct {
	*begun
	open  func() (io.ReadCloser, error)
	body  io.ReadCloser
	read  bool  // something was
	ended bool  // all was
	err   error // why body ended before its end
}

// transfer opens the data of a job's message.
func (w *worker) transfer(ctx context.Context, t *try) (*transfer, error) {
	open := func() (body io.ReadCloser, err error) {
		err = guard(func() error { body, err = w.queue.Open(ctx, t.job.Key.ID); return err })
		return body, err
	}
	body, err := open()
	if err != nil {
		return nil, err
	}
	return &transfer{begun: &t.begun, open: open, body: body}, nil
}

func (t *transfer) Read(p []byte) (int, error) {
	if err := t.reach(); err != nil {
		return 0, err
	}
	t.read = true
	n, err := t.body.Read(p)
	switch {
	case err == io.EOF:
		t.ended = true
	case err != nil:
		t.err = err
	}
	return n, err
}

// Seek goes to the beginning, which is all that another transaction wants.
func (t *transfer) Seek(offset int64, whence int) (int64, error) {
	switch {
	case offset != 0 || whence == io.SeekEnd || whence == io.SeekCurrent && t.read:
		return 0, errors.ErrUnsupported
	case !t.read:
		return 0, nil
	}
	body, err := t.open()
	if err != nil {
		return 0, err
	}
	t.Close()
	t.body, t.read, t.ended = body, false, false
	return 0, nil
}

func (t *transfer) Close() {
	guard(func() error { return t.body.Close() }) // nothing depends on it
}

// unreadable stands for an answer where there is none because the queue doesn't give the message. No host is to blame, and no
// other one would help.
var unreadable = queue.Reply{Phase: "body", Text: "the stored message can't be read"}
