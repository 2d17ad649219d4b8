package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// keptAttempts is how many attempts stay with a job; Job.Tries counts all of them.
const keptAttempts = 20

// conclude decides what the attempt means for the job, composes the report that follows from it, and commits both at once.
func (r *run) conclude(t *try) error {
	j, now := t.job, time.Now()
	record(j, t, now)
	r.reschedule(j, t, now)
	report, err := r.report(j, now)
	if err != nil {
		r.observe(Trouble{Time: now, Key: j.Key, Err: err})
	}
	if ended(j) {
		j.Finished, j.Held = now, false
	} else if pending(j) == 0 {
		j.Due = r.nextDue(j, t, now)
	}
	ctx, cancel := r.commitContext()
	defer cancel()
	var stored []*queue.Entry
	err = r.commit(ctx, j, func() []*queue.Entry { stored = report.entries(); return stored })
	if err == nil {
		r.tell(j, t, report, now) // before the report sets out, so that an observer hears of things in their order
	}
	for _, e := range stored {
		r.noteEntry(e) // whatever the error: it may be there
	}
	return err
}

// commitContext is what the commit of an outcome waits by: when Run must stop, what has happened is still worth a moment.
func (r *run) commitContext() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.hard))
	stop := context.AfterFunc(r.hard, func() { time.AfterFunc(claimLimit, cancel) })
	return ctx, func() { stop(); cancel() }
}

// record puts what the attempt found out into the job.
func record(j *queue.Job, t *try, now time.Time) {
	if !t.attempted() {
		return
	}
	j.Tries++
	j.Lapses = 0
	a := queue.Attempt{Time: t.began, Took: now.Sub(t.began), TLS: t.tls, Uncertain: t.uncertain()}
	most := 0
	for i, res := range t.results {
		if !res.tried {
			continue
		}
		rcpt := &j.Recipients[i]
		rcpt.Reply = res.reply
		switch res.verdict.Outcome {
		case retry.Delivered:
			rcpt.State, rcpt.Uncertain = queue.Delivered, false
		case retry.Permanent:
			rcpt.State = queue.Failed
		case retry.Uncertain:
			rcpt.Uncertain = true
		}
		if w := weight(res.verdict.Outcome); w > most {
			a.Reply, most = res.reply, w
		}
	}
	j.Attempts = append(j.Attempts, a)
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
func (r *run) reschedule(j *queue.Job, t *try, now time.Time) {
	if pending(j) == 0 {
		return
	}
	if !j.Message.Expires.After(now) {
		giveUp(j, "The message expired before it could be delivered.")
		return
	}
	due := r.nextDue(j, t, now)
	if due.IsZero() {
		giveUp(j, fmt.Sprintf("It was given up after %d attempts.", j.Tries))
		return
	}
	j.Due = due
	j.Held = j.Held || t.uncertain() && r.config.Uncertain == HoldUncertain
}

// nextDue asks the policy for the next attempt; zero means none. What the Sender adds to the policy's wait by itself is
// bounded by Config.MaxWait, and no wait reaches past the expiry.
func (r *run) nextDue(j *queue.Job, t *try, now time.Time) time.Time {
	var last queue.Reply
	if n := len(j.Attempts); n > 0 {
		last = j.Attempts[n-1].Reply
	}
	wait, ok := r.next(j.Key, retry.Attempt{
		N:        max(j.Tries, 1),
		Enqueued: j.Message.Enqueued,
		Now:      now,
		Expires:  j.Message.Expires,
		Code:     last.Code,
		Enhanced: last.Enhanced,
		Rand:     rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	})
	if !ok {
		if pending(j) > 0 {
			return time.Time{}
		}
		wait = time.Hour // only a report is owed, which no policy may give up
	}
	wait = max(wait, 0)
	more, _ := retry.Hint(last.Text)
	if t.uncertain() { // a second copy is worse than a late first one
		more = max(more, 2*wait)
	}
	if r.config.MaxWait > 0 {
		more = min(more, r.config.MaxWait)
	}
	due := now.Add(max(wait, more))
	if due.After(j.Message.Expires) {
		return j.Message.Expires
	}
	return due
}

// next asks the policy. One that panics is taken for retry.Backoff{}, since what the attempt has found out must be committed
// in any case: who has the message is not to get it again.
func (r *run) next(k queue.Key, a retry.Attempt) (wait time.Duration, ok bool) {
	err := guard(func() error { wait, ok = r.config.Retry.Next(a); return nil })
	if err != nil {
		r.observe(Trouble{Time: a.Now, Key: k, Err: err})
		return retry.Backoff{}.Next(a)
	}
	return wait, ok
}

func giveUp(j *queue.Job, why string) {
	for i := range j.Recipients {
		if rcpt := &j.Recipients[i]; rcpt.State == queue.Pending {
			rcpt.State, rcpt.Reason = queue.Failed, why
		}
	}
}

func pending(j *queue.Job) (n int) {
	for i := range j.Recipients {
		if j.Recipients[i].State == queue.Pending {
			n++
		}
	}
	return n
}

// ended reports whether every recipient of j has.
func ended(j *queue.Job) bool {
	for i := range j.Recipients {
		if !j.Recipients[i].State.Final() {
			return false
		}
	}
	return true
}

// tell logs and reports what has been committed.
func (r *run) tell(j *queue.Job, t *try, report *report, now time.Time) {
	if t.attempted() {
		if err := guard(func() error { r.log(j, t, now); return nil }); err != nil {
			r.observe(Trouble{Time: now, Key: j.Key, Err: err})
		}
	}
	for i, res := range t.results {
		if !res.tried {
			continue
		}
		e := Attempted{
			Time: t.began, Took: now.Sub(t.began), Key: j.Key, Message: j.Message, Recipient: j.Recipients[i].Address,
			Outcome: outcome(&j.Recipients[i], res), Reply: res.reply, TLS: t.tls, Try: j.Tries,
		}
		if j.Recipients[i].State == queue.Pending && !j.Held {
			e.Due = j.Due
		}
		r.observe(e)
	}
	if len(report.failed) > 0 {
		b := Bounced{Time: now, Key: j.Key, Message: j.Message, Report: report.id()}
		for _, i := range report.failed {
			b.Recipients = append(b.Recipients, j.Recipients[i])
		}
		r.observe(b)
	}
	if j.Held && t.uncertain() {
		r.observe(Held{Time: now, Key: j.Key, Message: j.Message, Why: "the outcome of an attempt is uncertain"})
	}
}

func outcome(rcpt *queue.Recipient, res result) Outcome {
	switch {
	case rcpt.State == queue.Delivered:
		return OutcomeDelivered
	case rcpt.State != queue.Pending:
		return OutcomeFailed
	case res.verdict.Outcome == retry.Uncertain:
		return OutcomeUncertain
	}
	return OutcomeDeferred
}

// log writes the attempt's one line.
func (r *run) log(j *queue.Job, t *try, now time.Time) {
	a := &j.Attempts[len(j.Attempts)-1]
	var to []string
	outcomes := make(map[Outcome]int)
	for i, res := range t.results {
		if res.tried {
			to = append(to, j.Recipients[i].Address)
			outcomes[outcome(&j.Recipients[i], res)]++
		}
	}
	var words []string
	for _, o := range []Outcome{OutcomeDelivered, OutcomeDeferred, OutcomeFailed, OutcomeUncertain} {
		if n := outcomes[o]; n > 0 && n == len(to) {
			words = append(words, string(o))
		} else if n > 0 {
			words = append(words, fmt.Sprintf("%s %d", o, n))
		}
	}
	r.config.Log.LogAttrs(context.Background(), slog.LevelInfo, "attempt",
		slog.String("id", string(j.Key.ID)),
		slog.String("sender", reversePath(j)),
		slog.Any("recipients", to),
		slog.String("host", a.Reply.Host),
		slog.String("reply", replyLine(a.Reply)),
		slog.String("outcome", strings.Join(words, ", ")),
		slog.Duration("took", now.Sub(t.began)))
}

// replyLine writes a reply on one line.
func replyLine(r queue.Reply) string {
	text := strings.ReplaceAll(r.Text, "\n", " ")
	switch {
	case r.Code == 0:
		return r.Phase + ": " + text
	case r.Enhanced == "":
		return fmt.Sprintf("%d %s", r.Code, text)
	}
	return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, text)
}
