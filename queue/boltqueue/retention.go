package boltqueue

import (
	"bytes"
	"time"

	"github.com/postroad/postroad/queue"
)

// finish takes leave of a message whose last job is finished: its body goes, and it is filed by the time it ended.
func (t *tx) finish(m *messageRecord) error {
	if m.Body != 0 {
		if err := deleteBody(t, m.Body); err != nil {
			return err
		}
		m.Body = 0
	}
	return put(t.finished, finishedKey(m.Ended, m.ID), nil)
}

func finishedKey(at time.Time, id queue.ID) []byte { return append(appendTime(nil, at), id...) }

// purgeLimit is how many jobs one transaction deletes at most. It is more than one, so that purging keeps up with what
// comes in, and few, so that nobody notices.
const purgeLimit = 16

// purge deletes what ended more than retention before the latest time that this transaction has seen.
func (t *tx) purge(retention time.Duration) error {
	if t.latest.IsZero() {
		return nil
	}
	before := appendTime(nil, t.latest.Add(-retention))
	for budget := purgeLimit; budget > 0; {
		k, v := t.finished.Cursor().First()
		if k == nil || bytes.Compare(k[:min(len(k), timeSize)], before) >= 0 {
			return nil
		}
		k = bytes.Clone(k)
		if _, err := unseal(k, v); err != nil { // whose jobs would it delete?
			if !t.pass(queue.Key{}, err) {
				return err
			}
			if err := t.finished.Delete(k); err != nil {
				return err
			}
			budget--
			continue
		}
		left, err := t.purgeJobs(queue.ID(k[timeSize:]), budget)
		if err != nil || left == 0 {
			return err
		}
		budget = left
		if err := t.messages.Delete(k[timeSize:]); err != nil {
			return err
		}
		if err := t.finished.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// purgeJobs deletes jobs of a finished message and returns what is left of the budget: nothing if jobs may be left.
func (t *tx) purgeJobs(id queue.ID, budget int) (int, error) {
	prefix := append([]byte(id), 0)
	for ; budget > 0; budget-- {
		k, v := t.jobs.Cursor().Seek(prefix)
		if !bytes.HasPrefix(k, prefix) {
			return budget, nil
		}
		key, err := parseJobKey(k)
		if err != nil {
			return 0, err
		}
		j, err := readJob(key, k, v)
		if err != nil && !t.pass(key, err) {
			return 0, err
		}
		if err := t.jobs.Delete(bytes.Clone(k)); err != nil {
			return 0, err
		}
		if err := t.putMark(j, nil); err != nil {
			return 0, err
		}
	}
	return 0, nil
}
