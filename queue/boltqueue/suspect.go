package boltqueue

import (
	"context"
	"math"
	"time"

	"github.com/postroad/postroad/queue"
)

// A message that ends the process whenever it is worked on must not do so for ever, and no mail beside it may suffer.
//
// The end of a process that didn't call Close leaves nothing that says which job it was. So after it claims are noted in the
// file before they are given out, for a minute as the claims' own times tell it, and a Commit erases the note with what it
// stores. Jobs that are noted when the process ends again become suspects: one of them, and many that merely ran beside it.
// A suspect stays one until it is committed, its claims are always noted, and none is given out while another one is leased.
// So the next unclean end counts against one suspect alone, and after three of these it is held. Closing in order is no end:
// it erases the notes, and leaves the suspects as they are.
//
//	          end, noted           three ends as the only suspect leased
//	a claim -------------> suspect -------------------------------------> held
//	   ^                      |
//	   +----------------------+
//	            Commit
//
// What is claimed by key is changed by the host program and not tried: that is neither noted nor does it wait.

const (
	noteFor     = time.Minute            // how long claims are noted after an unclean end
	heldAfter   = 1 + 3                  // ends: one that made it a suspect, three as one
	suspectWait = 100 * time.Millisecond // when a claim is to ask again for a suspect that another one keeps waiting
)

// note is what the file says of a job that was given out, or is a suspect.
type note struct {
	key    queue.Key
	ends   int  // unclean ends while it was leased; a suspect has some
	leased bool // it was given out, and not committed since
}

func (t *tx) putNote(n note) error {
	return put(t.claimed(), jobKey(n.key), n.encode())
}

func (n note) encode() []byte {
	var e encoder
	e.uint(uint64(n.ends))
	e.bool(n.leased)
	return e.b
}

// allNotes reads the notes. There are no more than there were jobs under way at the ends that are remembered.
func (t *tx) allNotes() (list []note, err error) {
	err = t.claimed().ForEach(func(k, v []byte) error {
		n, err := readNote(k, v)
		if err == nil {
			list = append(list, n)
		}
		return t.unlessPassed(n.key, err)
	})
	return list, err
}

func readNote(k, v []byte) (note, error) {
	key, err := parseJobKey(k)
	if err != nil {
		return note{}, err
	}
	fields, err := unseal(k, v)
	if err != nil {
		return note{key: key}, err
	}
	return decodeNote(key, fields)
}

func decodeNote(key queue.Key, fields []byte) (note, error) {
	d := decoder{b: fields}
	n := note{key: key, ends: int(d.uint(31)), leased: d.bool()}
	return n, d.end("note of a claim")
}

// judge counts the unclean end before this opening against the jobs that were leased, holds those that have had enough, and
// returns the keys of these.
func (s *suspects) judge(t *tx) (poisoned []queue.Key, err error) {
	list, err := t.allNotes()
	if err != nil {
		return nil, err
	}
	s.ends = make(map[queue.Key]int, len(list))
	for _, n := range list {
		s.ends[n.key] = n.ends
		if !n.leased {
			continue
		}
		n.ends, n.leased = min(n.ends+1, math.MaxInt32), false
		s.ends[n.key] = n.ends
		if err := t.putNote(n); err != nil {
			return nil, err
		}
		if n.ends != heldAfter {
			continue
		}
		j, err := t.stored(n.key)
		if t.pass(n.key, err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		held := &jobRecord{*j.Clone()}
		held.Held = true
		if err := t.putJob(j, held, held.rows()); err != nil {
			return nil, err
		}
		poisoned = append(poisoned, n.key)
	}
	return poisoned, nil
}

// acquit erases, when the file is closed in order, that jobs were given out.
func (t *tx) acquit() error {
	list, err := t.allNotes()
	for _, n := range list {
		switch {
		case err != nil:
		case n.ends == 0:
			err = t.claimed().Delete(jobKey(n.key))
		case n.leased:
			n.leased = false
			err = t.putNote(n)
		}
	}
	return err
}

// suspects is what claiming knows of earlier ends. It is part of claims, and guarded as they are.
type suspects struct {
	ends    map[queue.Key]int // of each suspect
	running queue.Key         // the suspect that was given out latest
	noting  bool              // the process before ended without Close, and no minute has passed
	since   time.Time         // Now of the first claim that was noted
}

// mustWait reports whether no suspect is given out at now, because one is leased.
func (c *claims) mustWait(now time.Time) bool {
	if c.ends[c.running] == 0 {
		return false
	}
	_, leased := c.leasedAt(c.running, now)
	return leased
}

// putOff keeps a job away from claims until a moment. Nobody owns it; whoever had it last can still commit it.
func (c *claims) putOff(j *queue.Job, until time.Time) {
	l := &lease{end: until, idle: true}
	if old := c.leases[j.Key]; old != nil {
		l.token, l.lapses = old.token, old.lapses
	}
	c.set(j, l)
}

// clear takes back the suspicion of k, which was committed, and lets those that wait for it go.
func (c *claims) clear(k queue.Key) {
	if c.ends[k] == 0 {
		return
	}
	delete(c.ends, k)
	for s := range c.ends {
		if l := c.leases[s]; l != nil && l.idle {
			c.lanes.giveBack(l)
			l.end, l.idle = time.Time{}, false
		}
	}
}

// toNote returns what is to be stored before jobs are given out.
func (c *claims) toNote(jobs []*queue.Job, now time.Time) (list []note) {
	if c.noting && len(jobs) > 0 {
		if c.since.IsZero() || now.Before(c.since) {
			c.since = now
		}
		c.noting = now.Sub(c.since) < noteFor
	}
	if !c.noting && len(c.ends) == 0 {
		return nil
	}
	for _, j := range jobs {
		if ends := c.ends[j.Key]; ends > 0 || c.noting {
			list = append(list, note{key: j.Key, ends: ends, leased: true})
		}
	}
	return list
}

// noteClaims stores notes.
func (q *Queue) noteClaims(ctx context.Context, notes []note) error {
	if len(notes) == 0 {
		return nil
	}
	return q.submit(ctx, noteClaims(notes), 64*len(notes))
}

type noteClaims []note

func (c noteClaims) apply(t *tx) error {
	for _, n := range c {
		if err := t.putNote(n); err != nil {
			return err
		}
	}
	return nil
}
