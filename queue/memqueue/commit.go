package memqueue

import (
	"context"
	"fmt"
	"slices"

	"github.com/postroad/postroad/queue"
)

// Commit implements [queue.Queue].
func (q *Queue) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	if err := j.Check(); err != nil {
		return fmt.Errorf("memqueue: %w", err)
	}
	if err := q.lock(ctx); err != nil {
		return err
	}
	_, repeated, err := q.leased(j)
	q.mu.Unlock()
	if err != nil || repeated {
		return err
	}
	messages := make([]*message, len(more))
	for i, e := range more {
		if messages[i], err = read(ctx, e); err != nil {
			return err
		}
	}
	if err := q.lock(ctx); err != nil {
		return err
	}
	defer q.mu.Unlock()
	r, repeated, err := q.leased(j) // much may have happened while the bodies were read
	if err != nil || repeated {
		return err
	}
	if messages, err = q.unknown(messages); err != nil {
		return err
	}
	q.replace(r, j)
	for _, m := range messages {
		q.add(m)
	}
	return nil
}

// leased finds the record that j, as it was claimed, may still change. repeated says that it has done so already.
func (q *Queue) leased(j *queue.Job) (r *record, repeated bool, err error) {
	if m := q.messages[j.Key.ID]; m != nil && j.Key.N >= 0 && j.Key.N < len(m.jobs) && j.Token != 0 {
		r = m.jobs[j.Key.N]
		if r.Token == j.Token || r.spent == j.Token {
			return r, r.spent == j.Token, nil
		}
	}
	return nil, false, fmt.Errorf("memqueue: %w: %s", queue.ErrLeaseLost, j.Key)
}

// unknown returns the messages that are not stored yet.
func (q *Queue) unknown(messages []*message) ([]*message, error) {
	var list []*message
	for _, m := range messages {
		old := q.messages[m.ID]
		if i := slices.IndexFunc(list, func(o *message) bool { return o.ID == m.ID }); i >= 0 {
			old = list[i]
		}
		if old == nil {
			list = append(list, m)
		} else if err := sameDigest(old, m); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// replace puts what is committed in the place of r's job.
func (q *Queue) replace(r *record, committed *queue.Job) {
	q.unfile(r)
	j := r.Committed(committed)
	r.spent = r.Token
	r.Job = *j
	q.giveMarks(r)
	q.file(r)
	if m := q.messages[j.Key.ID]; !j.Finished.IsZero() {
		if m.unfinished--; m.unfinished == 0 {
			m.body = nil
			q.unfinished--
		}
	}
}
