package boltqueue

import (
	"cmp"
	"context"
	"fmt"

	"github.com/postroad/postroad/queue"
)

// Commit implements [queue.Queue].
func (q *Queue) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	if err := q.ready(ctx); err != nil {
		return err
	}
	if err := j.Check(); err != nil {
		return q.wrap(err)
	}
	c := &commit{job: j}
	size := 1024
	for _, e := range more {
		p, err := q.prepare(ctx, e, false)
		if err != nil {
			q.discard(c.more, err)
			return err
		}
		c.more = append(c.more, p)
		size += p.size
	}
	err := q.submit(ctx, c, size)
	q.discard(c.more, err)
	return cmp.Or(err, q.wrap(c.refused))
}

// commit stores a job as its holder left it, and more messages with it.
type commit struct {
	job     *queue.Job
	more    []*prepared
	message *messageRecord // of job, as it is stored; check finds it
	held    bool           // the lease is held for this commit, see spend
	spent   bool           // what becomes of it is up to the transaction
	refused error
}

func (c *commit) apply(t *tx) error {
	old, fresh, err := c.check(t)
	if err != nil || old == nil {
		c.refused = err
		return nil
	}
	t.spent, c.spent = append(t.spent, old.Key), true
	if err := t.claimed().Delete(jobKey(old.Key)); err != nil {
		return err
	}
	if err := c.put(t, old); err != nil {
		return err
	}
	for _, p := range fresh {
		known, err := p.known(t) // by now: it may be there twice
		if err == nil && !known {
			err = p.put(t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// check returns the job as it is stored and which of the messages are new. The job is nil if this commit has taken
// place before.
func (c *commit) check(t *tx) (old *jobRecord, fresh []*prepared, err error) {
	if old, err = t.job(c.job.Key); err != nil {
		return nil, nil, err
	}
	if old == nil || c.job.Token == 0 {
		return nil, nil, c.lost()
	}
	if old.Token == c.job.Token {
		return nil, nil, nil
	}
	if c.message, err = t.addMessage(old); err != nil {
		return nil, nil, err
	}
	digests := map[queue.ID][32]byte{}
	for _, p := range c.more {
		if d, twice := digests[p.message.ID]; twice && d != p.message.Digest {
			return nil, nil, fmt.Errorf("%w: %q", queue.ErrConflict, p.message.ID)
		}
		digests[p.message.ID] = p.message.Digest
		known, err := p.known(t)
		if err != nil {
			return nil, nil, err
		}
		if !known {
			fresh = append(fresh, p)
		}
	}
	if !c.held {
		return nil, nil, c.lost()
	}
	return old, fresh, nil
}

func (c *commit) lost() error { return fmt.Errorf("%w: %q", queue.ErrLeaseLost, c.job.Key) }

// put stores the job of c in place of old.
func (c *commit) put(t *tx, old *jobRecord) error {
	j := &jobRecord{*old.Committed(c.job)}
	j.Token = c.job.Token
	if err := t.mark(j); err != nil {
		return err
	}
	if err := t.putJob(old, j, j.rows()); err != nil {
		return err
	}
	if j.Finished.IsZero() {
		return nil
	}
	t.saw(j.Finished)
	m := c.message
	m.count(&j.Job)
	if m.Unfinished--; m.Unfinished == 0 {
		t.inUse.messages--
		if err := t.finish(m); err != nil {
			return err
		}
	}
	return t.putMessage(m)
}
