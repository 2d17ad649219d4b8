// Package verdict decides what an attempt means for a job: what became of each recipient, when the next attempt is due, and
// when it is given up. It is pure: what was found out, the policy, the time and the randomness are arguments, so that a
// simulator decides as a Sender does.
//
//	record:      what a server has answered is put into the job
//	reschedule:  for whoever is still pending there is a next attempt, or none any more
//	(report)     the caller composes what the sender is to be told, which may fail
//	finish:      the job has ended, or comes back for the report alone
package verdict

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// keptAttempts is how many attempts stay with a job; Job.Tries counts all of them.
const keptAttempts = 20

// reportWait is when a report is tried again that nobody says anything about.
const reportWait = time.Hour

// Result is what an attempt has found out about one recipient.
type Result struct {
	Tried   bool
	Reply   queue.Reply
	Verdict retry.Verdict
	Wait    time.Duration // no next attempt before, as far as Rules.MaxWait allows
	QueueID string        // the name that the server has given the message, if it has said so
	DSN     bool          // the server understands NOTIFY: if it has taken the message, it tells of success itself

	TLS      string // protocol version of the connection that Reply came on, "" for plaintext or none
	Verified bool   // its certificate proved the host's name
}

// Attempt is what an attempt has found out.
type Attempt struct {
	Began   time.Time
	Took    time.Duration
	Results []Result // for each of the job's recipients; nil: nothing was tried
}

// Tried reports whether anything was found out.
func (a *Attempt) Tried() bool {
	return slices.ContainsFunc(a.Results, func(r Result) bool { return r.Tried })
}

// Uncertain reports whether some recipient's outcome can't be known.
func (a *Attempt) Uncertain() bool {
	return slices.ContainsFunc(a.Results, func(r Result) bool { return r.Verdict.Outcome == retry.Uncertain })
}

// wait is the longest that a recipient is to wait.
func (a *Attempt) wait(j *queue.Job) (wait time.Duration) {
	for i := range a.Results {
		if j.Recipients[i].State == queue.Pending {
			wait = max(wait, a.Results[i].Wait)
		}
	}
	return wait
}

// Rules are what is decided by.
type Rules struct {
	Retry   retry.Policy
	MaxWait time.Duration // bounds what is added to the policy's waits; 0 is no bound
	Hold    bool          // a job whose outcome is uncertain
}

// Conclude brings j from before to after an attempt. Recipients that have failed are Failed then, not Bounced: that is for
// whoever tells the sender. An attempt that has tried nothing ends what has expired.
func (r *Rules) Conclude(j *queue.Job, a *Attempt, now time.Time, random *rand.Rand) {
	if a.Tried() {
		record(j, a)
	}
	r.reschedule(j, a, now, random)
}

// Finish says when j is to be looked at again once what could be reported was: never if all recipients have ended.
func (r *Rules) Finish(j *queue.Job, a *Attempt, now time.Time, random *rand.Rand) {
	if Ended(j) {
		j.Finished, j.Held = now, false
	} else if Pending(j) == 0 {
		j.Due = r.due(j, a, now, random)
	}
}

// record puts what the attempt has found out into the job.
func record(j *queue.Job, a *Attempt) {
	j.Tries++
	j.Lapses = 0
	done := queue.Attempt{Time: a.Began, Took: a.Took, Uncertain: a.Uncertain()}
	most := 0
	for i := range a.Results {
		res, rcpt := &a.Results[i], &j.Recipients[i]
		if !res.Tried {
			continue
		}
		rcpt.Reply = res.Reply
		if res.QueueID != "" {
			done.QueueID = res.QueueID
		}
		switch res.Verdict.Outcome {
		case retry.Delivered:
			rcpt.State, rcpt.Decided, rcpt.Uncertain = queue.Delivered, a.Began.Add(a.Took), false
		case retry.Permanent:
			rcpt.State, rcpt.Decided = queue.Failed, a.Began.Add(a.Took)
		case retry.Uncertain:
			rcpt.Uncertain = true
		}
		if w := weight(res.Verdict.Outcome); w > most {
			done.Reply, done.TLS, done.Verified, most = res.Reply, res.TLS, res.Verified, w
		}
	}
	j.Attempts = append(j.Attempts, done)
	if n := len(j.Attempts); n > keptAttempts {
		j.Attempts = append([]queue.Attempt(nil), j.Attempts[n-keptAttempts:]...)
	}
}

// weight orders outcomes by how much they decide about the job: the reply of the weightiest stands for the attempt, and is
// what the policy hears.
func weight(o retry.Outcome) int {
	switch o {
	case retry.Uncertain:
		return 4
	case retry.Delivered:
		return 1
	case retry.Permanent:
		return 2
	}
	return 3
}

// reschedule decides about the recipients that are still pending: a next attempt, or none because the message has expired or
// the policy gives up.
func (r *Rules) reschedule(j *queue.Job, a *Attempt, now time.Time, random *rand.Rand) {
	if Pending(j) == 0 {
		return
	}
	if !j.Message.Expires.After(now) {
		giveUp(j, now, "The message expired before it could be delivered.")
		return
	}
	due := r.due(j, a, now, random)
	if due.IsZero() {
		giveUp(j, now, fmt.Sprintf("It was given up after %d attempts.", j.Tries))
		return
	}
	j.Due = due
	j.Held = j.Held || a.Uncertain() && r.Hold
}

// due asks the policy for the next attempt; zero means none. What is added to the policy's wait is bounded by MaxWait, and no
// wait reaches past the expiry.
func (r *Rules) due(j *queue.Job, a *Attempt, now time.Time, random *rand.Rand) time.Time {
	last := lastReply(j)
	wait, ok := r.Retry.Next(retry.Attempt{
		N:        max(j.Tries, 1),
		Enqueued: j.Message.Enqueued,
		Now:      now,
		Expires:  j.Message.Expires,
		Code:     last.Code,
		Enhanced: last.Enhanced,
		Rand:     random,
	})
	if !ok {
		if Pending(j) > 0 {
			return time.Time{}
		}
		wait = reportWait // only a report is owed, which no policy may give up
	}
	wait = max(wait, 0)
	more, _ := retry.Hint(last.Text)
	more = max(more, a.wait(j))
	if a.Uncertain() { // a second copy is worse than a late first one
		more = max(more, 2*wait)
	}
	if r.MaxWait > 0 {
		more = min(more, r.MaxWait)
	}
	due := now.Add(max(wait, more))
	if due.After(j.Message.Expires) {
		return j.Message.Expires
	}
	return due
}

func lastReply(j *queue.Job) queue.Reply {
	if n := len(j.Attempts); n > 0 {
		return j.Attempts[n-1].Reply
	}
	return queue.Reply{}
}

func giveUp(j *queue.Job, now time.Time, why string) {
	for i := range j.Recipients {
		if rcpt := &j.Recipients[i]; rcpt.State == queue.Pending {
			rcpt.State, rcpt.Decided, rcpt.Reason = queue.Failed, now, why
		}
	}
}

// Pending returns how many of j's recipients are still to be tried.
func Pending(j *queue.Job) (n int) {
	for i := range j.Recipients {
		if j.Recipients[i].State == queue.Pending {
			n++
		}
	}
	return n
}

// Ended reports whether every recipient of j has.
func Ended(j *queue.Job) bool {
	for i := range j.Recipients {
		if !j.Recipients[i].State.Final() {
			return false
		}
	}
	return true
}

// Delayed reports whether j is late, after being queued for so long, and was not yet after the attempt before its last.
func Delayed(j *queue.Job, after time.Duration) bool {
	late := func(a queue.Attempt) bool { return a.Time.Add(a.Took).Sub(j.Message.Enqueued) > after }
	n := len(j.Attempts)
	return Pending(j) > 0 && n > 0 && late(j.Attempts[n-1]) && (n == 1 || !late(j.Attempts[n-2]))
}
