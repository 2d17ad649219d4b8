package suppress

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/internal/address"
	"github.com/postroad/postroad/delivery/internal/notes"
	"github.com/postroad/postroad/queue"
)

const (
	failuresPrefix = "suppress/failures/"
	// An address gets on the list after so many failures in a row that are not sure, each so long after the one before.
	enough  = 3
	between = 24 * time.Hour
	// forgotten is when failures are forgotten that nothing has followed.
	forgotten = 365 * 24 * time.Hour
)

// failures is a note about an address that has failed, and isn't on the list for it.
type failures struct {
	Count int       `json:"count"`
	Last  time.Time `json:"last"` // that was counted
}

// Learn hears what became of a recipient of a tenant's mail, at a time. Its State and Reply tell; only what is final counts. For the
// mail of a Sender, [List.Follow] does that; Learn is for what comes another way, such as a report of failure in a mailbox. The
// same may be told twice. It never replaces an entry that is in force.
func (l *List) Learn(ctx context.Context, tenant string, at time.Time, r *queue.Recipient) error {
	_, err := l.hear(ctx, tenant, at, r)
	return err
}

// hear does what Learn promises, and reports whether there was anything to learn.
func (l *List) hear(ctx context.Context, tenant string, at time.Time, r *queue.Recipient) (taught bool, err error) {
	a, err := address.Parse(r.Address)
	if err != nil {
		return false, nil // nobody asks about it
	}
	if !l.ByTenant {
		tenant = ""
	}
	switch r.State {
	case queue.Delivered:
		return l.forgive(ctx, tenant, strings.ToLower(a.String()), at)
	case queue.Failed, queue.Bounced:
	default:
		return false, nil
	}
	f := Judge(r.Reply)
	if f.Reason == "" {
		return false, nil
	}
	e := Entry{Address: r.Address, Tenant: tenant, Reason: f.Reason, Text: said(&r.Reply), Added: at}
	if f.Domain {
		e.Address = a.Domain
	}
	if lasts := l.lasts(f.Reason); lasts > 0 {
		e.Expires = at.Add(lasts)
	}
	if e, err = e.checked(at); err != nil {
		return false, fmt.Errorf("suppress: %w", err)
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	if f.Sure && r.Reason == "" { // else it was given up for lack of time, not for this reply
		return true, l.learn(ctx, &e)
	}
	return true, l.count(ctx, &e, at)
}

// lasts is how long an entry holds that is learned.
func (l *List) lasts(r Reason) time.Duration {
	switch {
	case l.Lasts != nil:
		return l.Lasts(r)
	case r == NoSuchUser:
		return 365 * 24 * time.Hour
	}
	return 30 * 24 * time.Hour
}

// said is what a server has said, on one line. It begins with a digit, which no spreadsheet takes for a formula.
func said(r *queue.Reply) string {
	return strings.Join(strings.Fields(fmt.Sprintf("%03d %s %s", r.Code, r.Enhanced, r.Text)), " ")
}

// learn stores an entry, unless there is one. The caller holds changing.
func (l *List) learn(ctx context.Context, e *Entry) error {
	was, found, err := l.read(ctx, e.key())
	if err != nil || found && was.holds(e.Added) {
		return err
	}
	return l.set(ctx, e.key(), e.encode())
}

// count counts a failure, and stores the entry if it is one too many. The caller holds changing.
func (l *List) count(ctx context.Context, e *Entry, at time.Time) error {
	key := failuresPrefix + name(e.Tenant, strings.ToLower(e.Address))
	f, err := l.failures(ctx, key)
	if err != nil || f.Count > 0 && at.Before(f.Last.Add(between)) {
		return err
	}
	if f.Count+1 < enough {
		return l.setFailures(ctx, key, failures{f.Count + 1, at})
	}
	if err := l.learn(ctx, e); err != nil {
		return err
	}
	return l.set(ctx, key, nil)
}

// forgive forgets the failures of an address that something was delivered to after them, and reports whether there were any.
func (l *List) forgive(ctx context.Context, tenant, address string, at time.Time) (forgiven bool, err error) {
	for _, target := range []string{address, domainOf(address)} {
		key := failuresPrefix + name(tenant, target)
		f, err := l.failures(ctx, key)
		if err != nil {
			return forgiven, err
		}
		if f.Count > 0 && f.Last.Before(at) {
			forgiven = true
			if err := l.set(ctx, key, nil); err != nil {
				return forgiven, err
			}
		}
	}
	return forgiven, nil
}

// failures reads a note, none of which is 0. One that makes no sense is as none.
func (l *List) failures(ctx context.Context, key string) (f failures, err error) {
	note, err := l.Notes.Get(ctx, key)
	if err != nil {
		return f, fmt.Errorf("suppress: %w", err)
	}
	if note == nil || notes.Parse(note, &f) != nil || f.Count < 0 {
		return failures{}, nil
	}
	return f, nil
}

func (l *List) setFailures(ctx context.Context, key string, f failures) error {
	note, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("suppress: %w", err) // a time beyond the year 9999
	}
	return l.set(ctx, key, note)
}
