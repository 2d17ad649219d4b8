package queuetest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
)

// lease is how long cases lease jobs for.
const lease = 10 * time.Minute

// at is a moment: d after the one at which all cases begin. It is far from now, so that a backend that reads the clock
// instead of taking the caller's time is found out.
func at(d time.Duration) time.Time {
	return time.Date(2041, 5, 6, 7, 8, 9, 123456000, time.UTC).Add(d)
}

// message makes an entry that expires after five days.
func message(id queue.ID, jobs ...*queue.Job) *queue.Entry {
	if len(jobs) == 0 {
		jobs = []*queue.Job{job("example.com", 0)}
	}
	for i, j := range jobs {
		j.Key = queue.Key{ID: id, N: i}
	}
	body := text(id)
	return &queue.Entry{
		Message: queue.Message{
			ID:       id,
			From:     "sender@example.org",
			Digest:   sha256.Sum256([]byte(body)),
			Enqueued: at(0),
			Expires:  at(5 * 24 * time.Hour),
		},
		Jobs: jobs,
		Body: strings.NewReader(body),
	}
}

// text is the body that message gives to id.
func text(id queue.ID) string {
	return fmt.Sprintf("Subject: %s\r\n\r\nThis is message %s.\r\n", id, id)
}

// job makes a job that is due d after the beginning, with a recipient for each local part, or one.
func job(domain string, d time.Duration, locals ...string) *queue.Job {
	if len(locals) == 0 {
		locals = []string{"user"}
	}
	j := &queue.Job{Domain: domain, Due: at(d)}
	for _, l := range locals {
		j.Recipients = append(j.Recipients, queue.Recipient{Address: l + "@" + domain})
	}
	return j
}

// inLane makes a message with one job in the lane.
func inLane(id queue.ID, l queue.Lane, due time.Duration) *queue.Entry {
	e := message(id, job(l.Domain, due))
	e.Message.Tenant, e.Message.Priority = l.Tenant, l.Priority
	if l.Retry {
		e.Jobs[0].Tries = 1
	}
	return e
}

// finish makes j finished: all its recipients are delivered.
func finish(j *queue.Job) *queue.Job {
	for i := range j.Recipients {
		j.Recipients[i].State = queue.Delivered
	}
	j.Finished = at(time.Second)
	return j
}

// add enqueues new messages.
func (r *run) add(es ...*queue.Entry) {
	for _, e := range es {
		added, err := r.q.Enqueue(r.ctx, e)
		r.ok(err, "Enqueue %s", e.Message.ID)
		equal(r, added, true, "Enqueue %s: added", e.Message.ID)
	}
}

// claim claims as c says, for the usual time if it doesn't say how long.
func (r *run) claim(c queue.ClaimRequest) queue.Claimed {
	if c.Lease == 0 {
		c.Lease = lease
	}
	claimed, err := r.q.Claim(r.ctx, c)
	r.ok(err, "Claim")
	return claimed
}

// due claims what is due d after the beginning, in any lane.
func (r *run) due(d time.Duration) []*queue.Job {
	return r.claim(queue.ClaimRequest{Now: at(d), Limit: 1000}).Jobs
}

// take claims the one job that must be due d after the beginning.
func (r *run) take(d time.Duration) *queue.Job {
	jobs := r.due(d)
	if len(jobs) != 1 {
		r.fatalf("Claim %v after the beginning leased %q, want one job", d, keys(jobs))
	}
	return jobs[0]
}

// takeKey claims the job with this key.
func (r *run) takeKey(k queue.Key, d time.Duration) *queue.Job {
	jobs := r.claim(queue.ClaimRequest{Now: at(d), Limit: 1, Keys: []queue.Key{k}}).Jobs
	equal(r, keys(jobs), strings.TrimSuffix(k.String(), "/0"), "Claim with Keys")
	return jobs[0]
}

func (r *run) commit(j *queue.Job, more ...*queue.Entry) {
	r.ok(r.q.Commit(r.ctx, j, more...), "Commit %s", j.Key)
}

func (r *run) list(f queue.Filter) []*queue.Job {
	var jobs []*queue.Job
	for j, err := range r.q.Jobs(r.ctx, f) {
		r.ok(err, "Jobs with %+v", f)
		jobs = append(jobs, j)
	}
	return jobs
}

// get lists one job.
func (r *run) get(k queue.Key) *queue.Job {
	for _, j := range r.list(queue.Filter{ID: k.ID}) {
		if j.Key == k {
			return j
		}
	}
	r.fatalf("Jobs doesn't list %s", k)
	return nil
}

// body reads a stored body.
func (r *run) body(id queue.ID) string {
	rc, err := r.q.Open(r.ctx, id)
	r.ok(err, "Open %s", id)
	b, err := io.ReadAll(rc)
	r.ok(err, "reading the body of %s", id)
	r.ok(rc.Close(), "closing the body of %s", id)
	return string(b)
}

// state is all that the queue holds.
func (r *run) state() string {
	var b strings.Builder
	for _, j := range r.list(queue.Filter{}) {
		fmt.Fprintln(&b, describe(j))
	}
	return b.String()
}

// unchanged ends the case if the queue doesn't hold what it held before.
func (r *run) unchanged(before string, format string, args ...any) {
	equal(r, r.state(), before, "what is stored, after "+format, args...)
}

// keys joins the keys of jobs with spaces. A job numbered 0 is named by its message alone.
func keys(jobs []*queue.Job) string {
	var list []string
	for _, j := range jobs {
		list = append(list, strings.TrimSuffix(j.Key.String(), "/0"))
	}
	return strings.Join(list, " ")
}

func sortedKeys(jobs []*queue.Job) string {
	return keys(slices.SortedFunc(slices.Values(jobs), func(a, b *queue.Job) int { return a.Key.Compare(b.Key) }))
}

// describe shows every field of j such that two jobs which the rules call equal look the same.
func describe(j *queue.Job) string {
	c := j.Clone()
	for _, t := range []*time.Time{&c.Message.Enqueued, &c.Message.Expires, &c.Due, &c.Finished, &c.Leased} {
		*t = t.UTC().Truncate(time.Microsecond)
	}
	for i := range c.Recipients {
		c.Recipients[i].Decided = c.Recipients[i].Decided.UTC().Truncate(time.Microsecond)
	}
	for i := range c.Attempts {
		a := &c.Attempts[i]
		a.Time, a.Took = a.Time.UTC().Truncate(time.Microsecond), a.Took.Truncate(time.Microsecond)
	}
	c.Message.Labels = append([]string{}, c.Message.Labels...)
	c.Attempts = append([]queue.Attempt{}, c.Attempts...)
	fields := struct {
		*queue.Job
		Digest string
	}{c, fmt.Sprintf("%x", c.Message.Digest)}
	c.Message.Digest = [32]byte{}
	b, err := json.MarshalIndent(fields, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// moment shows a time that may be zero.
func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Sub(at(0)).String()
}
