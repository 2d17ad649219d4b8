package boltqueue

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// tx is a transaction on the file with its buckets at hand.
type tx struct {
	buckets
	messageAt, jobAt *bolt.Cursor // see get

	// What a writing transaction collects for the moment after its commit.
	moves  []laneMove        // what has changed in the index of lanes
	spent  []queue.Key       // jobs whose lease ends
	latest time.Time         // the latest time that a change has named
	ids    map[queue.ID]bool // messages of which anything has changed
	purges int               // jobs to be purged beyond what the number of changes allows
	limits *limits
	fresh  *fresh
	inUse  usage       // with what the transaction adds
	added  []*prepared // messages that are not finished

	disk       *os.File     // the pages of which intact looks at; nil if nobody asks
	unreadable []Unreadable // what was passed over
}

// laneMove is a job that has a new entry in the index of lanes, perhaps in another lane. Either is nil if there is none.
type laneMove struct{ was, is *laneEntry }

// laneEntry is an entry in the index of lanes.
type laneEntry struct {
	entry
	lane queue.Lane
	held bool
}

func newTx(b *bolt.Tx) (*tx, error) {
	t := &tx{buckets: buckets{of: b}}
	if b.Writable() {
		return t, t.check()
	}
	return t, nil
}

// newTx is a transaction on the file of q.
func (q *Queue) newTx(b *bolt.Tx) (*tx, error) {
	t, err := newTx(b)
	if err == nil {
		t.disk = q.file
	}
	return t, err
}

// put stores a record.
func put(b *bolt.Bucket, key, fields []byte) error {
	return b.Put(key, seal(make([]byte, 0, frame+len(fields)), key, fields))
}

// get is bucket.Get(key) with a cursor that is used again: bbolt's own, made anew for each look, was behind a fifth of all
// objects that a message's way in and out allocated.
func (t *tx) get(at **bolt.Cursor, bucket *bolt.Bucket, key []byte) []byte {
	if *at == nil {
		*at = bucket.Cursor()
	}
	k, v := (*at).Seek(key)
	if !bytes.Equal(k, key) {
		return nil
	}
	return v
}

// message returns the record of a message, nil if there is none.
func (t *tx) message(id queue.ID) (*messageRecord, error) {
	v := t.get(&t.messageAt, t.messages(), []byte(id))
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

func (t *tx) putMessage(m *messageRecord) error { return put(t.messages(), []byte(m.ID), m.encode()) }

// job returns the record of a job, without its message; nil if there is none.
func (t *tx) job(k queue.Key) (*jobRecord, error) {
	if k.N < 0 || k.N >= queue.MaxJobs {
		return nil, nil // jobKey has no room for such numbers
	}
	key := jobKey(k)
	v := t.get(&t.jobAt, t.jobs(), key)
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
	_, err = t.addMessage(j)
	return j, err
}

// addMessage gives j its message, whose record it returns.
func (t *tx) addMessage(j *jobRecord) (*messageRecord, error) {
	m, err := t.message(j.Key.ID)
	if err == nil && m == nil {
		err = fmt.Errorf("%w: the job %q has no message", queue.ErrDamaged, j.Key)
	}
	if err != nil {
		return nil, err
	}
	j.Message = m.Message
	return m, nil
}

// row is a key of a bucket with its record; the key is nil if there is none.
type row struct{ key, record []byte }

func sealedRow(key, fields []byte) row {
	if key == nil {
		return row{}
	}
	return row{key, seal(make([]byte, 0, frame+len(fields)), key, fields)}
}

// rows are what a job, which has its message, puts into the file besides its mark. They can be made before the transaction.
type rows struct{ job, lane, expiry row }

func (j *jobRecord) rows() *rows {
	return &rows{sealedRow(jobKey(j.Key), j.encode()), sealedRow(laneKey(j), nil), sealedRow(expiryKey(j), nil)}
}

// putJob stores j, of which these are the rows, in place of old, nil if j is new, and keeps every index in step. Both have
// their messages.
func (t *tx) putJob(old, j *jobRecord, r *rows) error {
	if t.ids == nil {
		t.ids = map[queue.ID]bool{}
	}
	t.ids[j.Key.ID] = true
	if err := t.jobs().Put(r.job.key, r.job.record); err != nil {
		return err
	}
	if err := move(t.lanes(), laneKey(old), r.lane); err != nil {
		return err
	}
	t.moves = append(t.moves, laneMove{newLaneEntry(old), newLaneEntry(j)})
	if err := move(t.expiry(), expiryKey(old), r.expiry); err != nil {
		return err
	}
	return t.putMarks(old, j)
}

// putMarks keeps the entries under which a job is listed by its marks.
func (t *tx) putMarks(old, j *jobRecord) error {
	was, is := old.places(), j.places()
	for _, m := range was {
		if !slices.Contains(is, m) {
			if err := t.marks().Delete(numberKey(uint64(m))); err != nil {
				return err
			}
		}
	}
	for _, m := range is {
		if !slices.Contains(was, m) {
			if err := put(t.marks(), numberKey(uint64(m)), jobKey(j.Key)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *jobRecord) places() []queue.Mark {
	if j == nil {
		return nil
	}
	return j.Places()
}

// move puts an entry of an index in the place of the one that was there. There may be none of either.
func move(index *bolt.Bucket, was []byte, is row) error {
	if bytes.Equal(was, is.key) {
		return nil
	}
	if was != nil {
		if err := index.Delete(was); err != nil {
			return err
		}
	}
	if is.key == nil {
		return nil
	}
	return index.Put(is.key, is.record)
}

// newLaneEntry is what j has in the index of lanes: nil if it is finished.
func newLaneEntry(j *jobRecord) *laneEntry {
	if j == nil || !j.Finished.IsZero() {
		return nil
	}
	return &laneEntry{entry{j.Due, j.Key}, j.Lane(), j.Held}
}

// laneKey is the key of its laneEntry, nil if it has none.
func laneKey(j *jobRecord) []byte {
	e := newLaneEntry(j)
	if e == nil {
		return nil
	}
	return e.in(lanePrefix(e.lane, e.held))
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

// in is its key behind a prefix.
func (e entry) in(prefix []byte) []byte { return entryKey(prefix, e.at, e.key) }

func (e entry) compare(o entry) int {
	if c := e.at.Compare(o.at); c != 0 {
		return c
	}
	return e.key.Compare(o.key)
}

// entries goes through the entries of an index behind prefix that don't come before from, earliest first.
func (t *tx) entries(index *bolt.Bucket, prefix, from []byte) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		c := index.Cursor()
		for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			e, err := readEntry(k, v, len(prefix))
			if t.pass(e.key, err) {
				continue
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func readEntry(k, v []byte, prefix int) (e entry, err error) {
	e.at, e.key, err = parseEntryKey(k[prefix:])
	if _, damage := unseal(k, v); damage != nil {
		err = damage // what else there is may have changed
	}
	return e, err
}
