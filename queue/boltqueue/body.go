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

// segment is part of a body, in chunks: as it is read, and then, sealed, as it is stored in a bucket.
type segment struct {
	key    []byte // once it is sealed
	chunks []*chunk
	size   int // octets of the body
}

func (s *segment) add(c *chunk) {
	s.chunks = append(s.chunks, c)
	s.size += c.size()
}

// fill reads r until the segment is full or r ends, which it reports.
func (s *segment) fill(r io.Reader, m *memory) (end bool, err error) {
	for s.size < segmentSize && err == nil {
		room := chunkSize
		if s.size == 0 {
			room = smallChunk
		}
		c := m.chunk(room)
		for err = c.fill(r); err == nil && c.room() < chunkSize; err = c.fill(r) {
			c = m.grow(c)
		}
		if c.size() > 0 {
			s.add(c)
		} else {
			m.giveBack(c)
		}
	}
	if err == io.EOF {
		return true, nil
	}
	return false, err
}

// copy adds b, in as few chunks as will do. So many more octets are to come.
func (s *segment) copy(b []byte, more int, m *memory) {
	for len(b) > 0 {
		n := len(s.chunks)
		if n == 0 || s.chunks[n-1].size() == chunkSize {
			s.chunks = append(s.chunks, m.chunk(min(len(b)+more, chunkSize)))
			continue
		}
		c := s.chunks[n-1]
		part := b[:min(len(b), chunkSize-c.size())]
		c.record = append(c.record, part...)
		s.size += len(part)
		b = b[len(part):]
	}
}

// seal makes a record of each chunk.
func (s *segment) seal(key []byte) {
	s.key = key
	for i, c := range s.chunks {
		c.seal(s.chunkKey(i))
	}
}

func (s *segment) chunkKey(i int) []byte { return append(slices.Clip(s.key), byte(i)) }

func (s *segment) put(t *tx) error {
	b, err := t.bodies().CreateBucket(s.key)
	if err != nil {
		return err
	}
	for i, c := range s.chunks {
		if err := b.Put(s.chunkKey(i), c.record); err != nil {
			return err
		}
	}
	return nil
}

// release empties the segment and gives its memory back. No transaction may need it any more: bbolt copies what it has put
// only when it commits.
func (s *segment) release(m *memory) {
	for _, c := range s.chunks {
		m.giveBack(c)
	}
	*s = segment{chunks: s.chunks[:0]}
}

// prepared is an entry whose body has been read to its end, ready to be stored in one transaction. Whatever takes time is done
// before, by the caller, since all callers wait for the one who writes.
type prepared struct {
	message *messageRecord
	record  []byte // of message
	jobs    []preparedJob
	body    []segment // what is stored with the message
	size    int       // octets of it all, roughly
	draft   draft
	adopted bool // the draft has become the body of a message, if the transaction succeeds

	limited bool  // the queue's limits apply
	full    error // why the message, unless it is stored already, can't be; nothing of its body is kept then
}

// draft is what was written ahead of a body.
type draft struct {
	of       queue.ID
	body     uint64
	segments uint32 // how many; if 0 there is no draft
}

// prepare checks e and reads its body. What is more than a segment is written ahead, a segment to a transaction, as a draft
// that nothing refers to until the message is stored, and that Open deletes if it never is. If p is limited and the queue
// full, its body isn't even read, unless the message is stored already.
func (q *Queue) prepare(ctx context.Context, e *queue.Entry, limited bool) (*prepared, error) {
	if err := e.Check(); err != nil {
		return nil, q.wrap(err)
	}
	p := &prepared{draft: draft{of: e.Message.ID, body: q.lastBody.Add(1)}, limited: limited}
	if limited {
		if full := q.limits.refuses(); full != nil {
			if err := q.unlessStored(p, e.Message.ID, full); err != nil {
				return nil, err
			}
		}
	}
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
		p.size += s.size
	}
	p.size += 1024 * len(p.jobs)
	return p, nil
}

// readBody reads the body of e, calls its Head, and returns how long both are.
func (q *Queue) readBody(ctx context.Context, p *prepared, e *queue.Entry) (size int64, err error) {
	var s segment
	defer s.release(&q.memory)
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
		if err := q.writeAhead(ctx, p, e.Message.ID, &s); err != nil {
			return 0, err
		}
		s.release(&q.memory)
	}
	var head []byte
	if e.Head != nil {
		if head, err = e.Head(); err != nil {
			return 0, q.wrap(fmt.Errorf("head of %q: %w", e.Message.ID, err))
		}
	}
	p.sealBody(head, &s, &q.memory)
	return size + int64(len(head)), nil
}

// sealBody prepares what is in memory of a body: head and s, of which it leaves what it hasn't taken over.
func (p *prepared) sealBody(head []byte, s *segment, m *memory) {
	add := func(part byte, n uint32, s segment) {
		s.seal(segmentKey(p.draft.body, part, n))
		p.body = append(p.body, s)
	}
	if p.draft.segments == 0 && len(head)+s.size > 0 && len(head)+s.size <= segmentSize { // the usual case: one bucket for both
		var whole segment
		whole.copy(head, s.size, m)
		left := s.size
		for _, c := range s.chunks { // into the same chunk if possible: to copy one costs less than to store another
			left -= c.size()
			whole.copy(c.record[1:], left, m)
		}
		add(headPart, 0, whole)
		return
	}
	n := uint32(0)
	for h := range slices.Chunk(head, segmentSize) {
		var part segment
		part.copy(h, 0, m)
		add(headPart, n, part)
		n++
	}
	if s.size > 0 {
		add(bodyPart, 0, *s)
		*s = segment{}
	}
}

// writeAhead has s added to the draft of p.
func (q *Queue) writeAhead(ctx context.Context, p *prepared, id queue.ID, s *segment) error {
	if p.full != nil {
		return nil
	}
	s.seal(segmentKey(p.draft.body, bodyPart, p.draft.segments))
	c := &writeAhead{draft: &p.draft, segment: s, limit: p.limited}
	if err := q.submit(ctx, c, s.size); err != nil {
		return err
	}
	if c.refused != nil {
		return q.unlessStored(p, id, c.refused)
	}
	p.draft.segments++
	return nil
}

// writeAhead adds a segment to a draft.
type writeAhead struct {
	*draft
	*segment
	limit   bool // the queue's limits apply
	refused error
}

func (c *writeAhead) limited() bool { return c.limit }

func (c *writeAhead) apply(t *tx) error {
	if c.limit {
		if c.refused = t.admit(c.size); c.refused != nil {
			return nil
		}
	}
	if c.segments == 0 {
		if err := put(t.drafts(), numberKey(c.body), nil); err != nil {
			return err
		}
	}
	return c.put(t)
}

// discard lets go of messages with which no transaction has to do any more. It gives their memory back, and deletes what was
// written ahead of those that aren't stored after all, since err kept them all from it or they were known. A draft that stays
// because even this fails is in nobody's way, and the next Open deletes it, so what the
// caller hears doesn't depend on it, nor does it depend on the caller's ctx.
func (q *Queue) discard(ps []*prepared, err error) {
	for _, p := range ps {
		for i := range p.body {
			p.body[i].release(&q.memory)
		}
		p.body = nil
		if p.draft.segments > 0 && (err != nil || !p.adopted) {
			_ = q.submit(context.Background(), &deleteDraft{p.draft.body}, 0)
		}
	}
}

// deleteDraft deletes a body that no message refers to: one that still is a draft. That a transaction has failed doesn't mean
// so, since it may be the other way round with one that was in doubt.
type deleteDraft struct{ body uint64 }

func (c *deleteDraft) apply(t *tx) error {
	key := numberKey(c.body)
	if t.drafts().Get(key) == nil {
		return nil
	}
	return errors.Join(deleteBody(t, c.body), t.drafts().Delete(key))
}

// deleteBody deletes the body of a message. What was written a moment ago need not be looked for, nor at.
func (m *messageRecord) deleteBody(t *tx, fresh bool) error {
	if fresh && m.Size <= segmentSize {
		return t.bodies().DeleteBucket(segmentKey(m.Body, headPart, 0))
	}
	return deleteBody(t, m.Body)
}

// deleteBody deletes all segments of a body, except for damaged ones: which pages would become free isn't known.
func deleteBody(t *tx, body uint64) error {
	var k []byte
	for {
		var err error
		if k, err = nextSegment(t.bodies(), body, k); err != nil || k == nil {
			return err
		}
		if t.pass(queue.Key{}, t.intact(k)) {
			continue
		}
		if err := t.bodies().DeleteBucket(k); err != nil {
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
