package boltqueue

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// plain is what the benchmarks compare with: bbolt with the same buckets, keys, records and options as a queue, and the same
// group commit, but nothing else. It makes no checksums, looks for no earlier message of the same ID, keeps no lanes and
// purges nothing.
type plain struct {
	db      *bolt.DB
	wake    chan struct{}
	stopped chan struct{}
	mu      sync.Mutex // guards all below
	waiting []*plainMessage
	closed  bool
}

// plainMessage is what one message puts into the file.
type plainMessage struct {
	message *messageRecord
	jobs    []*jobRecord
	records [][]byte // of jobs
	body    []byte
	err     error
	done    chan struct{}
}

func openPlain(t testing.TB) *plain {
	t.Helper()
	db, err := bolt.Open(newPath(t), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, NoFreelistSync: true, NoStatistics: true})
	if err != nil {
		t.Fatal(err)
	}
	p := &plain{db: db, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	err = db.Update(func(b *bolt.Tx) error {
		for _, name := range []string{messagesBucket, jobsBucket, lanesBucket, expiryBucket, bodiesBucket} {
			if _, err := b.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	go p.write()
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		close(p.wake)
		<-p.stopped
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// enqueue stores e, whose body fits into one chunk.
func (p *plain) enqueue(_ context.Context, e *queue.Entry) error {
	body, err := io.ReadAll(e.Body)
	if err != nil {
		return err
	}
	m := &plainMessage{message: &messageRecord{Message: e.Message, Unfinished: len(e.Jobs)}, body: body, done: make(chan struct{})}
	m.message.Size = int64(len(body))
	for _, j := range e.Jobs {
		r := &jobRecord{Job: *j}
		r.Message = m.message.Message
		m.jobs = append(m.jobs, r)
		m.records = append(m.records, r.encode())
	}
	p.mu.Lock()
	p.waiting = append(p.waiting, m)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
	<-m.done
	return m.err
}

func (p *plain) write() {
	defer close(p.stopped)
	for range p.wake {
		for {
			p.mu.Lock()
			group := p.waiting
			p.waiting = nil
			p.mu.Unlock()
			if len(group) == 0 {
				break
			}
			err := p.db.Update(func(b *bolt.Tx) error {
				for _, m := range group {
					if err := m.put(b); err != nil {
						return err
					}
				}
				return nil
			})
			for _, m := range group {
				m.err = err
				close(m.done)
			}
		}
	}
}

func (m *plainMessage) put(b *bolt.Tx) error {
	bodies := b.Bucket([]byte(bodiesBucket))
	body, err := bodies.NextSequence()
	if err != nil {
		return err
	}
	m.message.Body = body
	err = b.Bucket([]byte(messagesBucket)).Put([]byte(m.message.ID), m.message.encode())
	for i, j := range m.jobs {
		lane := entryKey(lanePrefix(j.Lane()), j.Due, j.Key)
		err = errors.Join(err,
			b.Bucket([]byte(jobsBucket)).Put(jobKey(j.Key), m.records[i]),
			b.Bucket([]byte(lanesBucket)).Put(lane, nil),
			b.Bucket([]byte(expiryBucket)).Put(expiryKey(j), nil))
	}
	if err != nil {
		return err
	}
	key := segmentKey(body, headPart, 0)
	segment, err := bodies.CreateBucket(key)
	if err != nil {
		return err
	}
	return segment.Put(append(key, 0), m.body)
}
