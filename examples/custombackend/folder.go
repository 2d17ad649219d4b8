package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// Folder is a queue in a folder, for one process at a time. It shows all that a backend has to do, in the simplest way: jobs
// are in memory too, and Claim looks at each of them. How to do without that is shown by memqueue.
//
// messages/ID is the record of a message with its jobs, as JSON; bodies/ has the bodies. A record is replaced by writing a
// new one beside it, syncing that, and renaming it: after a crash there is the old one or the new one. This one rename is
// every change, and what the record needs is durable before it; what a crash leaves over, OpenFolder removes.
//
// A commit that also enqueues a bounce would be two records, and a crash between two renames would lose the bounce. So the
// record of the committed job carries the bounce's first record, in More: one rename stores both. The bounce gets a file
// of its own at its first commit, and that file is newer than the copy in More.
//
// Leases are in memory: a crash ends them, and the next process finds all unfinished jobs waiting.
type Folder struct {
	dir      string
	mu       sync.Mutex // guards what follows; not held while the body of a message is written or read
	messages map[queue.ID]*record
	mark     queue.Mark
	token    queue.Token
}

// record is what is stored of a message. When its jobs are all finished it has neither Head nor Body.
type record struct {
	Message queue.Message
	Jobs    []*job
	Head    []byte    // what Entry.Head returned
	Body    string    // the file in bodies/ with what comes after Head
	More    []*record // of the messages that commits of this one have enqueued
}

type job struct {
	queue.Job
	Spent queue.Token // by the latest commit
}

// OpenFolder opens the queue in dir. Nothing here keeps a second process out, or tells a damaged record from a good one: a
// backend for more than an example takes a lock, and stores a version and a checksum with each record.
func OpenFolder(dir string) (*Folder, error) {
	// Tokens begin at a random number, so that no other opening of the folder has given out the same.
	q := &Folder{dir: dir, messages: make(map[queue.ID]*record), token: queue.Token(rand.Uint64()>>1 | 1)}
	named := map[string]bool{}
	err := q.each("messages", func(path string) error {
		b, err := os.ReadFile(path)
		m := new(record)
		if filepath.Base(path)[0] == '.' { // no ID: a record that was being written
			return os.Remove(path)
		} else if err = cmp.Or(err, json.Unmarshal(b, m)); err != nil {
			return fmt.Errorf("folder: %w: %s: %w", queue.ErrDamaged, path, err)
		}
		for _, n := range m.More {
			q.messages[n.Message.ID] = cmp.Or(q.messages[n.Message.ID], n) // a file of its own is newer
		}
		q.messages[m.Message.ID] = m
		return nil
	})
	for _, m := range q.messages {
		named[m.Body] = true
		for _, j := range m.Jobs {
			j.Token, j.Leased = 0, time.Time{}
			q.mark = max(q.mark, j.Mark())
		}
	}
	return q, cmp.Or(err, q.each("bodies", func(path string) error {
		if err != nil || named[filepath.Base(path)] {
			return nil
		}
		return os.Remove(path)
	}))
}

// each makes a folder, if there is none, and calls f with the path of each file there.
func (q *Folder) each(name string, f func(path string) error) error {
	dir := filepath.Join(q.dir, name)
	err := os.MkdirAll(dir, 0o700)
	files, _ := os.ReadDir(dir)
	for _, file := range files {
		err = cmp.Or(err, f(filepath.Join(dir, file.Name())))
	}
	return err
}

// create writes a file for content, and returns its path and size when it is durable.
func create(dir string, content io.Reader) (path string, size int64, err error) {
	f, err := os.CreateTemp(dir, ".*")
	if err != nil {
		return "", 0, err
	}
	size, err = io.Copy(f, content)
	if err = cmp.Or(err, f.Sync(), f.Close(), syncDir(dir)); err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), size, err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return cmp.Or(d.Sync(), d.Close())
}

// save makes m the stored record of its message.
func (q *Folder) save(m *record) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	dir := filepath.Join(q.dir, "messages")
	path, _, err := create(dir, bytes.NewReader(b))
	if err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(dir, string(m.Message.ID))); err != nil {
		return cmp.Or(err, os.Remove(path))
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("%w: %w", queue.ErrInDoubt, err) // renamed, but perhaps not for long
	}
	return nil
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// write makes a record of e, with a file that no stored record names yet.
func (q *Folder) write(ctx context.Context, e *queue.Entry) (*record, error) {
	if err := cmp.Or(ctx.Err(), e.Check()); err != nil {
		return nil, err
	}
	path, size, err := create(filepath.Join(q.dir, "bodies"), readerFunc(func(p []byte) (int, error) {
		if ctx.Err() != nil || e.Body == nil {
			return 0, cmp.Or(ctx.Err(), io.EOF)
		}
		return e.Body.Read(p)
	}))
	if err != nil {
		return nil, err
	}
	m := &record{Body: filepath.Base(path)}
	if e.Head != nil {
		if m.Head, err = e.Head(); err != nil {
			return nil, cmp.Or(err, os.Remove(path))
		}
	}
	m.Message = e.Message // after Head, which may complete it
	m.Message.Size = size + int64(len(m.Head))
	m.Message.Labels = slices.Clone(m.Message.Labels)
	for _, j := range e.Jobs {
		n := &job{Job: *j.Clone()}
		n.Message, n.Token, n.Leased, n.Lapses = m.Message, 0, time.Time{}, 0
		for i := range n.Recipients {
			n.Recipients[i].Mark = 0
		}
		m.Jobs = append(m.Jobs, n)
	}
	return m, nil
}

// Enqueue implements queue.Queue.
func (q *Folder) Enqueue(ctx context.Context, e *queue.Entry) (added bool, err error) {
	err = q.change(ctx, []*queue.Entry{e}, func(more []*record, conflict error) (*record, error) {
		if added = len(more) > 0; !added {
			return nil, conflict
		}
		return more[0], nil
	})
	return added && err == nil, err
}

// Commit implements queue.Queue.
func (q *Folder) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	if err := j.Check(); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	return q.change(ctx, more, func(more []*record, conflict error) (*record, error) {
		m := q.messages[j.Key.ID]
		if m == nil || j.Key.N < 0 || j.Key.N >= len(m.Jobs) || j.Token == 0 {
			return nil, fmt.Errorf("folder: %w: %s", queue.ErrLeaseLost, j.Key)
		}
		switch old := m.Jobs[j.Key.N]; j.Token {
		case old.Spent:
			return nil, nil
		case old.Token:
			n := &job{Job: *j.Clone(), Spent: j.Token}
			n.Message, n.Domain, n.Token, n.Leased = old.Message, old.Domain, 0, time.Time{}
			for i := range min(len(n.Recipients), len(old.Recipients)) {
				n.Recipients[i].Mark = old.Recipients[i].Mark
			}
			c := *m
			c.Jobs, c.More = slices.Clone(m.Jobs), slices.Concat(m.More, more)
			c.Jobs[j.Key.N] = n
			return &c, conflict
		}
		return nil, fmt.Errorf("folder: %w: %s", queue.ErrLeaseLost, j.Key)
	})
}

// change is how anything stored changes: with the bodies of es written, apply returns the one record to save, nil for none.
func (q *Folder) change(ctx context.Context, es []*queue.Entry, apply func(more []*record, conflict error) (*record, error)) (err error) {
	var spare []string // files in bodies/ that no record will name
	defer func() {
		for _, name := range spare {
			os.Remove(filepath.Join(q.dir, "bodies", name))
		}
	}()
	list := make([]*record, len(es))
	for i, e := range es {
		if list[i], err = q.write(ctx, e); err != nil {
			return fmt.Errorf("folder: %w", err)
		}
		spare = append(spare, list[i].Body)
	}
	if err := q.lock(ctx); err != nil {
		return err
	}
	defer q.mu.Unlock()
	var conflict error
	more := map[queue.ID]*record{}
	for _, m := range list {
		if old := cmp.Or(q.messages[m.Message.ID], more[m.Message.ID]); old == nil {
			more[m.Message.ID] = m
		} else if old.Message.Digest != m.Message.Digest {
			conflict = fmt.Errorf("folder: %w: %s", queue.ErrConflict, m.Message.ID)
		}
	}
	saved, err := apply(slices.Collect(maps.Values(more)), conflict)
	if saved == nil || err != nil {
		return err
	}
	if old := q.messages[saved.Message.ID]; old != nil {
		spare = append(spare, old.Body)
	}
	more[saved.Message.ID] = saved
	for _, m := range more {
		q.settle(m)
	}
	if err := q.save(saved); err != nil {
		if errors.Is(err, queue.ErrInDoubt) {
			spare = nil
		}
		return fmt.Errorf("folder: %w", err)
	}
	maps.Copy(q.messages, more)
	spare = slices.DeleteFunc(spare, func(name string) bool {
		for _, m := range more {
			if m.Body == name {
				return true
			}
		}
		return false
	})
	return nil
}

// settle gives marks to what has ended in m, and lets go of the body if all has.
func (q *Folder) settle(m *record) {
	unfinished := false
	for _, j := range m.Jobs {
		for i := range j.Recipients {
			if r := &j.Recipients[i]; r.State.Final() && r.Mark == 0 {
				q.mark++
				r.Mark = q.mark
			}
		}
		unfinished = unfinished || j.Finished.IsZero()
	}
	if !unfinished {
		m.Head, m.Body = nil, ""
	}
}

// Open implements queue.Queue.
func (q *Folder) Open(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if err := q.lock(ctx); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	m := q.messages[id]
	if m == nil || m.Body == "" {
		return nil, fmt.Errorf("folder: %w: %s", queue.ErrNotFound, id)
	}
	f, err := os.Open(filepath.Join(q.dir, "bodies", m.Body))
	if err != nil {
		return nil, fmt.Errorf("folder: %w: %w", queue.ErrDamaged, err)
	}
	missing := readerFunc(func([]byte) (int, error) { return 0, fmt.Errorf("folder: %s: %w", f.Name(), io.ErrUnexpectedEOF) })
	whole := io.LimitReader(io.MultiReader(bytes.NewReader(m.Head), f, missing), m.Message.Size)
	return struct {
		io.Reader
		io.Closer
	}{whole, f}, nil
}

// lock begins a method that looks at the records. Only if it returns nil is the queue locked.
func (q *Folder) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	q.mu.Lock()
	return nil
}
