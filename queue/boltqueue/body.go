package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// A body is stored in segments, each a bucket of its own, because bbolt copies the values that share a page whenever one of
// them changes. A segment has a few chunks, small enough that each reader can hold one.
const (
	chunkSize   = 64 << 10
	segmentSize = 256 << 10
)

// segment is part of a body as it is read, in chunks.
type segment struct {
	chunks [][]byte
	size   int
}

func (s *segment) full() bool { return s.size >= segmentSize }

// fill reads r until the segment is full or r ends, which it reports.
func (s *segment) fill(r io.Reader, memory *sync.Pool) (end bool, err error) {
	for !s.full() {
		c, err := readChunk(memory.Get().(*[chunkSize]byte)[:0], r)
		s.chunks = append(s.chunks, c)
		s.size += len(c)
		if err != nil {
			if err == io.EOF {
				return true, nil
			}
			return false, err
		}
	}
	return false, nil
}

// maxEmptyReads is how often a reader may return nothing, and no error, in a row.
const maxEmptyReads = 100

// readChunk appends to c until it is full or r returns an error.
func readChunk(c []byte, r io.Reader) ([]byte, error) {
	for empty := 0; len(c) < cap(c); {
		n, err := r.Read(c[len(c):cap(c)])
		c = c[:len(c)+n]
		if err != nil {
			return c, err
		}
		if n > 0 {
			empty = 0
		} else if empty++; empty == maxEmptyReads {
			return c, io.ErrNoProgress
		}
	}
	return c, nil
}

// reset empties the segment and gives its memory back.
func (s *segment) reset(memory *sync.Pool) {
	for _, c := range s.chunks {
		memory.Put((*[chunkSize]byte)(c[:chunkSize]))
	}
	s.chunks, s.size = s.chunks[:0], 0
}

// sealedSegment is a segment as it is stored: a bucket of chunks.
type sealedSegment struct {
	key    []byte
	chunks [][]byte
}

// seal makes the records of these chunks, in the memory of what s was before.
func (s *sealedSegment) seal(key []byte, chunks ...[]byte) {
	old := s.chunks[:cap(s.chunks)]
	s.key, s.chunks = key, s.chunks[:0]
	for i, c := range chunks {
		var memory []byte
		if i < len(old) {
			memory = old[i]
		}
		s.chunks = append(s.chunks, seal(slices.Grow(memory[:0], frame+len(c)), s.chunkKey(i), c))
	}
}

func (s *sealedSegment) chunkKey(i int) []byte { return append(slices.Clip(s.key), byte(i)) }

func (s *sealedSegment) put(t *tx) error {
	b, err := t.bodies.CreateBucket(s.key)
	if err != nil {
		return err
	}
	for i, c := range s.chunks {
		if err := b.Put(s.chunkKey(i), c); err != nil {
			return err
		}
	}
	return nil
}

// prepared is an entry whose body has been read to its end, ready to be stored in one transaction. Whatever takes time is done
// before, by the caller, since all callers wait for the one who writes.
type prepared struct {
	message *messageRecord
	record  []byte // of message
	jobs    []preparedJob
	body    []sealedSegment // what is stored with the message
	size    int             // octets of it all, roughly
	draft   draft
	adopted bool // the draft has become the body of a message, if the transaction succeeds
}

// draft is what was written ahead of a body.
type draft struct {
	body     uint64
	segments uint32 // how many; if 0 there is no draft
	ahead    sealedSegment
}

// prepare checks e and reads its body. What is more than a segment is written ahead, a segment to a transaction, as a draft
// that nothing refers to until the message is stored, and that Open deletes if it never is.
func (q *Queue) prepare(ctx context.Context, e *queue.Entry) (*prepared, error) {
	if err := e.Check(); err != nil {
		return nil, q.wrap(err)
	}
	p := &prepared{draft: draft{body: q.lastBody.Add(1)}}
	size, err := q.readBody(ctx, p, e)
	if err != nil {
		q.discard([]*prepared{p}, err)
		return nil, err
	}
	m, jobs := e.Stored(size)
	p.message = &messageRecord{Message: m}
	for _, j := range jobs {
		p.message.count(j)
		p.jobs = append(p.jobs, prepareJob(&jobRecord{*j}))
	}
	if p.message.Unfinished > 0 && size > 0 {
		p.message.Body = p.draft.body
	}
	p.record = seal(nil, []byte(m.ID), p.message.encode())
	for _, s := range p.body {
		for _, c := range s.chunks {
			p.size += len(c)
		}
	}
	p.size += 1024 * len(p.jobs)
	return p, nil
}

// readBody reads the body of e, calls its Head, and returns how long both are.
func (q *Queue) readBody(ctx context.Context, p *prepared, e *queue.Entry) (size int64, err error) {
	var s segment
	defer func() { s.reset(&q.memory) }()
	for end := e.Body == nil; !end; {
		if err := ctx.Err(); err != nil {
			return 0, q.wrap(err)
		}
		if end, err = s.fill(e.Body, &q.memory); err != nil {
			return 0, q.wrap(fmt.Errorf("body of %q: %w", e.Message.ID, err))
		}
		size += int64(s.size)
		if end && (p.draft.segments == 0 || s.size == 0) {
			break
		}
		p.draft.ahead.seal(segmentKey(p.draft.body, bodyPart, p.draft.segments), s.chunks...)
		if err := q.submit(ctx, &writeAhead{&p.draft}, s.size); err != nil {
			return 0, err
		}
		p.draft.segments++
		s.reset(&q.memory)
	}
	var head []byte
	if e.Head != nil {
		if head, err = e.Head(); err != nil {
			return 0, q.wrap(fmt.Errorf("head of %q: %w", e.Message.ID, err))
		}
	}
	p.sealBody(head, &s)
	return size + int64(len(head)), nil
}

// sealBody prepares what is in memory of a body.
func (p *prepared) sealBody(head []byte, s *segment) {
	add := func(part byte, n uint32, chunks ...[]byte) {
		var x sealedSegment
		x.seal(segmentKey(p.draft.body, part, n), chunks...)
		p.body = append(p.body, x)
	}
	if p.draft.segments == 0 && len(head)+s.size > 0 && len(head)+s.size <= segmentSize { // the usual case: one bucket for both
		chunks := s.chunks
		if len(head) > 0 {
			chunks = append([][]byte{head}, chunks...)
		}
		add(headPart, 0, chunks...)
		return
	}
	n := uint32(0)
	for h := range slices.Chunk(head, segmentSize) {
		add(headPart, n, slices.Collect(slices.Chunk(h, chunkSize))...)
		n++
	}
	if s.size > 0 {
		add(bodyPart, 0, s.chunks...)
	}
}

// writeAhead adds the segment in memory to a draft.
type writeAhead struct{ *draft }

func (c *writeAhead) apply(t *tx) error {
	if c.segments == 0 {
		if err := put(t.drafts, numberKey(c.body), nil); err != nil {
			return err
		}
	}
	return c.ahead.put(t)
}

// discard deletes what was written ahead of messages that aren't stored after all, since err kept them all from it or they
// were known. A draft that stays because even this fails is in nobody's way, and the next Open deletes it, so what the
// caller hears doesn't depend on it, nor does it depend on the caller's ctx.
func (q *Queue) discard(ps []*prepared, err error) {
	for _, p := range ps {
		if p.draft.segments > 0 && (err != nil || !p.adopted) {
			_ = q.submit(context.Background(), &deleteDraft{p.draft.body}, 0)
		}
	}
}

// deleteDraft deletes a body that no message refers to.
type deleteDraft struct{ body uint64 }

func (c *deleteDraft) apply(t *tx) error {
	return errors.Join(deleteBody(t, c.body), t.drafts.Delete(numberKey(c.body)))
}

// deleteBody deletes all segments of a body.
func deleteBody(t *tx, body uint64) error {
	for {
		k, err := nextSegment(t.bodies, body, nil)
		if err != nil || k == nil {
			return err
		}
		if err := t.bodies.DeleteBucket(k); err != nil {
			return err
		}
	}
}

// nextSegment returns a copy of the key of the first segment of a body that comes after the key given; nil if there is none.
func nextSegment(bodies *bolt.Bucket, body uint64, after []byte) ([]byte, error) {
	prefix := numberKey(body)
	c := bodies.Cursor()
	k, _ := c.Seek(append(prefix, after[min(len(after), len(prefix)):]...))
	if after != nil && bytes.Equal(k, after) {
		k, _ = c.Next()
	}
	if !bytes.HasPrefix(k, prefix) {
		return nil, nil
	}
	if len(k) != len(prefix)+5 {
		return nil, fmt.Errorf("%w: %q is not a segment", queue.ErrDamaged, k)
	}
	return bytes.Clone(k), nil
}
