package delivery

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/url"
	"time"

	"github.com/postroad/postroad/delivery/internal/address"
	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

// Status says everything known of a message: what became of each recipient so far, each attempt, and what it waits for. It may be
// asked at any time, whether Run runs or not, for as long as the queue keeps the message: boltqueue.Options.Retention after
// its end. The error is queue.ErrNotFound if the queue doesn't know it, or no longer does. If it is the queue's, for instance
// because a part of the message is damaged, there may be a Status, too: of what could be read.
func (s *Sender) Status(ctx context.Context, id queue.ID) (*Status, error) {
	if id == "" { // which is no filter
		return nil, fmt.Errorf("delivery: %w", queue.ErrNotFound)
	}
	var st *Status
	for found, err := range s.Find(ctx, queue.Filter{ID: id}) {
		if st = found; err != nil {
			return st, err
		}
	}
	if st != nil {
		return st, nil
	}
	return nil, fmt.Errorf("delivery: %s: %w", id, queue.ErrNotFound)
}

// Find yields the status of each message that has jobs matching f, with these jobs only: it answers "where is the mail to Ann?" with
// queue.Filter{Recipient: "ann@example.net"}. Messages come in the order of their IDs, which is that in which they were
// enqueued, to the millisecond, but for those with a Message.Key. f.Limit is a number of jobs, and f.After the key of the last
// one read. Heads and Ended are not looked at. The domain of f.Recipient and of f.Sender is compared without regard to case. An
// error ends the sequence; with it comes what could be read of the message that it concerns, or nil.
//
// To find a message by its ID is to look it up. By anything else, boltqueue looks at all jobs that it has, finished ones
// included: ten seconds or so for a million, during which mail goes on. Ask it for people, not for each request of a web page.
func (s *Sender) Find(ctx context.Context, f queue.Filter) iter.Seq2[*Status, error] {
	f.Heads, f.Ended = false, false
	f.Recipient, f.Sender = asStored(f.Recipient), asStored(f.Sender)
	return func(yield func(*Status, error) bool) {
		rules, err := s.readRules(ctx)
		if err != nil {
			yield(nil, fmt.Errorf("delivery: %w", err))
			return
		}
		var jobs []*queue.Job // of one message
		for j, err := range s.queue.Jobs(ctx, f) {
			if err != nil {
				yield(s.status(ctx, rules, jobs), fmt.Errorf("delivery: %w", err))
				return
			}
			if len(jobs) > 0 && jobs[0].Key.ID != j.Key.ID {
				if !yield(s.status(ctx, rules, jobs), nil) {
					return
				}
				jobs = nil
			}
			jobs = append(jobs, j)
		}
		if len(jobs) > 0 {
			yield(s.status(ctx, rules, jobs), nil)
		}
	}
}

// asStored is an address as it is in the queue.
func asStored(s string) string {
	if a, err := address.Parse(s); err == nil {
		return a.String()
	}
	return s // which no job has
}

// status makes a Status of the jobs of one message, nil if there are none.
func (s *Sender) status(ctx context.Context, rules *rules, jobs []*queue.Job) *Status {
	if len(jobs) == 0 {
		return nil
	}
	now, m := s.now(), &jobs[0].Message
	st := &Status{
		Time: now, ID: m.ID, From: m.From, Tenant: m.Tenant, Priority: m.Priority, Labels: m.Labels, Size: m.Size,
		Return: m.Return, EnvelopeID: m.EnvelopeID, TLS: m.TLS, Enqueued: m.Enqueued, Expires: m.Expires, Jobs: make([]JobStatus, len(jobs)),
	}
	sights := s.look(ctx, now, jobs)
	for i, j := range jobs {
		st.Jobs[i] = jobStatus(j, &sights[i], rules, now)
	}
	return st
}

// sight is what is known of an unfinished job beside what is stored.
type sight struct {
	schedule.Sight
	inFlight bool
}

// look asks Run about jobs, as far as it runs.
func (s *Sender) look(ctx context.Context, now time.Time, jobs []*queue.Job) []sight {
	sights := make([]sight, len(jobs))
	told := s.tell(ctx, func(r *run) {
		for i, j := range jobs {
			if j.Finished.IsZero() {
				sights[i].Sight = r.state.Look(now, j)
			}
		}
	})
	for i, j := range jobs {
		known := &sights[i]
		others := (s.shared != nil || !told) && !known.InHand // whoever else has leased it
		known.inFlight = j.Leased.After(now) && (known.UnderWay || others)
	}
	return sights
}

func jobStatus(j *queue.Job, known *sight, rules *rules, now time.Time) JobStatus {
	st := JobStatus{N: j.Key.N, Domain: j.Domain, Tries: j.Tries, Finished: j.Finished, Lapses: j.Lapses, Via: redacted(j.Via)}
	for i := range j.Attempts {
		st.Attempts = append(st.Attempts, attemptStatus(&j.Attempts[i]))
	}
	if j.Finished.IsZero() {
		st.Due, st.Held, st.InFlight = j.Due, j.Held, known.inFlight
		st.Site = cmp.Or(known.Site, j.Domain)
		st.SitePaused, st.SiteWhy = known.PausedUntil, known.Why
		st.Pause = rules.pausing(j, st.Site, now)
		if st.Via == "" {
			st.Via = redacted(rules.via(j, st.Site, now))
		}
	}
	for i := range j.Recipients {
		r := &j.Recipients[i]
		st.Recipients = append(st.Recipients, RecipientStatus{
			Address: r.Address, From: r.From, Notify: notifyWords(r.Notify), Original: r.Original, State: r.State.String(), Decided: r.Decided,
			Uncertain: r.Uncertain, Reply: ReplyStatus(r.Reply), Reason: r.Reason, Report: r.Report, Summary: summary(j, r, &st, now),
		})
	}
	return st
}

// pausing returns the rule that keeps a job back longest, nil if none does.
func (r *rules) pausing(j *queue.Job, site string, now time.Time) (longest *Rule) {
	for i := range r.list {
		rule := &r.list[i]
		if rule.Pause && !rule.over(now) && rule.Selector.matches(j, site) &&
			(longest == nil || !longest.Until.IsZero() && (rule.Until.IsZero() || rule.Until.After(longest.Until))) {
			longest = rule
		}
	}
	return longest
}

// redacted is where a rule leads, as anybody may see it.
func redacted(via string) string {
	if u, err := url.Parse(via); err == nil && u.User != nil {
		return u.Redacted()
	}
	return via
}
