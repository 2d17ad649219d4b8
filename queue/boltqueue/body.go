package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// A body is stored in segments, each a bucket of its own, because bbolt copies the values that share a page whenever one of
// them changes. A segment has a few chunks, small enough that each reader can hold one.
const (
	chunkSize   = 64 << 10
	segmentSize = 256 << 10
)

// segment is part of a body in memory, as chunks.
type segment struct {
	chunks [][]byte
	size   int
}

func (s *segment) full() bool { return s.size >= segmentSize }

// fill reads r until the segment is full or r ends, which it reports. Chunks of an earlier use are used again.
func (s *segment) fill(r io.Reader) (end bool, err error) {
	for spare := s.chunks[:cap(s.chunks)]; !s.full(); {
		var c []byte
		if n := len(s.chunks); n < len(spare) {
			c = spare[n][:0]
		}
		c, err = readChunk(c, r)
		if len(c) > 0 {
			s.chunks = append(s.chunks, c)
			s.size += len(c)
		}
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

// readChunk appends to c until it has chunkSize octets or r returns an error. It starts small: most messages are.
func readChunk(c []byte, r io.Reader) ([]byte, error) {
	for empty := 0; len(c) < chunkSize; {
		if len(c) == cap(c) {
			c = slices.Grow(c, min(max(len(c), 4<<10), chunkSize-len(c)))
		}
		n, err := r.Read(c[len(c):min(cap(c), chunkSize)])
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

// reset empties the segment and keeps its memory.
func (s *segment) reset() { s.chunks, s.size = s.chunks[:0], 0 }

// put stores the segment under key.
func (s *segment) put(t *tx, key []byte) error {
	b, err := t.bodies.CreateBucket(key)
	if err != nil {
		return err
	}
	for i, c := range s.chunks {
		if err := put(b, append(slices.Clip(key), byte(i)), c); err != nil {
			return err
		}
	}
	return nil
}

// putBytes stores b as the segments of a part, in order.
func putBytes(t *tx, body uint64, part byte, b []byte) error {
	for n := uint32(0); len(b) > 0; n++ {
		var s segment
		for !s.full() && len(b) > 0 {
			size := min(chunkSize, len(b))
			s.chunks, s.size, b = append(s.chunks, b[:size]), s.size+size, b[size:]
		}
		if err := s.put(t, segmentKey(body, part, n)); err != nil {
			return err
		}
	}
	return nil
}

// prepared is an entry whose body has been read to its end, ready to be stored in one transaction.
type prepared struct {
	queue.Entry
	jobs []*jobRecord
	head []byte
	body segment // all of the body, or what wasn't written ahead
	size int64   // octets of head and body

	draft   uint64 // names what was written ahead; 0 if nothing was
	ahead   uint32 // segments written ahead
	adopted bool   // the draft has become the body of a message, if the transaction succeeds
}

// prepare checks e and reads its body. What is more than a segment is written ahead, a segment to a transaction, as a draft
// that nothing refers to until the message is stored, and that Open deletes if it never is.
func (q *Queue) prepare(ctx context.Context, e *queue.Entry) (*prepared, error) {
	if err := e.Check(); err != nil {
		return nil, q.wrap(err)
	}
	p := &prepared{Entry: *e}
	if err := q.readBody(ctx, p); err != nil {
		q.discard([]*prepared{p}, err)
		return nil, err
	}
	var jobs []*queue.Job
	p.Message, jobs = e.Stored(p.size)
	for _, j := range jobs {
		p.jobs = append(p.jobs, &jobRecord{*j})
	}
	return p, nil
}

func (q *Queue) readBody(ctx context.Context, p *prepared) error {
	for end := p.Body == nil; !end; {
		if err := ctx.Err(); err != nil {
			return q.wrap(err)
		}
		var err error
		if end, err = p.body.fill(p.Body); err != nil {
			return q.wrap(fmt.Errorf("body of %q: %w", p.Message.ID, err))
		}
		if end && (p.draft == 0 || p.body.size == 0) {
			break
		}
		if err := q.submit(ctx, &writeAhead{p}, p.body.size); err != nil {
			return err
		}
		p.ahead++
		p.size += int64(p.body.size)
		p.body.reset()
	}
	p.size += int64(p.body.size)
	if p.Head == nil {
		return nil
	}
	var err error
	if p.head, err = p.Head(); err != nil {
		return q.wrap(fmt.Errorf("head of %q: %w", p.Message.ID, err))
	}
	p.size += int64(len(p.head))
	return nil
}

// inMemory is what storing p adds to a transaction, roughly.
func (p *prepared) inMemory() int { return len(p.head) + p.body.size + 1024*len(p.Jobs) }

// putBody stores what is in memory of p, and returns the name of the whole body, zero if it is empty.
func (p *prepared) putBody(t *tx) (uint64, error) {
	if p.draft != 0 {
		p.adopted = true
		return p.draft, errors.Join(putBytes(t, p.draft, headPart, p.head), t.drafts.Delete(numberKey(p.draft)))
	}
	if p.size == 0 {
		return 0, nil
	}
	body, err := t.bodies.NextSequence()
	if err != nil {
		return 0, err
	}
	if len(p.head)+p.body.size <= segmentSize { // the usual case: one bucket for both
		s := segment{chunks: p.body.chunks}
		if len(p.head) > 0 {
			s.chunks = append([][]byte{p.head}, s.chunks...)
		}
		return body, s.put(t, segmentKey(body, headPart, 0))
	}
	if err := putBytes(t, body, headPart, p.head); err != nil || p.body.size == 0 {
		return body, err
	}
	return body, p.body.put(t, segmentKey(body, bodyPart, 0))
}

// writeAhead adds the segment in memory to the draft of a message.
type writeAhead struct{ *prepared }

func (c *writeAhead) apply(t *tx) error {
	if c.draft != 0 {
		return c.body.put(t, segmentKey(c.draft, bodyPart, c.ahead))
	}
	draft, err := t.bodies.NextSequence()
	if err != nil {
		return err
	}
	c.draft = draft
	if err := put(t.drafts, numberKey(draft), nil); err != nil {
		return err
	}
	return c.body.put(t, segmentKey(draft, bodyPart, 0))
}

// discard deletes what was written ahead of messages that aren't stored after all, since err kept them all from it or they
// were known. A draft that stays because even this fails is in nobody's way, and the next Open deletes it, so what the
// caller hears doesn't depend on it, nor does it depend on the caller's ctx.
func (q *Queue) discard(ps []*prepared, err error) {
	for _, p := range ps {
		if p.draft != 0 && (err != nil || !p.adopted) {
			_ = q.submit(context.Background(), &deleteDraft{p.draft}, 0)
		}
	}
}

// deleteDraft deletes a body that no message refers to.
type deleteDraft struct{ body uint64 }

func (c *deleteDraft) apply(t *tx) error {
	return errors.Join(deleteBody(t, c.body), t.drafts.Delete(numberKey(c.body)))
}

// deleteBody deletes all segments of a body, except for damaged ones: which pages would become free isn't known.
func deleteBody(t *tx, body uint64) error {
	var k []byte
	for {
		var err error
		if k, err = nextSegment(t.bodies, body, k); err != nil || k == nil {
			return err
		}
		if t.pass(queue.Key{}, t.intact(k)) {
			continue
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
