package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/delivery/internal/verdict"
	"github.com/postroad/postroad/queue"
)

// Suppressor knows who is not to be sent mail: addresses that there are not, people who have unsubscribed or complained. The
// package suppress has one that learns and remembers.
//
// It is asked about all recipients of a message at [Sender.Enqueue] or [Sender.Prepare], and about those of a job that are still
// pending before each attempt. Whom it names ends as anybody who was refused does: the sender gets a report if one is wanted, there is
// a [Bounced] event, and the Reply of the recipient has the Phase "suppressed", the code 550 5.7.1 and the reason. No host is asked,
// and no attempt is counted. The others are sent to as ever; one who shares a job with them ends with their attempt.
//
// Reports are asked about before their attempts, as any message: their From is "". One that is suppressed ends without another.
type Suppressor interface {
	// Suppressed returns why some of the recipients to are not to be sent the message m: the reason in a few words, which the
	// sender reads, by the address as it is in to. Nil means that all may be sent it. Addresses are as in queue.Recipient: the
	// domain is in lower case and A-label form, the local part as it was given. An address that isn't in to is an error, since it
	// may stand for one that is. m must not be changed; at Enqueue, what depends on its body isn't known yet.
	//
	// It must return when ctx ends, which is after 10 seconds, or sooner. An error, or a panic, at Enqueue refuses the message: who
	// calls it can try again. Before an attempt it is told of as [Trouble], and the mail is sent. Several goroutines call
	// it at once.
	Suppressed(ctx context.Context, m *queue.Message, to []string) (why map[string]string, err error)
}

// SuppressorFunc makes a Suppressor of a function.
type SuppressorFunc func(ctx context.Context, m *queue.Message, to []string) (why map[string]string, err error)

// Suppressed calls f.
func (f SuppressorFunc) Suppressed(ctx context.Context, m *queue.Message, to []string) (map[string]string, error) {
	return f(ctx, m, to)
}

// suppressLimit bounds a call of the Suppressor. The caller of Enqueue, or a connection, waits for it.
const suppressLimit = 10 * time.Second

// suppressEntry asks about a message that is about to be stored. A job in which nobody is left to be sent to is due at once: its
// sender need not wait to hear of that.
func (s *Sender) suppressEntry(ctx context.Context, e *queue.Entry) error {
	if s.config.Suppressor == nil {
		return nil
	}
	if err := s.suppress(ctx, &e.Message, e.Jobs...); err != nil {
		return err
	}
	for _, j := range e.Jobs {
		if verdict.Pending(j) == 0 {
			j.Due = e.Message.Enqueued
		}
	}
	return nil
}

// suppressPending asks about the recipients that an attempt is to be made for.
func (w *worker) suppressPending(t *try) {
	if w.config.Suppressor == nil {
		return
	}
	if err := w.suppress(w.soft, &t.job.Message, t.job); err != nil && w.soft.Err() == nil {
		w.trouble(t.job.Key, err)
	}
}

// suppress asks about the pending recipients of a message's jobs. Those that are not to be sent it have failed then; whoever
// concludes the job tells the sender.
func (s *Sender) suppress(ctx context.Context, m *queue.Message, jobs ...*queue.Job) error {
	why, err := s.suppressed(ctx, m, jobs)
	if err != nil {
		return fmt.Errorf("delivery: asking the Suppressor: %w", err)
	}
	if len(why) == 0 {
		return nil
	}
	now := s.now()
	for _, j := range jobs {
		for i := range j.Recipients {
			r := &j.Recipients[i]
			if reason, found := why[r.Address]; found && r.State == queue.Pending {
				r.State, r.Decided, r.Reply = queue.Failed, now, suppression(reason)
			}
		}
	}
	return nil
}

// suppressed asks the Suppressor, and checks that it has answered what was asked.
func (s *Sender) suppressed(ctx context.Context, m *queue.Message, jobs []*queue.Job) (why map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, suppressLimit)
	defer cancel()
	var to []string
	for _, j := range jobs {
		for i := range j.Recipients {
			if j.Recipients[i].State == queue.Pending {
				to = append(to, j.Recipients[i].Address)
			}
		}
	}
	err = guard(func() (err error) { why, err = s.config.Suppressor.Suppressed(ctx, m, to); return err })
	if err != nil || len(why) == 0 {
		return nil, err
	}
	asked := make(map[string]bool, len(to))
	for _, address := range to {
		asked[address] = true
	}
	for address := range why {
		if !asked[address] {
			return nil, fmt.Errorf("it names %.300q, which it wasn't asked about", address)
		}
	}
	return why, nil
}

// suppression is what stands in place of a host's answer. X.7.1 is what filtering by recipient results in (RFC 3463, section 3.8).
func suppression(reason string) queue.Reply {
	text := "suppressed"
	if reason != "" {
		text += ": " + reason
	}
	return queue.Reply{Phase: "suppressed", Code: 550, Enhanced: "5.7.1", Text: clip(text)}
}
