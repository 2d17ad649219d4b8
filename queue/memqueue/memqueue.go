// Package memqueue keeps a mail queue in memory: the reference implementation of [queue.Queue], for simulations and for the
// tests of host programs. Nothing survives the process, and nothing is ever removed but bodies: finished jobs stay, to
// recognise a repeated message and to be listed.
package memqueue

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/postroad/postroad/queue"
)

// Queue is a queue in memory. It implements [queue.Queue], [queue.Bulk], [queue.Leaser], [queue.Notes] and [queue.Depths].
type Queue struct {
	// MaxMessages is how many unfinished messages there may be before Enqueue returns [queue.ErrFull]; it is set before the
	// queue is used. Defaults to 0, no limit.
	MaxMessages int

	mu         sync.Mutex // guards all below; never held while a caller's reader, Head or loop body runs
	closed     bool
	messages   map[queue.ID]*message
	unfinished int        // messages
	ids        []queue.ID // the keys of messages, in order once ordered is set
	ordered    bool
	lanes      map[queue.Lane]*line // lanes that have a job which isn't finished
	all        *line                // the jobs of all lanes
	expiring   *line                // all unfinished jobs
	ended      []ended
	token      queue.Token // the last one given out
	mark       queue.Mark  // the last one given out
	notes      map[string][]byte
}

var (
	_ queue.Queue  = (*Queue)(nil)
	_ queue.Bulk   = (*Queue)(nil)
	_ queue.Leaser = (*Queue)(nil)
	_ queue.Notes  = (*Queue)(nil)
	_ queue.Depths = (*Queue)(nil)
)

// message is what is stored of an entry.
type message struct {
	queue.Message
	body       []byte
	jobs       []*record
	unfinished int // jobs; at 0 the body is dropped
}

// record is a stored job. Its Token is that of the latest claim until a commit spends it.
type record struct {
	queue.Job
	spent  queue.Token // by the latest commit
	places [views]place
}

// ended is an element of the list of what ended, which only grows. It is stale once the job has the next mark, too.
type ended struct {
	mark queue.Mark
	*record
}

// New returns an empty queue.
func New() *Queue {
	return &Queue{
		messages: make(map[queue.ID]*message),
		lanes:    make(map[queue.Lane]*line),
		all:      newLine(allView),
		expiring: newLine(expiringView),
		notes:    make(map[string][]byte),
	}
}

// Close makes all methods return [queue.ErrClosed]. It returns nil.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	return nil
}

// lock begins a method's work on the queue. Only if it returns nil is the queue locked.
func (q *Queue) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memqueue: %w", err)
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return fmt.Errorf("memqueue: %w", queue.ErrClosed)
	}
	return nil
}

// Enqueue implements [queue.Queue].
func (q *Queue) Enqueue(ctx context.Context, e *queue.Entry) (added bool, err error) {
	m, err := read(ctx, e)
	if err != nil {
		return false, err
	}
	if err := q.lock(ctx); err != nil {
		return false, err
	}
	defer q.mu.Unlock()
	return q.store(m)
}

// store adds m, unless it is stored already or there is no room for it.
func (q *Queue) store(m *message) (added bool, err error) {
	if old := q.messages[m.ID]; old != nil {
		return false, sameDigest(old, m)
	}
	if q.MaxMessages > 0 && q.unfinished >= q.MaxMessages {
		return false, fmt.Errorf("memqueue: %w: %d messages", queue.ErrFull, q.unfinished)
	}
	q.add(m)
	return true, nil
}

// EnqueueAll implements [queue.Bulk].
func (q *Queue) EnqueueAll(ctx context.Context, es iter.Seq[*queue.Entry]) (durable int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("memqueue: %w", err)
	}
	for e := range es {
		if _, err := q.Enqueue(ctx, e); err != nil {
			return durable, err
		}
		durable++
	}
	return durable, nil
}

// read makes a message of e, reading its body. That takes place before the queue is locked: a reader may be slow, and may
// use the queue itself.
func read(ctx context.Context, e *queue.Entry) (*message, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memqueue: %w", err)
	}
	if err := e.Check(); err != nil {
		return nil, fmt.Errorf("memqueue: %w", err)
	}
	body, err := e.ReadAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("memqueue: reading %s: %w", e.Message.ID, err)
	}
	m := &message{body: body}
	var jobs []*queue.Job
	m.Message, jobs = e.Stored(int64(len(body)))
	for _, j := range jobs {
		if j.Finished.IsZero() {
			m.unfinished++
		}
		m.jobs = append(m.jobs, &record{Job: *j})
	}
	return m, nil
}

func sameDigest(old, m *message) error {
	if old.Digest != m.Digest {
		return fmt.Errorf("memqueue: %w: %s", queue.ErrConflict, m.ID)
	}
	return nil
}

func (q *Queue) add(m *message) {
	q.messages[m.ID] = m
	q.ordered = q.ordered && (len(q.ids) == 0 || q.ids[len(q.ids)-1] < m.ID)
	q.ids = append(q.ids, m.ID)
	if m.unfinished == 0 {
		m.body = nil
	} else {
		q.unfinished++
	}
	for _, r := range m.jobs {
		q.giveMarks(r)
		q.file(r)
	}
}

// giveMarks marks the recipients of r that have become final.
func (q *Queue) giveMarks(r *record) {
	before := q.mark
	r.GiveMarks(func() queue.Mark { q.mark++; return q.mark })
	if q.mark > before {
		q.ended = append(q.ended, ended{q.mark, r})
	}
}

// Open implements [queue.Queue].
func (q *Queue) Open(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if err := q.lock(ctx); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	m := q.messages[id]
	if m == nil || m.unfinished == 0 {
		return nil, fmt.Errorf("memqueue: %w: %s", queue.ErrNotFound, id)
	}
	return io.NopCloser(bytes.NewReader(m.body)), nil
}
