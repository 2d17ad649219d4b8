package boltqueue

import (
	"bytes"
	"fmt"
	"iter"
	"time"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// The buckets of the file; the package comment draws what is in them.
const (
	fileBucket     = "file"
	messagesBucket = "messages"
	jobsBucket     = "jobs"
	lanesBucket    = "lanes"
	expiryBucket   = "expiry"
	marksBucket    = "marks"
	finishedBucket = "finished"
	bodiesBucket   = "bodies"
	draftsBucket   = "drafts"
	notesBucket    = "notes"
	claimedBucket  = "claimed"
)

// tx is a transaction on the file with its buckets at hand.
type tx struct {
	messages, jobs, lanes, expiry, marks, finished, bodies, drafts, notes, claimed *bolt.Bucket

	// What a writing transaction collects for the moment after its commit.
	touched map[queue.Lane]bool // lanes of which entries came or went
	spent   []queue.Key         // jobs whose lease ends
	latest  time.Time           // the latest time that a change has named
}

func newTx(b *bolt.Tx) (*tx, error) {
	t := &tx{touched: map[queue.Lane]bool{}}
	for name, p := range map[string]**bolt.Bucket{
		messagesBucket: &t.messages,
		jobsBucket:     &t.jobs,
		lanesBucket:    &t.lanes,
		expiryBucket:   &t.expiry,
		marksBucket:    &t.marks,
		finishedBucket: &t.finished,
		bodiesBucket:   &t.bodies,
		draftsBucket:   &t.drafts,
		notesBucket:    &t.notes,
		claimedBucket:  &t.claimed,
	} {
		if *p = b.Bucket([]byte(name)); *p == nil {
			return nil, fmt.Errorf("%w: there is no bucket %q", queue.ErrDamaged, name)
		}
	}
	return t, nil
}

// put stores a record.
func put(b *bolt.Bucket, key, fields []byte) error {
	return b.Put(key, seal(make([]byte, 0, frame+len(fields)), key, fields))
}

// message returns the record of a message, nil if there is none.
func (t *tx) message(id queue.ID) (*messageRecord, error) {
	v := t.messages.Get([]byte(id))
	if v == nil {
		return nil, nil
	}
	fields, err := unseal([]byte(id), v)
	if err != nil {
		return nil, err
	}
	m, err := decodeMessage(fields)
	if err != nil {
		return nil, fmt.Errorf("%w of %q", err, id)
	}
	m.ID = id
	return m, nil
}

func (t *tx) putMessage(m *messageRecord) error { return put(t.messages, []byte(m.ID), m.encode()) }

// job returns the record of a job, without its message; nil if there is none.
func (t *tx) job(k queue.Key) (*jobRecord, error) {
	if k.N < 0 || k.N >= queue.MaxJobs {
		return nil, nil // jobKey has no room for such numbers
	}
	key := jobKey(k)
	v := t.jobs.Get(key)
	if v == nil {
		return nil, nil
	}
	return readJob(k, key, v)
}

func readJob(k queue.Key, key, v []byte) (*jobRecord, error) {
	fields, err := unseal(key, v)
	if err != nil {
		return nil, err
	}
	j, err := decodeJob(fields)
	if err != nil {
		return nil, fmt.Errorf("%w of %q", err, k)
	}
	j.Key = k
	return j, nil
}

// stored returns a job that an index names, whole.
func (t *tx) stored(k queue.Key) (*jobRecord, error) {
	j, err := t.job(k)
	if err != nil {
		return nil, err
	}
	if j == nil {
		return nil, fmt.Errorf("%w: an index names the job %q, which is not stored", queue.ErrDamaged, k)
	}
	return j, t.addMessage(j)
}

func (t *tx) addMessage(j *jobRecord) error {
	m, err := t.message(j.Key.ID)
	if err == nil && m == nil {
		err = fmt.Errorf("%w: the job %q has no message", queue.ErrDamaged, j.Key)
	}
	if err != nil {
		return err
	}
	j.Message = m.Message
	return nil
}

// putJob stores j in place of old, nil if j is new, and keeps every index in step. Both have their messages.
func (t *tx) putJob(old, j *jobRecord) error {
	if err := put(t.jobs, jobKey(j.Key), j.encode()); err != nil {
		return err
	}
	if err := t.move(t.lanes, t.laneKey(old), t.laneKey(j)); err != nil {
		return err
	}
	if err := t.move(t.expiry, expiryKey(old), expiryKey(j)); err != nil {
		return err
	}
	return t.putMark(old, j)
}

// putMark keeps the entry under which a job is listed by its mark.
func (t *tx) putMark(old, j *jobRecord) error {
	var was, is []byte
	if old != nil && old.Mark() != 0 {
		was = numberKey(uint64(old.Mark()))
	}
	if j != nil && j.Mark() != 0 {
		is = numberKey(uint64(j.Mark()))
	}
	if bytes.Equal(was, is) {
		return nil
	}
	if was != nil {
		if err := t.marks.Delete(was); err != nil {
			return err
		}
	}
	if is == nil {
		return nil
	}
	return put(t.marks, is, jobKey(j.Key))
}

// move replaces one entry of an index, which may be nil, by another.
func (t *tx) move(index *bolt.Bucket, was, is []byte) error {
	if bytes.Equal(was, is) {
		return nil
	}
	if was != nil {
		if err := index.Delete(was); err != nil {
			return err
		}
	}
	if is == nil {
		return nil
	}
	return put(index, is, nil)
}

// laneKey is the entry of a job in the index of lanes: nil unless time alone makes it claimable.
func (t *tx) laneKey(j *jobRecord) []byte {
	if j == nil || j.Held || !j.Finished.IsZero() {
		return nil
	}
	l := j.Lane()
	t.touched[l] = true
	return entryKey(lanePrefix(l), j.Due, j.Key)
}

// expiryKey is the entry of a job in the index of expiry: nil if it is finished.
func expiryKey(j *jobRecord) []byte {
	if j == nil || !j.Finished.IsZero() {
		return nil
	}
	return entryKey(nil, j.Message.Expires, j.Key)
}

// entry is one of an index that orders jobs by time.
type entry struct {
	at  time.Time
	key queue.Key
}

func (e entry) compare(o entry) int {
	if c := e.at.Compare(o.at); c != 0 {
		return c
	}
	return e.key.Compare(o.key)
}

// entries goes through the entries of an index behind prefix, earliest first.
func entries(index *bolt.Bucket, prefix []byte) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		c := index.Cursor()
		for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			e, err := readEntry(k, v, len(prefix))
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func readEntry(k, v []byte, prefix int) (e entry, err error) {
	if _, err := unseal(k, v); err != nil {
		return e, err
	}
	e.at, e.key, err = parseEntryKey(k[prefix:])
	return e, err
}

// head is the first entry of a lane; ok is false if the lane has none.
func (t *tx) head(l queue.Lane) (e entry, ok bool, err error) {
	for e, err := range entries(t.lanes, lanePrefix(l)) {
		return e, err == nil, err
	}
	return e, false, nil
}
