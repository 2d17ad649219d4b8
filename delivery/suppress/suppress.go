// Package suppress keeps a list of addresses that no mail is to be sent to, and learns from what servers say which they are. A
// [List] is a delivery.Suppressor:
//
//	list := &suppress.List{Notes: q}
//	sender, err := delivery.New(q, delivery.Config{Suppressor: list})
//	...
//	err = list.Follow(ctx, sender.Outcomes) // beside sender.Run, until ctx ends
//
// # Promises
//
//   - What Add, Remove and Import have returned nil for survives a kill and a power loss: the list is in the queue's file.
//   - Learning is at least once. [List.Follow] reads the durable outcomes of a Sender, and keeps how far it has come next to the list.
//     After a crash it goes on there.
//   - Nobody is suppressed for what is our own fault: a block list, a missing signature, a refused sender. What a reply says of an
//     address is told by [Judge], which forgets rather than accuses.
//   - Nothing is kept in memory, however long the list is. To look up an address takes a few microseconds in a boltqueue.
//
// # What is on the list
//
// An [Entry] is about an address or about a whole domain, for everyone's mail or for one tenant's, for ever or for a time. Addresses are
// compared without regard to case. For the domain that is the rule, after U-labels have become A-labels. The local part belongs
// to its host alone (RFC 5321, section 2.4), and yet nobody gives Ann@example.org and ann@example.org to two people, while one
// person who has asked for silence may well be written in both ways.
//
// An address that a server doesn't know gets on the list at once, and so does a domain that doesn't exist or takes no mail. One whose
// mailbox is full or disabled does so if that has been the answer three times, a day or more apart, and nothing was delivered
// in between. Complaints, and who has unsubscribed, are the host program's to [List.Add].
package suppress

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// List is the list. Its methods may be called by several goroutines at once.
type List struct {
	// Notes is where it is kept: the queue, usually. If several processes share the queue, they share the list; each lookup
	// is a question to the queue.
	Notes queue.Notes
	// Exempt reports whether a message is sent in spite of an entry: a password reset to somebody who has unsubscribed, perhaps,
	// which the message's labels tell. It isn't to change either of them. Defaults to no message being so.
	Exempt func(m *queue.Message, e *Entry) bool
	// Lasts is how long an address is on the list that was learned for a reason; 0 is for ever. Defaults to a year for NoSuchUser,
	// and to 30 days for all others, which get better by themselves.
	Lasts func(Reason) time.Duration
	// ByTenant says that what is learned from a tenant's mail holds for that tenant alone. It should, where tenants have relays of
	// their own, which may say anything of anybody. Defaults to false: it holds for everyone.
	ByTenant bool

	// changing is held for writing by who looks at an entry and then decides about it, so that the host program's word, for which
	// it is held for reading, isn't lost in between.
	changing sync.RWMutex
}

const entryPrefix = "suppress/entry/"

// Add puts an entry on the list, in place of the one that there may be for the same address and tenant. The error wraps
// queue.ErrInvalid if the entry makes no sense.
func (l *List) Add(ctx context.Context, e Entry) error {
	e, err := e.checked(time.Now())
	if err != nil {
		return fmt.Errorf("suppress: %w", err)
	}
	return l.add(ctx, &e)
}

// add stores an entry that was checked.
func (l *List) add(ctx context.Context, e *Entry) error {
	l.changing.RLock()
	defer l.changing.RUnlock()
	return l.set(ctx, e.key(), e.encode())
}

func (l *List) set(ctx context.Context, key string, note []byte) error {
	if err := l.Notes.Set(ctx, key, note); err != nil {
		return fmt.Errorf("suppress: %w", err)
	}
	return nil
}

// Remove takes an address, or a domain, off the list, and forgets that it has failed. Entries for other tenants stay, and so do those
// for the address' domain. That there is none is no error.
func (l *List) Remove(ctx context.Context, tenant, address string) error {
	address, err := normal(address)
	if err != nil {
		return fmt.Errorf("suppress: %w", err)
	}
	l.changing.RLock()
	defer l.changing.RUnlock()
	if err := l.set(ctx, failuresPrefix+name(tenant, address), nil); err != nil {
		return err
	}
	return l.set(ctx, entryPrefix+name(tenant, address), nil)
}

// Get returns what there is against mail of a tenant to an address, or to a whole domain, Exempt not considered. Of several entries
// it is the first: the address' own before its domain's, the tenant's own before everyone's.
func (l *List) Get(ctx context.Context, tenant, address string) (e Entry, found bool, err error) {
	address, err = normal(address)
	if err != nil {
		return e, false, fmt.Errorf("suppress: %w", err)
	}
	list, err := l.lookup(tenant).against(ctx, address)
	if err != nil || len(list) == 0 {
		return e, false, err
	}
	return list[0], true, nil
}

// Suppressed implements delivery.Suppressor. The reasons are such as "no such user (2026-11-02)", with the day of the entry.
func (l *List) Suppressed(ctx context.Context, m *queue.Message, to []string) (why map[string]string, err error) {
	lookup := l.lookup(m.Tenant)
	for _, address := range to {
		list, err := lookup.against(ctx, strings.ToLower(address))
		if err != nil {
			return nil, err
		}
		for i := range list {
			if e := &list[i]; l.Exempt == nil || !l.Exempt(m, e) {
				if why == nil {
					why = make(map[string]string)
				}
				why[address] = e.why()
				break
			}
		}
	}
	return why, nil
}

// lookup looks for what there is against mail of one tenant.
type lookup struct {
	*List
	now      time.Time
	tenants  []string // prefixes of keys: the tenant's own, and everyone's
	domain   string   // that was asked about last: recipients who have it in common come one after the other
	atDomain []Entry
}

func (l *List) lookup(tenant string) *lookup {
	k := &lookup{List: l, now: time.Now(), tenants: []string{entryPrefix + name(tenant, "")}}
	if tenant != "" {
		k.tenants = append(k.tenants, entryPrefix+name("", ""))
	}
	return k
}

// against returns the entries in force against a normal address, or domain: its own, and then those of its domain.
func (k *lookup) against(ctx context.Context, address string) (list []Entry, err error) {
	if domain := domainOf(address); domain != k.domain || k.domain == "" {
		if k.atDomain, err = k.of(ctx, domain); err != nil {
			return nil, err
		}
		k.domain = domain
	}
	if address == k.domain {
		return k.atDomain, nil
	}
	list, err = k.of(ctx, address)
	return append(list, k.atDomain...), err
}

// of returns the entries in force of exactly this address, or domain.
func (k *lookup) of(ctx context.Context, target string) (list []Entry, err error) {
	for _, prefix := range k.tenants {
		e, found, err := k.read(ctx, prefix+target)
		if err != nil {
			return nil, err
		}
		if found && e.holds(k.now) {
			list = append(list, e)
		}
	}
	return list, nil
}

// read returns the entry of a note.
func (l *List) read(ctx context.Context, key string) (e Entry, found bool, err error) {
	note, err := l.Notes.Get(ctx, key)
	if err != nil {
		return e, false, fmt.Errorf("suppress: %w", err)
	}
	if note == nil {
		return e, false, nil
	}
	if e, err = decode(key, note); err != nil {
		return e, false, fmt.Errorf("suppress: %w", err)
	}
	return e, true, nil
}

// All lists the entries in force, in no order that means anything.
func (l *List) All(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		now := time.Now()
		for key, err := range l.Notes.Keys(ctx, entryPrefix) {
			if err != nil {
				yield(Entry{}, fmt.Errorf("suppress: %w", err))
				return
			}
			e, found, err := l.read(ctx, key)
			if (err != nil || found && e.holds(now)) && !yield(e, err) {
				return
			}
		}
	}
}

// Purge removes the notes of entries that have expired, and forgets failures that nothing has followed for a year. They have no
// effect as they are; calling it once in a while keeps the queue's file small. It returns how many notes it has removed.
func (l *List) Purge(ctx context.Context) (n int, err error) {
	now := time.Now()
	for _, kind := range []struct {
		prefix string
		over   func(ctx context.Context, key string) (bool, error)
	}{
		{entryPrefix, func(ctx context.Context, key string) (bool, error) {
			e, found, err := l.read(ctx, key)
			return found && !e.holds(now), err
		}},
		{failuresPrefix, func(ctx context.Context, key string) (bool, error) {
			f, err := l.failures(ctx, key)
			return now.Sub(f.Last) > forgotten, err
		}},
	} {
		for key, err := range l.Notes.Keys(ctx, kind.prefix) {
			if err != nil {
				return n, fmt.Errorf("suppress: %w", err)
			}
			removed, err := l.removeIf(ctx, key, kind.over)
			if err != nil {
				return n, err
			}
			if removed {
				n++
			}
		}
	}
	return n, nil
}

// removeIf removes a note that is over.
func (l *List) removeIf(ctx context.Context, key string, over func(context.Context, string) (bool, error)) (bool, error) {
	if is, err := over(ctx, key); !is {
		return false, err
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	is, err := over(ctx, key) // still
	if !is || err != nil {
		return false, err
	}
	return true, l.set(ctx, key, nil)
}
