package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// Folder is a queue in a folder, for one process at a time: messages/ID is the record of a message with its jobs, bodies/ID
// its body. Jobs are in memory too, and Claim looks at each of them; memqueue shows how to do without that.
//
// A record is replaced by writing a new one beside it, syncing that, and renaming it: a crash leaves the old one or the new
// one. One rename is every change. So that a commit and the bounce it enqueues are one rename as well, the record of the
// committed job carries the bounce's first record, in More; the file that the bounce gets at its own first commit is newer.
//
// Leases are in memory: a crash ends them, and the next process finds all unfinished jobs waiting.
type Folder struct {
	dir      string
	mu       sync.Mutex // guards what follows; not held while a caller's Body is read, nor while a stored one is
	messages map[queue.ID]*record
	mark     queue.Mark
	token    queue.Token
}

// record is what is stored of a message.
type record struct {
	Message queue.Message
	Jobs    []*job
	More    []*record // of the messages that commits of this one have enqueued
	body    []byte    // until it is stored
}

type job struct {
	queue.Job
	Spent queue.Token // by the latest commit
}

// OpenFolder opens the queue in dir. A backend for more than an example also takes a lock, returning queue.ErrLocked, and
// stores a version and a checksum with each record.
func OpenFolder(dir string) (*Folder, error) {
	// Tokens begin at a random number, so that no other opening of the folder has given out the same.
	q := &Folder{dir: dir, messages: map[queue.ID]*record{}, token: queue.Token(rand.Uint64()>>1 | 1)}
	err := each(filepath.Join(dir, "messages"), func(path string, id queue.ID) error {
		if !id.Valid() {
			return os.Remove(path) // a record that was being written
		}
		b, err := os.ReadFile(path)
		m := &record{}
		if err = cmp.Or(err, json.Unmarshal(b, m)); err != nil {
			return fmt.Errorf("folder: %w: %s: %w", queue.ErrDamaged, path, err)
		}
		for _, n := range m.More {
			q.messages[n.Message.ID] = cmp.Or(q.messages[n.Message.ID], n)
		}
		q.messages[id] = m
		return nil
	})
	for _, m := range q.messages {
		for _, j := range m.Jobs {
			j.Token, j.Leased = 0, time.Time{}
			q.mark = max(q.mark, j.Mark())
		}
	}
	return q, cmp.Or(err, each(filepath.Join(dir, "bodies"), func(path string, id queue.ID) error {
		if err != nil || q.messages[id].unfinished() {
			return nil
		}
		return os.Remove(path)
	}))
}

// each makes dir, if there is none, and calls f for each of its files.
func each(dir string, f func(path string, id queue.ID) error) error {
	err := os.MkdirAll(dir, 0o700)
	files, _ := os.ReadDir(dir)
	for _, file := range files {
		err = cmp.Or(err, f(filepath.Join(dir, file.Name()), queue.ID(file.Name())))
	}
	return err
}

// replace makes content that of the file at path, durably and in one step. No ID begins with a dot, as the new file does.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = cmp.Or(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return cmp.Or(err, os.Remove(f.Name()))
	}
	d, err := os.Open(filepath.Dir(path))
	if err == nil {
		err = cmp.Or(d.Sync(), d.Close())
	}
	if err != nil {
		return fmt.Errorf("%w: %w", queue.ErrInDoubt, err) // renamed, but perhaps not for long
	}
	return nil
}

func (m *record) unfinished() bool {
	return m != nil && slices.ContainsFunc(m.Jobs, func(j *job) bool { return j.Finished.IsZero() })
}

// find returns the job with this key, nil if there is none.
func (q *Folder) find(k queue.Key) (*record, *job) {
	m := q.messages[k.ID]
	if m == nil || k.N < 0 || k.N >= len(m.Jobs) {
		return nil, nil
	}
	return m, m.Jobs[k.N]
}

// lock begins a method that looks at the records. Only if it returns nil is the queue locked.
func (q *Folder) lock(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("folder: %w", ctx.Err())
	}
	q.mu.Lock()
	return nil
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// read makes a record of e, in memory. Large messages ask for a backend that writes the body to a file meanwhile.
func read(ctx context.Context, e *queue.Entry) (m *record, err error) {
	if err := cmp.Or(ctx.Err(), e.Check()); err != nil {
		return nil, err
	}
	var head, body []byte
	if e.Body != nil {
		body, err = io.ReadAll(readerFunc(func(p []byte) (int, error) {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			return e.Body.Read(p)
		}))
	}
	if err == nil && e.Head != nil {
		head, err = e.Head()
	}
	m = &record{Message: e.Message, body: append(append([]byte{}, head...), body...)}
	m.Message.Labels, m.Message.Size = slices.Clone(m.Message.Labels), int64(len(m.body))
	for _, j := range e.Jobs {
		n := &job{Job: *j.Clone()}
		n.Message, n.Token, n.Leased, n.Lapses = m.Message, 0, time.Time{}, 0
		m.Jobs = append(m.Jobs, n)
		for i := range n.Recipients {
			n.Recipients[i].Mark = 0
		}
	}
	return m, err
}

// Enqueue implements queue.Queue.
func (q *Folder) Enqueue(ctx context.Context, e *queue.Entry) (added bool, err error) {
	return q.change(ctx, nil, e)
}

// Commit implements queue.Queue.
func (q *Folder) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	_, err := q.change(ctx, j, more...)
	return err
}

// change is how all that is stored changes: with a commit of j, or without, and with the messages of es.
func (q *Folder) change(ctx context.Context, j *queue.Job, es ...*queue.Entry) (changed bool, err error) {
	if j != nil {
		err = j.Check()
	}
	list := make([]*record, len(es))
	for i := 0; i < len(es) && err == nil; i++ {
		list[i], err = read(ctx, es[i])
	}
	if err != nil {
		return false, fmt.Errorf("folder: %w", err)
	}
	if err := q.lock(ctx); err != nil {
		return false, err
	}
	defer q.mu.Unlock()
	var records []*record // that are new; the first is the one to save
	if j != nil {
		m, old := q.find(j.Key)
		if old == nil || j.Token == 0 || j.Token != old.Token && j.Token != old.Spent {
			return false, fmt.Errorf("folder: %w: %s", queue.ErrLeaseLost, j.Key)
		}
		if j.Token == old.Spent {
			return false, nil
		}
		records = append(records, m.committed(j, old))
	}
	for _, m := range list {
		old := q.messages[m.Message.ID]
		for _, n := range records {
			if n.Message.ID == m.Message.ID {
				old = n
			}
		}
		if old == nil {
			records = append(records, m)
		} else if old.Message.Digest != m.Message.Digest {
			return false, fmt.Errorf("folder: %w: %s", queue.ErrConflict, m.Message.ID)
		}
	}
	if len(records) == 0 {
		return false, nil
	}
	return true, q.store(records)
}

// committed is a record of m with j, as the caller gave it, in the place of old.
func (m *record) committed(j *queue.Job, old *job) *record {
	n := &job{Job: *j.Clone(), Spent: j.Token}
	n.Message, n.Domain, n.Token, n.Leased = old.Message, old.Domain, 0, time.Time{}
	for i := range min(len(n.Recipients), len(old.Recipients)) {
		n.Recipients[i].Mark = old.Recipients[i].Mark
	}
	c := *m
	c.Jobs = slices.Clone(m.Jobs)
	c.Jobs[j.Key.N] = n
	return &c
}

// store makes records the latest ones of their messages, by saving the first of them with the others in it.
func (q *Folder) store(records []*record) error {
	body := func(m *record) string { return filepath.Join(q.dir, "bodies", string(m.Message.ID)) }
	for _, m := range records {
		for _, j := range m.Jobs {
			for i := range j.Recipients {
				if r := &j.Recipients[i]; r.State.Final() && r.Mark == 0 {
					q.mark++
					r.Mark = q.mark
				}
			}
		}
		if m.body != nil && m.unfinished() {
			if err := replace(body(m), m.body); err != nil {
				return fmt.Errorf("folder: %v", err) // known to have failed, whatever err is: no record names the body
			}
		}
	}
	saved := records[0]
	saved.More = slices.Concat(saved.More, records[1:])
	b, err := json.Marshal(saved)
	if err == nil {
		err = replace(filepath.Join(q.dir, "messages", string(saved.Message.ID)), b)
	}
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	for _, m := range records {
		m.body = nil
		q.messages[m.Message.ID] = m
	}
	if !saved.unfinished() {
		os.Remove(body(saved)) // or OpenFolder does
	}
	return nil
}

// Open implements queue.Queue.
func (q *Folder) Open(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if err := q.lock(ctx); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	m := q.messages[id]
	if !m.unfinished() {
		return nil, fmt.Errorf("folder: %w: %s", queue.ErrNotFound, id)
	}
	f, err := os.Open(filepath.Join(q.dir, "bodies", string(id)))
	if err != nil {
		return nil, fmt.Errorf("folder: %w: %w", queue.ErrDamaged, err)
	}
	lost := readerFunc(func([]byte) (int, error) { return 0, fmt.Errorf("folder: %s: %w", id, io.ErrUnexpectedEOF) })
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(io.MultiReader(f, lost), m.Message.Size), f}, nil
}
