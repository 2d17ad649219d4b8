package pgqueue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postroad/postroad/queue"
)

// EnqueueLeased implements [queue.Leaser]. It is the statement that Enqueue is, and callers of both share it: a job that is leased
// so is written once less than one that is claimed. A job that has a final recipient is not leased: its marks are the server's to
// give, and Claim brings them.
func (q *Queue) EnqueueLeased(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) (leased []*queue.Job, added bool, err error) {
	if err := checkMoments(l.Now, l.Now.Add(l.Lease)); err != nil {
		return nil, false, err
	}
	return q.arrive(ctx, e, &l)
}

// lease has those of p's jobs stored as leased that l names and that are free.
func (q *Queue) lease(ctx context.Context, e *queue.Entry, p *prepared, l *queue.LeaseRequest) error {
	named, err := l.Named(e)
	if err != nil {
		return fmt.Errorf("pgqueue: %w", err)
	}
	now, until := kept(l.Now), kept(l.Now.Add(l.Lease))
	for _, n := range named {
		if j := p.stored[n]; claimable(j, now) {
			p.leased = append(p.leased, j)
		}
	}
	if p.tokens, err = q.draw(ctx, len(p.leased)); err != nil {
		return err
	}
	for i, j := range p.leased {
		asClaimed(j)
		j.Token, j.Leased = queue.Token(p.tokens[i]), until
		p.jobs[j.Key.N].leaseRow = &leaseRow{Leased: &until, Holder: l.Holder, Token: p.tokens[i]}
		p.due = true
	}
	return nil
}

// claimable reports whether a job that is about to be stored can be leased at once.
func claimable(j *queue.Job, now time.Time) bool {
	final := func(r queue.Recipient) bool { return r.State.Final() }
	return j.Finished.IsZero() && !j.Held && !kept(j.Due).After(now) && !slices.ContainsFunc(j.Recipients, final)
}

// asClaimed makes j what Claim would read.
func asClaimed(j *queue.Job) {
	m := &j.Message
	j.Due, m.Enqueued, m.Expires = kept(j.Due), kept(m.Enqueued), kept(m.Expires)
	for i := range j.Recipients {
		j.Recipients[i].Decided = kept(j.Recipients[i].Decided)
	}
	for i := range j.Attempts {
		a := &j.Attempts[i]
		a.Time, a.Took = kept(a.Time), a.Took.Truncate(time.Microsecond)
	}
	if len(m.Labels) == 0 {
		m.Labels = nil
	}
	if len(j.Attempts) == 0 {
		j.Attempts = nil
	}
}
