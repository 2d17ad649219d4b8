package pgqueue

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// newsPause is how long nothing more is told after it was told that messages were enqueued: however many there are, this is
	// how often a process tells of them.
	newsPause = 100 * time.Millisecond
	// newsLimit is how long telling may take.
	newsLimit = 5 * time.Second
	// listenFirst and listenLongest are the pauses between tries to connect for LISTEN.
	listenFirst   = 100 * time.Millisecond
	listenLongest = 30 * time.Second
)

// notify has what is told of, by whom. The channel has the name of the schema.
const notify = "SELECT pg_notify($1::text, $2::text)"

// news tells other processes that messages were enqueued. Notifications take a lock of the whole server when they are
// committed, so they are no part of the transactions that enqueue.
type news struct {
	mu     sync.Mutex
	active bool      // a goroutine tells
	more   bool      // there is something that it has not told
	own    bool      // this process doesn't know of it, either
	inTx   time.Time // when a transaction of the host program was last given a notification
}

// announce has the others told soon. Nobody waits for it.
func (q *Queue) announce() { q.announceAfter(0, false) }

func (q *Queue) announceAfter(wait time.Duration, own bool) {
	if q.options.PollOnly {
		return
	}
	n := &q.news
	n.mu.Lock()
	defer n.mu.Unlock()
	n.more, n.own = true, n.own || own
	if !n.active {
		n.active = true
		q.goBeside(func() { q.tell(wait) })
	}
}

// tell sends a notification after some time, and others as long as there is more to tell.
func (q *Queue) tell(wait time.Duration) {
	for {
		select {
		case <-time.After(wait):
		case <-q.life.Done():
			return
		}
		from, more := q.news.take(q.name)
		if !more {
			return
		}
		ctx, cancel := context.WithTimeout(q.life, newsLimit)
		_, _ = q.pool.Exec(ctx, notify, q.schema, from) // who isn't told polls
		cancel()
		wait = newsPause
	}
}

// take returns whom the next notification is from, or ends the telling if there is nothing to tell.
func (n *news) take(name string) (from string, more bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.own {
		from = name
	}
	more = n.more
	n.active, n.more, n.own = more, false, false
	return from, more
}

// announceIn has the others, and this process, told when a transaction of the host program has committed. Under load only the
// first transaction in a while does so; what the next ones enqueue is told of beside, when they should be over.
func (q *Queue) announceIn(ctx context.Context, s session) error {
	if q.options.PollOnly {
		return nil
	}
	n := &q.news
	n.mu.Lock()
	due := time.Since(n.inTx) >= newsPause
	if due {
		n.inTx = time.Now()
	}
	n.mu.Unlock()
	if !due {
		q.announceAfter(newsPause, true)
		return nil
	}
	var nothing any
	_, err := one(ctx, s, notify, []any{q.schema, ""}, &nothing)
	return err
}

// wakers are the channels of Wake.
type wakers struct {
	mu     sync.Mutex
	list   map[chan struct{}]bool
	listen bool // a goroutine listens
}

// Wake implements [queue.Waker]. It receives when another process says that it has enqueued, when a transaction of this one has
// by [Queue.EnqueueTx], and every [Options].Poll. The channel is also closed when the queue is.
func (q *Queue) Wake(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	w := &q.wakers
	w.mu.Lock()
	defer w.mu.Unlock()
	if !q.goBeside(func() { q.poll(ctx, c) }) {
		close(c)
		return c
	}
	if w.list == nil {
		w.list = make(map[chan struct{}]bool)
	}
	w.list[c] = true
	if !w.listen && !q.options.PollOnly {
		w.listen = q.goBeside(q.listen)
	}
	return c
}

// poll wakes c from time to time until ctx ends or the queue is closed.
func (q *Queue) poll(ctx context.Context, c chan struct{}) {
	w := &q.wakers
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.list, c)
		close(c)
	}()
	for {
		select {
		case <-time.After(q.jitter(q.options.Poll)):
			wake(c)
		case <-ctx.Done():
			return
		case <-q.life.Done():
			return
		}
	}
}

// wake makes c receive; one receive is enough for all that nobody has received yet.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// listen wakes everybody when a notification arrives, until the queue is closed.
func (q *Queue) listen() {
	for wait := listenFirst; q.life.Err() == nil; wait = min(2*wait, listenLongest) {
		heard := q.hear()
		if heard {
			wait = listenFirst
		}
		select {
		case <-time.After(q.jitter(wait)):
		case <-q.life.Done():
		}
	}
}

// hear listens on a connection of its own until it breaks. It reports whether it was ever listening.
func (q *Queue) hear() (heard bool) {
	c, err := pgx.ConnectConfig(q.life, q.options.Listen.Copy())
	if err != nil {
		return false
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		_ = c.Close(ctx)
	}()
	if _, err := c.Exec(q.life, "LISTEN "+pgx.Identifier{q.schema}.Sanitize()); err != nil {
		return false
	}
	q.wakeAll() // for what came while nobody listened
	for {
		n, err := c.WaitForNotification(q.life)
		if err != nil {
			return true
		}
		if n.Payload != q.name {
			q.wakeAll()
		}
	}
}

func (q *Queue) wakeAll() {
	q.wakers.mu.Lock()
	defer q.wakers.mu.Unlock()
	for c := range q.wakers.list {
		wake(c)
	}
}
