// Package simulate computes the future of mail: given limits, a retry policy and a script of how servers behave, it says when
// each message would be tried, what would be answered, which sites would be paused and why, who would be warned of a delay, and
// how it would all end.
//
// It is no model of the Sender. [Run] drives the scheduler that delivery.Sender drives, decides about attempts as the Sender
// decides, and keeps its jobs in a queue like the Sender's; only the servers, the network and the clock are made up. It is a pure
// function: it reads no clock, starts nothing, connects to nobody and draws its randomness from a seed, so that the same Config
// has the same future every time, and days pass in milliseconds.
//
// What is made up is simple: a site has one host, mail comes from one address, the queue answers at once, reports of failure are
// not themselves delivered, what is uncertain is tried again, and servers take no time unless the script says so.
package simulate

import (
	"fmt"
	"iter"
	"time"
	"unicode/utf8"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// Config says what to simulate. The fields that delivery.Config has too mean what they mean there.
type Config struct {
	// Start is when it begins. Times of day in Servers are of its location. Defaults to the first midnight of 2026, UTC.
	Start time.Time
	// Until is when it breaks off. Defaults to the end of everything.
	Until time.Time
	// Seed is where all randomness comes from: the policy's jitter, the scheduler's, and the servers' whims.
	Seed uint64

	// Retry says when to try again. Defaults to retry.Backoff{}.
	Retry retry.Policy
	// MaxWait bounds the waits that aren't the policy's. Defaults to 0, which is no bound.
	MaxWait time.Duration
	// Lifetime is how long after it was queued a message is given up. Defaults to 5 days.
	Lifetime time.Duration
	// DelayAfter is when a message is late. Defaults to 4 hours.
	DelayAfter time.Duration
	// Concurrency is how many connections there are at once. Defaults to 500.
	Concurrency int
	// Shaping says how gently mail is sent.
	Shaping shaping.Policy

	// Mail is what is sent.
	Mail []Mail
	// Servers says how the servers behave. Defaults to taking everything, at once.
	Servers Script
	// Changes are what the operator does in the meantime.
	Changes []Change
}

// Mail is a message, or a number of like ones.
type Mail struct {
	// Domain is where it goes: to users called user1, user2 and so on.
	Domain string
	// Recipients is to how many of them each message goes. Defaults to 1.
	Recipients int
	// From is the reverse-path. Defaults to "sender@home.example".
	From string
	// Tenant and Priority are as in delivery.Message.
	Tenant   string
	Priority queue.Priority
	// Lifetime is how long after it was queued a message is given up. Defaults to Config.Lifetime.
	Lifetime time.Duration

	// Count is how many messages there are. Defaults to 1.
	Count int
	// After is when the first of them is queued, counted from Config.Start.
	After time.Duration
	// Every is the time between one and the next. Defaults to 0: all at once.
	Every time.Duration
}

// Change is something that the operator does.
type Change struct {
	// After is when, counted from Config.Start.
	After time.Duration
	// Shaping, if not nil, replaces Config.Shaping.
	Shaping *shaping.Policy
	// Restart stops the Sender, in order, and starts it again: it knows nothing any more but its queue.
	Restart bool
}

const (
	maxCount      = 10_000_000
	maxRecipients = 1_000_000
	// jobRecipients is how many recipients a Sender puts into one job.
	jobRecipients = 100
)

// Run returns what happens, with the time of each event, in order of time. The future is computed as the sequence is read, and
// anew each time that it is. The error names the field of c that makes no sense.
func Run(c Config) (iter.Seq2[time.Time, Event], error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	return func(yield func(time.Time, Event) bool) {
		newPlay(&c, yield).run()
	}, nil
}

// withDefaults returns c with every default filled in, or an error that names the field that makes no sense.
func (c Config) withDefaults() (Config, error) {
	for name, v := range map[string]int64{
		"MaxWait": int64(c.MaxWait), "Lifetime": int64(c.Lifetime), "DelayAfter": int64(c.DelayAfter), "Concurrency": int64(c.Concurrency),
	} {
		if v < 0 {
			return c, fmt.Errorf("simulate: Config.%s is negative", name)
		}
	}
	if err := c.Shaping.Check(); err != nil {
		return c, fmt.Errorf("simulate: Config.Shaping: %w", err)
	}
	if err := c.Servers.Check(); err != nil {
		return c, fmt.Errorf("simulate: Config.Servers%w", err)
	}
	defaultTo(&c.Start, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	defaultTo(&c.Lifetime, 5*24*time.Hour)
	defaultTo(&c.DelayAfter, 4*time.Hour)
	defaultTo(&c.Concurrency, 500)
	if c.Retry == nil {
		c.Retry = retry.Backoff{}
	}
	for i, ch := range c.Changes {
		if ch.After < 0 {
			return c, fmt.Errorf("simulate: Config.Changes[%d].After is negative", i)
		}
		if ch.Shaping == nil {
			continue
		}
		if err := ch.Shaping.Check(); err != nil {
			return c, fmt.Errorf("simulate: Config.Changes[%d].Shaping: %w", i, err)
		}
	}
	mail := make([]Mail, len(c.Mail))
	for i, m := range c.Mail {
		defaultTo(&m.Count, 1)
		defaultTo(&m.Recipients, 1)
		defaultTo(&m.From, "sender@home.example")
		defaultTo(&m.Lifetime, c.Lifetime)
		if problem := m.problem(); problem != "" {
			return c, fmt.Errorf("simulate: Config.Mail[%d].%s", i, problem)
		}
		mail[i] = m
	}
	c.Mail = mail
	return c, nil
}

// problem names the field that makes no sense, "" if there is none.
func (m *Mail) problem() string {
	switch {
	case !isName(m.Domain):
		return "Domain is no domain in lower case"
	case len(m.From) > maxText || !utf8.ValidString(m.From):
		return "From is no address"
	case len(m.Tenant) > maxText || !utf8.ValidString(m.Tenant):
		return "Tenant is no name"
	case m.Recipients < 1 || m.Recipients > maxRecipients:
		return fmt.Sprintf("Recipients is not from 1 to %d", maxRecipients)
	case m.Count < 1 || m.Count > maxCount:
		return fmt.Sprintf("Count is not from 1 to %d", maxCount)
	case m.Lifetime < 0:
		return "Lifetime is negative"
	case m.After < 0:
		return "After is negative"
	case m.Every < 0:
		return "Every is negative"
	}
	return ""
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
