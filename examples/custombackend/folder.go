package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// Folder is a queue in a folder, for one process at a time: messages/ID is the record of a message with its jobs, bodies/ID
// its body. Jobs are in memory too, and Claim looks at each of them, with the queue package's Select; memqueue shows how to
// do without.
//
// A record is replaced by writing a new one beside it, syncing that, and renaming it: a crash leaves the old one or the new
// one. One rename is every change. So that a commit and the bounce it enqueues are one rename as well, the record of the
// committed job carries the bounce's first record, in More; the file that the bounce gets at its own first commit is newer.
// Leases are in memory: a crash ends them, and the next process finds all unfinished jobs waiting.
type Folder struct {
	dir      string
	mu       sync.Mutex // guards what follows; not held while a caller's Body is read, nor while a stored one is
	messages map[queue.ID]*record
	mark     queue.Mark
	token    queue.Token
}

var _ queue.Queue = (*Folder)(nil) // where the comments of the methods are

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
	for _, j := range q.jobs() {
		j.Token, j.Leased = 0, time.Time{}
		q.mark = max(q.mark, j.Mark())
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
	files, failed := os.ReadDir(dir)
	for _, file := range files {
		err = cmp.Or(err, f(filepath.Join(dir, file.Name()), queue.ID(file.Name())))
	}
	return cmp.Or(err, failed)
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
	if err = cmp.Or(err, d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("%w: %w", queue.ErrInDoubt, err) // renamed, but perhaps not for long
	}
	return nil
}

func (m *record) unfinished() bool {
	return m != nil && slices.ContainsFunc(m.Jobs, func(j *job) bool { return j.Finished.IsZero() })
}

// read makes a record of e, in memory. Large messages ask for a backend that writes the body to a file meanwhile.
func read(ctx context.Context, e *queue.Entry) (*record, error) {
	if err := cmp.Or(ctx.Err(), e.Check()); err != nil {
		return nil, err
	}
	body, err := e.ReadAll(ctx)
	m := &record{body: body}
	var jobs []*queue.Job
	m.Message, jobs = e.Stored(int64(len(body)))
	for _, j := range jobs {
		m.Jobs = append(m.Jobs, &job{Job: *j})
	}
	return m, err
}

func (q *Folder) Enqueue(ctx context.Context, e *queue.Entry) (added bool, err error) {
	return q.change(ctx, nil, e)
}

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
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return false, fmt.Errorf("folder: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var records []*record // that are new; the first is the one to save
	if j != nil {
		m, err := q.committed(j)
		if m == nil || err != nil {
			return false, err
		}
		records = append(records, m)
	}
	for _, m := range list {
		old := q.messages[m.Message.ID]
		if i := slices.IndexFunc(records, func(n *record) bool { return n.Message.ID == m.Message.ID }); i >= 0 {
			old = records[i]
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

// committed is the record of a message with j in its place, nil if this commit has been before.
func (q *Folder) committed(j *queue.Job) (*record, error) {
	m, lost := q.messages[j.Key.ID], fmt.Errorf("folder: %w: %s", queue.ErrLeaseLost, j.Key)
	if m == nil || j.Key.N < 0 || j.Key.N >= len(m.Jobs) || j.Token == 0 {
		return nil, lost
	}
	old := m.Jobs[j.Key.N]
	if j.Token == old.Spent {
		return nil, nil
	} else if j.Token != old.Token {
		return nil, lost
	}
	c := *m
	c.Jobs = slices.Clone(m.Jobs)
	c.Jobs[j.Key.N] = &job{Job: *old.Committed(j), Spent: j.Token}
	return &c, nil
}

// store makes records the latest ones of their messages, by saving the first of them with the others in it.
func (q *Folder) store(records []*record) error {
	body := func(m *record) string { return filepath.Join(q.dir, "bodies", string(m.Message.ID)) }
	for _, m := range records {
		for _, j := range m.Jobs {
			j.GiveMarks(func() queue.Mark { q.mark++; return q.mark })
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

func (q *Folder) Open(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.messages[id]
	if !m.unfinished() {
		return nil, fmt.Errorf("folder: %w: %s", queue.ErrNotFound, id)
	}
	f, err := os.Open(filepath.Join(q.dir, "bodies", string(id)))
	if err != nil {
		return nil, fmt.Errorf("folder: %w: %w", queue.ErrDamaged, err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != m.Message.Size { // it never changes from here on
		return nil, cmp.Or(err, f.Close(), fmt.Errorf("folder: %s: %w: %w", id, queue.ErrDamaged, io.ErrUnexpectedEOF))
	}
	return f, nil
}

func (q *Folder) jobs() (jobs []*queue.Job) {
	for _, m := range q.messages {
		for _, j := range m.Jobs {
			jobs = append(jobs, &j.Job)
		}
	}
	return jobs
}

func (q *Folder) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	if r.Lease <= 0 {
		return queue.Claimed{}, fmt.Errorf("folder: %w: Lease is %v", queue.ErrInvalid, r.Lease)
	}
	if ctx.Err() != nil {
		return queue.Claimed{}, ctx.Err()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	c := r.Select(q.jobs())
	for i, j := range c.Jobs {
		if j.Token != 0 {
			j.Lapses++
		}
		q.token++
		j.Token, j.Leased = q.token, r.Now.Add(r.Lease)
		c.Jobs[i] = j.Clone()
	}
	return c, nil
}

// Jobs lists copies, so nothing is locked while the loop runs.
func (q *Folder) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	return func(yield func(*queue.Job, error) bool) {
		if ctx.Err() != nil {
			yield(nil, ctx.Err())
			return
		}
		q.mu.Lock()
		list := f.Select(q.jobs())
		for i, j := range list {
			list[i] = j.Clone()
			list[i].Token = 0
		}
		q.mu.Unlock()
		for _, j := range list {
			if !yield(j, nil) {
				return
			}
		}
	}
}
