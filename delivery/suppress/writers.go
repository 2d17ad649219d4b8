package suppress

import (
	"context"
	"hash/maphash"
	"sync"
)

// writers write at once what a queue then commits together. What is about the same key is written in its order.
type writers struct {
	ctx    context.Context
	cancel context.CancelFunc
	seed   maphash.Seed
	queues [64]chan func(context.Context) error
	done   sync.WaitGroup

	mu  sync.Mutex // guards what follows
	n   int        // written
	err error      // the first
}

func newWriters(ctx context.Context) *writers {
	w := &writers{seed: maphash.MakeSeed()}
	w.ctx, w.cancel = context.WithCancel(ctx)
	for i := range w.queues {
		w.queues[i] = make(chan func(context.Context) error, 1)
		w.done.Go(func() {
			for f := range w.queues[i] {
				w.note(f(w.ctx))
			}
		})
	}
	return w
}

func (w *writers) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.n++
		return
	}
	if w.err == nil {
		w.err = err
	}
	w.cancel()
}

// write has f called, and reports false if there is no use in more.
func (w *writers) write(key string, f func(context.Context) error) bool {
	select {
	case w.queues[maphash.String(w.seed, key)%uint64(len(w.queues))] <- f:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// wait returns how many were written when all are, and the first error.
func (w *writers) wait() (n int, err error) {
	for _, q := range w.queues {
		close(q)
	}
	w.done.Wait()
	defer w.cancel()
	if w.err == nil {
		w.err = w.ctx.Err() // then not all may have come here
	}
	return w.n, w.err
}
