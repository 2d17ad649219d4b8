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

// lock begins a method that looks at the records. Only if it returns nil is the queue locked.
func (q *Folder) lock(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("folder: %w", ctx.Err())
	}
	q.mu.Lock()
	return nil
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
		m, err := q.committed(j)
		if m == nil || err != nil {
			return false, err
		}
		records = append(records, m)
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
	return len(records) > 0, q.store(records)
}

// committed is the record of a message with j in its place, nil if this commit has been before.
func (q *Folder) committed(j *queue.Job) (*record, error) {
	m := q.messages[j.Key.ID]
	if m == nil || j.Key.N < 0 || j.Key.N >= len(m.Jobs) || j.Token == 0 {
		return nil, fmt.Errorf("folder: %w: %s", queue.ErrLeaseLost, j.Key)
	}
	old := m.Jobs[j.Key.N]
	if j.Token == old.Spent {
		return nil, nil
	} else if j.Token != old.Token {
		return nil, fmt.Errorf("folder: %w: %s", queue.ErrLeaseLost, j.Key)
	}
	c := *m
	c.Jobs = slices.Clone(m.Jobs)
	c.Jobs[j.Key.N] = &job{Job: *old.Committed(j), Spent: j.Token}
	return &c, nil
}

// store makes records the latest ones of their messages, by saving the first of them with the others in it.
func (q *Folder) store(records []*record) error {
	if len(records) == 0 {
		return nil
	}
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
	return &bodyReader{f, m.Message.Size}, nil
}

// bodyReader reads a file that has so many octets left.
type bodyReader struct {
	*os.File
	left int64
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.File.Read(p[:min(int64(len(p)), r.left)])
	if r.left -= int64(n); err == io.EOF && r.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// jobs returns all jobs.
func (q *Folder) jobs() (jobs []*queue.Job) {
	for _, m := range q.messages {
		for _, j := range m.Jobs {
			jobs = append(jobs, &j.Job)
		}
	}
	return jobs
}

// Claim implements queue.Queue.
func (q *Folder) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	if r.Lease <= 0 {
		return queue.Claimed{}, fmt.Errorf("folder: %w: Lease is %v", queue.ErrInvalid, r.Lease)
	}
	if err := q.lock(ctx); err != nil {
		return queue.Claimed{}, err
	}
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

// Jobs implements queue.Queue. The list is a copy, so nothing is locked while the loop runs.
func (q *Folder) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	return func(yield func(*queue.Job, error) bool) {
		if err := q.lock(ctx); err != nil {
			yield(nil, err)
			return
		}
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
