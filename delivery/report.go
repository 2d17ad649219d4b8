package delivery

import (
	"bytes"
	"cmp"
	"fmt"
	"time"

	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/delivery/internal/verdict"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// report is what one commit tells the sender of a job: who has failed, who is late, and who has it from a server that doesn't
// report itself. Of failures of what has the null sender, the postmaster is told.
type report struct {
	failed  []int // indexes of the recipients that end as bounced with this commit
	message *queue.Message
	job     *queue.Job // for who is told
	body    []byte     // nil: nobody is to be told
}

// news is what there is to tell of a recipient.
type news struct {
	action dsn.Action
	index  int
}

// report composes the report that is due for j, if any, and marks its failed recipients as bounced. The returned report is never
// nil; the error says what couldn't be told.
//
// If a report of failures can't be composed, their recipients stay failed, to be told of later; once the message has expired
// they end without one. What else there was to tell is lost then: no trouble with a report keeps an outcome from being stored.
// That is why a report which has that, too, is made without the message if that can't be read, and goes without a signature if
// there is none to be had.
func (r *run) report(j *queue.Job, t *try, now time.Time) (*report, error) {
	rep := &report{}
	failures, others := r.news(rep, j, t)
	if len(failures)+len(others) == 0 {
		return rep, nil
	}
	expired := !j.Message.Expires.After(now)
	d := draft{Job: j, news: append(failures, others...), now: now, to: r.reader(j), whole: len(others) == 0 && !expired}
	err := guard(func() error { return r.compose(rep, &d) })
	if err != nil {
		err = fmt.Errorf("delivery: composing a report: %w", err)
	}
	if rep.body != nil || expired {
		for _, n := range failures {
			rep.bounce(j, n.index)
		}
	}
	if rep.body != nil {
		for _, n := range others {
			j.Recipients[n.index].Report = rep.id()
		}
	}
	return rep, err
}

// news returns what somebody wants to hear of the recipients of j after an attempt. The failures that nobody wants to hear of
// end as bounced.
func (r *run) news(rep *report, j *queue.Job, t *try) (failures, others []news) {
	late := t.Tried() && verdict.Delayed(j, r.config.DelayAfter)
	for i := range j.Recipients {
		switch rcpt := &j.Recipients[i]; {
		case rcpt.State == queue.Failed && r.wanted(j, rcpt, dsn.Failed):
			failures = append(failures, news{dsn.Failed, i})
		case rcpt.State == queue.Failed:
			rep.bounce(j, i)
		case rcpt.State == queue.Pending && late && r.wanted(j, rcpt, dsn.Delayed):
			others = append(others, news{dsn.Delayed, i})
		case rcpt.State == queue.Delivered && t.relayed(i) && r.wanted(j, rcpt, dsn.Relayed):
			others = append(others, news{dsn.Relayed, i})
		}
	}
	return failures, others
}

// relayed reports whether the attempt has passed the message to a server, for recipient i, that doesn't tell of success.
func (t *try) relayed(i int) bool {
	return t.Tried() && t.Results[i].Verdict.Outcome == retry.Delivered && !t.Results[i].DSN
}

// wanted reports whether somebody wants to hear such news of a recipient (RFC 3461, sections 4.1 and 5.2). Reports have the null
// sender, so that there is never a report about one, but to the postmaster.
func (r *run) wanted(j *queue.Job, rcpt *queue.Recipient, a dsn.Action) bool {
	if r.reader(j) == "" || reversePath(j) == "" && a != dsn.Failed {
		return false
	}
	said := rcpt.Notify != 0
	switch a {
	case dsn.Failed:
		return !said || rcpt.Notify&queue.NotifyFailure != 0
	case dsn.Delayed:
		return !said && r.config.DelayWarnings || rcpt.Notify&queue.NotifyDelay != 0
	}
	return rcpt.Notify&queue.NotifySuccess != 0
}

// reader is who reports about j go to, "" if that is nobody.
func (r *run) reader(j *queue.Job) string { return cmp.Or(reversePath(j), r.config.Postmaster) }

// bounce ends a recipient that has failed, with the report that there is by now, or without one.
func (rep *report) bounce(j *queue.Job, i int) {
	j.Recipients[i].State, j.Recipients[i].Report = queue.Bounced, rep.id()
	rep.failed = append(rep.failed, i)
}

// id is the report's message ID, "" if there is no report.
func (rep *report) id() queue.ID {
	if rep.body == nil {
		return ""
	}
	return rep.message.ID
}

// entry makes what is to be stored with the job, anew at each call.
func (rep *report) entry() *queue.Entry {
	return &queue.Entry{Message: *rep.message, Jobs: []*queue.Job{rep.job.Clone()}, Body: bytes.NewReader(rep.body)}
}

// entries is the entry, if there is one.
func (rep *report) entries() []*queue.Entry {
	if rep.body == nil {
		return nil
	}
	return []*queue.Entry{rep.entry()}
}
