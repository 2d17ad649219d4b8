package boltqueue

import (
	"bytes"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// Up to version 3 the index of lanes had another name, no states in its keys, and no held jobs. Its entries are moved to the
// new one some at a time, so that no transaction has to hold them all. A file that has both is on its way: a crash leaves
// it so, and the next Open goes on. It is of the new version from the first of these transactions on, since earlier versions of
// this package would not find what was moved. A million jobs take about ten seconds, once.

// oldLanesBucket has entries of unfinished jobs that aren't held: domain ∅ tenant ∅ priority time job.
const oldLanesBucket = "lanes"

// addLanes makes the index of lanes of version 4, which [relaning] fills.
func addLanes(b *bolt.Tx) error {
	_, err := b.CreateBucket([]byte(lanesBucket))
	return err
}

// relaneAtOnce is how many entries are moved, or jobs looked at, in one transaction.
const relaneAtOnce = 8192

// relaning moves the index of lanes of a file, if it has the old one.
type relaning struct {
	looked []byte // the last job that was looked at, of those that may be held
}

// next does some of it, and reports whether nothing is left to do.
func (r *relaning) next(t *tx) (done bool, err error) {
	b := t.file().Tx()
	old := b.Bucket([]byte(oldLanesBucket))
	if old == nil {
		return true, nil
	}
	n, err := t.relane(old)
	if err != nil || n == relaneAtOnce {
		return false, err
	}
	if n, err = r.addHeld(t); err != nil || n == relaneAtOnce {
		return false, err
	}
	return true, b.DeleteBucket([]byte(oldLanesBucket))
}

// relane moves the first entries of the old index, and returns how many.
func (t *tx) relane(old *bolt.Bucket) (n int, err error) {
	var moved [][]byte
	c := old.Cursor()
	for k, v := c.First(); k != nil && len(moved) < relaneAtOnce; k, v = c.Next() {
		moved = append(moved, bytes.Clone(k))
		key, is, err := t.relaned(k, v)
		if t.pass(key, err) {
			continue
		}
		if err == nil {
			err = put(t.lanes(), is, nil)
		}
		if err != nil {
			return 0, err
		}
	}
	for _, k := range moved {
		if err := old.Delete(k); err != nil {
			return 0, err
		}
	}
	return len(moved), nil
}

// relaned returns the job of an entry in the old index, and the key of its entry in the new one.
func (t *tx) relaned(k, v []byte) (key queue.Key, is []byte, err error) {
	_, rest, ok := bytes.Cut(k, []byte{0})
	_, rest, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 || len(rest) == 0 {
		return key, nil, damaged("%q is not an entry of a lane", k)
	}
	prefix := len(k) - len(rest) + 1
	e, err := readEntry(k, v, prefix)
	if err != nil {
		return e.key, nil, err
	}
	state := byte(0)
	if j, err := t.job(e.key); err == nil && j != nil && j.Tries > 0 { // one that can't be read is noticed when it is claimed
		state = retryState
	}
	return e.key, append(append(bytes.Clone(k[:prefix]), state), k[prefix:]...), nil
}

// addHeld puts held jobs into the new index, and returns how many jobs it has looked at.
func (r *relaning) addHeld(t *tx) (n int, err error) {
	c := t.jobs().Cursor()
	for k, v := c.Seek(append(bytes.Clone(r.looked), 0)); k != nil && n < relaneAtOnce; k, v = c.Next() {
		n++
		r.looked = bytes.Clone(k)
		key, err := parseJobKey(k)
		var j *jobRecord
		if err == nil {
			j, err = readJob(key, k, v)
		}
		if err == nil && j.Held && j.Finished.IsZero() {
			if _, err = t.addMessage(j); err == nil {
				err = put(t.lanes(), laneKey(j), nil)
			}
		}
		if err = t.unlessPassed(key, err); err != nil {
			return 0, err
		}
	}
	return n, nil
}
