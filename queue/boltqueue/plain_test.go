package boltqueue

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// plain is what the benchmarks compare with: bbolt with the same buckets, keys, records and options as a queue, and the same
// group commit, but nothing else. It makes no checksums, looks for no earlier message of the same ID, keeps no lanes and
// purges nothing.
type plain struct {
	db      *bolt.DB
	bodies  atomic.Uint64
	wake    chan struct{}
	stopped chan struct{}
	mu      sync.Mutex // guards all below
	waiting []*plainMessage
}

// plainMessage is what one message puts into the file.
type plainMessage struct {
	puts    []plainPut
	segment []byte // key of the bucket of its body
	body    []byte
	err     error
	done    chan struct{}
}

type plainPut struct {
	bucket     string
	key, value []byte
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
		close(p.wake)
		<-p.stopped
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// enqueue stores e, whose body fits into one chunk.
func (p *plain) enqueue(e *queue.Entry) error {
	body, err := io.ReadAll(e.Body)
	if err != nil {
		return err
	}
	r := &messageRecord{Message: e.Message, Unfinished: len(e.Jobs), Body: p.bodies.Add(1)}
	r.Size = int64(len(body))
	m := &plainMessage{segment: segmentKey(r.Body, headPart, 0), body: body, done: make(chan struct{})}
	m.puts = append(m.puts, plainPut{messagesBucket, []byte(r.ID), r.encode()})
	for _, j := range e.Jobs {
		j := &jobRecord{Job: *j}
		j.Message = r.Message
		m.puts = append(m.puts, plainPut{jobsBucket, jobKey(j.Key), j.encode()},
			plainPut{lanesBucket, laneKey(j), nil}, plainPut{expiryBucket, expiryKey(j), nil})
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
	for _, p := range m.puts {
		if err := b.Bucket([]byte(p.bucket)).Put(p.key, p.value); err != nil {
			return err
		}
	}
	segment, err := b.Bucket([]byte(bodiesBucket)).CreateBucket(m.segment)
	if err != nil {
		return err
	}
	return segment.Put(append(slices.Clip(m.segment), 0), m.body)
}
