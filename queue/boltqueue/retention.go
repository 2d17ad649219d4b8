package boltqueue

import (
	"bytes"
	"errors"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// finish takes leave of a message whose last job is finished: its body goes, and it is filed by the time it ended.
func (t *tx) finish(m *messageRecord) error {
	fresh := t.fresh != nil && t.fresh.forget(m.ID)
	if m.Body != 0 {
		if err := m.deleteBody(t, fresh); err != nil {
			return err
		}
		m.Body = 0
	}
	return put(t.finished(), finishedKey(m.Ended, m.ID), nil)
}

func finishedKey(at time.Time, id queue.ID) []byte { return append(appendTime(nil, at), id...) }

func parseFinishedKey(k []byte) (at time.Time, id queue.ID, err error) {
	if len(k) > timeSize {
		at, id = parseTime(k), queue.ID(k[timeSize:])
	}
	if !id.Valid() {
		return at, id, damaged("has %q among what is finished", k)
	}
	return at, id, nil
}

// retention knows from when on finished messages are to be purged.
type retention struct {
	keep time.Duration

	mu     sync.Mutex // guards all below
	latest time.Time  // that anybody has named
	oldest time.Time  // when the first of the finished messages ended; zero if there is none
	idle   time.Time  // when Claim last found something to purge
}

// saw notes a time and returns the one before which nothing is kept any more, zero if that isn't known.
func (r *retention) saw(at time.Time) (before time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = later(r.latest, at)
	if r.latest.IsZero() {
		return time.Time{}
	}
	return r.latest.Add(-r.keep)
}

// readFinished finds when the first of the finished messages ended.
func (q *Queue) readFinished(t *tx) error {
	oldest, err := t.purge(time.Time{}, 0)
	q.retention.committed(oldest)
	return err
}

func (r *retention) committed(oldest time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.oldest = oldest
}

// overdue reports whether something is to be purged at now, but only once in a second of that time.
func (r *retention) overdue(now time.Time) bool {
	before := r.saw(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.oldest.IsZero() || !r.oldest.Before(before) || now.Before(r.idle.Add(time.Second)) {
		return false
	}
	r.idle = now
	return true
}

// purgeLimit is how many jobs a transaction of n changes deletes at most. It is more than n, so that purging keeps up with
// what comes in, and gets on with what is left of earlier, and few enough that nobody notices.
func purgeLimit(n int) int { return min(16+2*n, 1024) }

// purgeIdle is how many jobs a transaction deletes at most that is for nothing else.
const purgeIdle = 256

// purgeIdly has the writer purge what now shows to be over, if changes alone don't keep up. Nobody waits for it.
func (q *Queue) purgeIdly(now time.Time) {
	if q.retention.overdue(now) {
		_ = q.enter(&member{change: purging{}, size: purgeIdle * 4 << 10, done: make(chan struct{})})
	}
}

// purging is the change that only purges.
type purging struct{}

func (purging) limited() bool { return true }

func (purging) apply(t *tx) error {
	t.purges = purgeIdle
	return nil
}

// purge deletes what ended before that time, no more than so many jobs. It returns when the first message ended that is left. If
// that one is damaged it stays, and all after it: this is no reason to refuse other changes.
func (t *tx) purge(before time.Time, budget int) (oldest time.Time, err error) {
	oldest, err = t.purgeFirst(before, budget)
	if errors.Is(err, queue.ErrDamaged) {
		return time.Time{}, nil
	}
	return oldest, err
}

func (t *tx) purgeFirst(before time.Time, budget int) (oldest time.Time, err error) {
	for {
		k, v := t.finished().Cursor().First()
		if k == nil {
			return time.Time{}, nil
		}
		k = bytes.Clone(k)
		if _, err := unseal(k, v); budget > 0 && t.pass(queue.Key{}, err) { // whose jobs would it delete?
			if err := t.finished().Delete(k); err != nil {
				return time.Time{}, err
			}
			budget--
			continue
		}
		at, id, err := parseFinishedKey(k)
		if err != nil || budget == 0 || !at.Before(before) {
			return at, err
		}
		if budget, err = t.purgeJobs(id, budget); err != nil || budget == 0 {
			return at, err
		}
		if err := t.messages().Delete([]byte(id)); err != nil {
			return at, err
		}
		if err := t.finished().Delete(k); err != nil {
			return at, err
		}
	}
}

// purgeJobs deletes jobs of a finished message and returns what is left of the budget: nothing if jobs may be left.
func (t *tx) purgeJobs(id queue.ID, budget int) (int, error) {
	prefix := append([]byte(id), 0)
	for ; budget > 0; budget-- {
		k, v := t.jobs().Cursor().Seek(prefix)
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
		if err := t.jobs().Delete(bytes.Clone(k)); err != nil {
			return 0, err
		}
		if err := t.putMarks(j, nil); err != nil {
			return 0, err
		}
	}
	return 0, nil
}
