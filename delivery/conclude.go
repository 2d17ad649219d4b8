package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/internal/verdict"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// conclude decides what the attempt means for the job, composes the report that follows from it, and commits both at once.
func (r *run) conclude(t *try) error {
	rules := verdict.Rules{Retry: survivingPolicy{r.Sender, t.job.Key}, MaxWait: r.config.MaxWait, Hold: r.holds(t)}
	j, now, random := t.job, r.now(), rand.New(globalRand{})
	if t.Tried() {
		now = t.Began.Add(t.Took) // the waits are from the answer on, however long its commit has waited for others
	}
	rules.Conclude(j, &t.Attempt, now, random)
	report, err := r.report(j, t, now)
	if err != nil {
		r.trouble(j.Key, err)
	}
	rules.Finish(j, &t.Attempt, now, random)
	var stored []*queue.Entry
	err = r.commit(r.last, j, func() []*queue.Entry { stored = report.entries(); return stored })
	if err == nil {
		r.tell(j, t, report, now) // before the report sets out, so that an observer hears of things in their order
	}
	for _, e := range stored {
		r.noteEntry(e, func(*queue.Job) bool { return false }) // whatever the error: it may be there
	}
	return err
}

// survivingPolicy asks the host program's policy. One that panics is taken for retry.Backoff{}, since what the attempt has found
// out must be committed in any case: who has the message is not to get it again.
type survivingPolicy struct {
	*Sender
	key queue.Key
}

func (p survivingPolicy) Next(a retry.Attempt) (wait time.Duration, ok bool) {
	err := guard(func() error { wait, ok = p.config.Retry.Next(a); return nil })
	if err != nil {
		p.trouble(p.key, err)
		return retry.Backoff{}.Next(a)
	}
	return wait, ok
}

// globalRand is the program's randomness, to be drawn from by any goroutine.
type globalRand struct{}

func (globalRand) Uint64() uint64 { return rand.Uint64() }

// tell logs and reports what has been committed. What is rare has a function of its own: with all these large events in its frame
// tell showed in profiles as stacks that grow for it.
func (r *run) tell(j *queue.Job, t *try, report *report, now time.Time) {
	if t.Tried() {
		r.counters.add(countAttempts, 1)
		err := guard(func() error {
			if r.logged() {
				r.log(j, t)
			}
			return nil
		})
		if err != nil {
			r.trouble(j.Key, err)
		}
	}
	var delivered []int
	for i := range t.Results {
		if res := &t.Results[i]; res.Tried {
			r.observe(attempted(j, t, i))
			if res.Verdict.Outcome == retry.Delivered {
				delivered = append(delivered, i)
			}
		}
	}
	if len(delivered) > 0 && r.observed() {
		r.observe(Delivered{Time: now, Key: j.Key, Message: j.Message, Recipients: chosen(j, delivered)})
	}
	if len(delivered) < len(j.Recipients) || len(t.downgraded) > 0 {
		r.tellUndelivered(j, t, report, now)
	}
}

// attempted is what there is to tell of recipient i of an attempt.
func attempted(j *queue.Job, t *try, i int) Event {
	rcpt, res := &j.Recipients[i], &t.Results[i]
	return Attempted{
		Time: t.Began, Took: t.Took, Key: j.Key, Message: j.Message, Recipient: rcpt.Address, Outcome: outcome(rcpt, res), Reply: res.Reply,
		TLS: res.TLS, QueueID: res.QueueID, Try: j.Tries, Due: nextTry(j, rcpt),
	}
}

// tellUndelivered tells of the recipients for whom something else was decided, kind by kind, and of what isn't as it was hoped for.
func (r *run) tellUndelivered(j *queue.Job, t *try, report *report, now time.Time) {
	if r.observed() {
		r.tellUncertain(j, t, report, now)
	}
	if len(report.failed) > 0 {
		r.observe(Bounced{Time: now, Key: j.Key, Message: j.Message, Recipients: chosen(j, report.failed), Report: report.id()})
	}
	if t.Tried() && verdict.Delayed(j, r.config.DelayAfter) {
		r.observe(delayed(j, now))
	}
	r.tellDowngrades(t, now)
	if j.Held && t.Uncertain() {
		r.observe(Held{Time: now, Key: j.Key, Message: j.Message, Why: "the outcome of an attempt is uncertain"})
	}
}

// tellUncertain tells of the recipients of whom nobody knows, and of those who have expired.
func (r *run) tellUncertain(j *queue.Job, t *try, report *report, now time.Time) {
	var uncertain, expired []int
	for i := range t.Results {
		if res := &t.Results[i]; res.Tried && res.Verdict.Outcome == retry.Uncertain {
			uncertain = append(uncertain, i)
		}
	}
	for _, i := range report.failed {
		if isExpired(&j.Message, &j.Recipients[i], now) {
			expired = append(expired, i)
		}
	}
	if len(uncertain) > 0 {
		due := nextTry(j, &j.Recipients[uncertain[0]])
		r.observe(Uncertain{Time: now, Key: j.Key, Message: j.Message, Recipients: chosen(j, uncertain), Due: due})
	}
	if len(expired) > 0 {
		r.observe(Expired{Time: now, Key: j.Key, Message: j.Message, Recipients: chosen(j, expired)})
	}
}

// chosen returns the recipients at indexes.
func chosen(j *queue.Job, indexes []int) []queue.Recipient {
	list := make([]queue.Recipient, len(indexes))
	for n, i := range indexes {
		list[n] = j.Recipients[i]
	}
	return list
}

// nextTry is when a recipient is tried again: zero if it isn't, or that isn't known.
func nextTry(j *queue.Job, rcpt *queue.Recipient) time.Time {
	if rcpt.State != queue.Pending || j.Held {
		return time.Time{}
	}
	return j.Due
}

// isExpired reports whether a recipient that was given up at now was so for lack of time, and not for a reply.
func isExpired(m *queue.Message, rcpt *queue.Recipient, now time.Time) bool {
	return rcpt.Reason != "" && !m.Expires.After(now)
}

func delayed(j *queue.Job, now time.Time) Delayed {
	e := Delayed{Time: now, Key: j.Key, Message: j.Message}
	for _, rcpt := range j.Recipients {
		if rcpt.State == queue.Pending {
			e.Recipients = append(e.Recipients, rcpt)
		}
	}
	if !j.Held {
		e.Due = j.Due
	}
	return e
}

func outcome(rcpt *queue.Recipient, res *verdict.Result) AttemptOutcome {
	switch {
	case rcpt.State == queue.Delivered:
		return OutcomeDelivered
	case rcpt.State != queue.Pending:
		return OutcomeFailed
	case res.Verdict.Outcome == retry.Uncertain:
		return OutcomeUncertain
	}
	return OutcomeDeferred
}

// logged reports whether anybody reads the log. It is asked before log is called, whose large frame showed in profiles as stacks
// that grow for it.
func (r *run) logged() bool { return r.config.Log.Enabled(context.Background(), slog.LevelInfo) }

// log writes the attempt's one line.
func (r *run) log(j *queue.Job, t *try) {
	a := &j.Attempts[len(j.Attempts)-1]
	var to []string
	outcomes := make(map[AttemptOutcome]int)
	for i := range t.Results {
		if res := &t.Results[i]; res.Tried {
			to = append(to, j.Recipients[i].Address)
			outcomes[outcome(&j.Recipients[i], res)]++
		}
	}
	var words []string
	for _, o := range []AttemptOutcome{OutcomeDelivered, OutcomeDeferred, OutcomeFailed, OutcomeUncertain} {
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
		slog.Duration("took", t.Took))
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
