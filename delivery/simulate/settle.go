package simulate

import (
	"context"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/delivery/internal/verdict"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// conclude decides what an attempt means for its job, or its having expired, and commits that.
func (p *play) conclude(t *try) {
	j := t.job
	p.rules.Conclude(j, &t.Attempt, p.now, p.chance.policy)
	var bounced []queue.Recipient
	for i := range j.Recipients {
		if r := &j.Recipients[i]; r.State == queue.Failed {
			r.State = queue.Bounced
			bounced = append(bounced, *r)
		}
	}
	p.rules.Finish(j, &t.Attempt, p.now, p.chance.policy)
	p.commit(j)
	p.tellAttempt(t)
	if len(bounced) > 0 {
		p.tell(delivery.Bounced{Time: p.now, Key: j.Key, Message: j.Message, Recipients: bounced})
	}
	if t.Tried() && verdict.Delayed(j, p.DelayAfter) {
		p.tell(delayed(j, p.now))
	}
}

// putBack gives a job back as it was, not to be tried before due, unless that is zero.
func (p *play) putBack(j *queue.Job, due time.Time, why string) {
	if due.After(j.Message.Expires) {
		due = j.Message.Expires
	}
	if !due.IsZero() {
		j.Due = due
		p.tell(PutBack{j.Key, due, why})
	}
	p.commit(j)
}

// commit stores a job, and tells the scheduler where it is now.
func (p *play) commit(j *queue.Job) {
	settled := schedule.Settled{Job: j, Lane: j.Lane(), Due: j.Due, Expires: j.Message.Expires}
	if err := p.queue.Commit(context.Background(), j); err != nil {
		p.trouble(j.Key, err)
		settled.Due = j.Leased
	} else if !j.Finished.IsZero() {
		settled.Due, settled.Expires = time.Time{}, time.Time{}
	}
	p.step(settled)
}

// tellAttempt tells what an attempt meant for each recipient that it concerned.
func (p *play) tellAttempt(t *try) {
	j := t.job
	for i := range t.Results {
		res, r := &t.Results[i], &j.Recipients[i]
		if !res.Tried {
			continue
		}
		e := delivery.Attempted{
			Time: t.Began, Took: t.Took, Key: j.Key, Message: j.Message, Recipient: r.Address, Outcome: outcome(r, res), Reply: res.Reply,
			Try: j.Tries,
		}
		if r.State == queue.Pending {
			e.Due = j.Due
		}
		p.tell(e)
	}
}

func outcome(r *queue.Recipient, res *verdict.Result) delivery.AttemptOutcome {
	switch {
	case r.State == queue.Delivered:
		return delivery.OutcomeDelivered
	case r.State != queue.Pending:
		return delivery.OutcomeFailed
	case res.Verdict.Outcome == retry.Uncertain:
		return delivery.OutcomeUncertain
	}
	return delivery.OutcomeDeferred
}

func delayed(j *queue.Job, now time.Time) delivery.Delayed {
	e := delivery.Delayed{Time: now, Key: j.Key, Message: j.Message, Due: j.Due}
	for _, r := range j.Recipients {
		if r.State == queue.Pending {
			e.Recipients = append(e.Recipients, r)
		}
	}
	return e
}
