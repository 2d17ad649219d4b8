package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/postroad/postroad/delivery/internal/notes"
	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// Pause keeps back what a selector matches, now and later, until [Sender.Resume] or, unless that is zero, until a time. What is
// being sent when it returns is finished. A message that is kept back still expires, and a report is queued for it, which waits
// only if the pause is for the report itself: everything, or its tenant. The pause
// is durable; it replaces the one of the same selector, and of several that match each must end. The error is [ErrNoNotes] if
// the queue keeps no notes.
//
// Whole domains, sites and tenants are left in the queue. What is kept back by its ID or a label, though, has to be looked at, once
// an hour and with a commit for each job.
func (s *Sender) Pause(ctx context.Context, sel Selector, until time.Time, why string) error {
	if !until.IsZero() {
		until = until.Add(time.Microsecond - 1).Truncate(time.Microsecond) // not before, in what any queue keeps
	}
	r := Rule{Selector: sel, Pause: true, Until: until, Why: why, Set: s.now()}
	was, err := s.setRule(ctx, r)
	if err != nil || was == nil || was.Until.Equal(r.Until) {
		return err
	}
	return s.letGo(ctx, was) // so that what waits for the end of the old pause meets the new one
}

// Resume lifts the pause of exactly this selector, if there is one. What it has kept back goes on at once, and what waits for
// its next attempt or its Message.SendAt waits on.
func (s *Sender) Resume(ctx context.Context, sel Selector) error {
	was, err := s.liftRule(ctx, Rule{Selector: sel, Pause: true})
	if err != nil || was == nil {
		return err
	}
	return s.letGo(ctx, was)
}

// letGo makes those jobs due that have been given a time at which to look at a pause again.
func (s *Sender) letGo(ctx context.Context, r *Rule) error {
	sel := r.Selector
	if sel.ID == "" && sel.Label == "" && (sel.Site == "" || !s.rules.Load().reroutes) {
		return nil // lanes go on by themselves
	}
	sel.Site = "" // they may have been rerouted there
	p := r.pause()
	_, err := s.change(ctx, sel, func(j *queue.Job, now time.Time) bool {
		if j.Held || !j.Due.After(now) || !p.Kept(j) {
			return false
		}
		j.Due = now
		return true
	})
	return unlessBusy(err)
}

// unlessBusy passes over the errors that say that there is nothing to make due.
func unlessBusy(err error) error {
	if errors.Is(err, ErrInFlight) || errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	return err
}

// Reroute sends what a selector matches, now and later, to via instead of its domain's own hosts: to another domain's, to an
// address literal, or to a relay by its URL (see mx.ParseRelay). The limits of the site that via leads to hold for it. A way that
// can't be found delays mail, and never fails it. An empty via lifts the rule of exactly this selector.
//
// The rule is durable, with what credentials the URL has. Of several that match the most particular counts: one by ID before one
// by label, by domain, by tenant, and by site, and those that name more before those that name less. The site is that of the
// domain's own way. A job's own Via goes before all. What waits for its next attempt does so; [Sender.Flush] sends it at
// once. The error is [ErrNoNotes] if the queue keeps no notes.
func (s *Sender) Reroute(ctx context.Context, sel Selector, via string) (err error) {
	r := Rule{Selector: sel, Via: via, Set: s.now()}
	if via == "" {
		_, err = s.liftRule(ctx, r)
	} else {
		_, err = s.setRule(ctx, r)
	}
	if err == nil {
		s.flushSites(ctx, sel) // that its own hosts were dead keeps nothing back any more
	}
	return err
}

// siteLimits is a note.
type siteLimits struct {
	Site   string         `json:"site"`
	Limits shaping.Limits `json:"limits"`
}

func (l *siteLimits) key() string { return limitsPrefix + noteName([]byte(l.Site)) }

// parseLimits reads the note under a key.
func parseLimits(key string, note []byte) (l siteLimits, err error) {
	if err := notes.Parse(note, &l); err != nil {
		return l, fmt.Errorf("delivery: note %.100q: %w", key, err)
	}
	if l.key() != key {
		return l, fmt.Errorf("delivery: note %.100q: it isn't of this site", key)
	}
	return l, l.check()
}

func (l *siteLimits) check() error {
	if l.Site == "" || len(l.Site) > 1024 || !utf8.ValidString(l.Site) {
		return errors.New("delivery: limits are for one site, whose name has 1 to 1024 octets of UTF-8")
	}
	p := shaping.Policy{Sites: map[string]shaping.Limits{l.Site: l.Limits}}
	if err := p.Check(); err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	return nil
}

// SetLimits lays limits over those that Config.Shaping has for a site, from now on and durably; fields that are zero stay as they
// are there. Zero limits take back what was set. The error is [ErrNoNotes] if the queue keeps no notes.
func (s *Sender) SetLimits(ctx context.Context, site string, l shaping.Limits) error {
	limits := siteLimits{site, l}
	if err := limits.check(); err != nil {
		return err
	}
	return s.changeNotes(ctx, func(n queue.Notes, was *rules) (*rules, error) {
		delete(was.limits, site) // was is nobody else's
		var note []byte
		if l != (shaping.Limits{}) {
			was.limits[site] = l
			var err error
			if note, err = json.Marshal(limits); err != nil {
				return nil, err
			}
		}
		if len(was.limits) > maxRules {
			return nil, fmt.Errorf("there are limits for %d sites already", maxRules)
		}
		return was, n.Set(ctx, limits.key(), note)
	})
}

// Flush has what a selector matches tried again now instead of at its next attempt, and forgets that its sites have failed or
// asked for patience, where the selector names a site, a domain, or nothing at all. It returns how many jobs it has made due.
// Jobs that are being sent, or held, are left alone, and so are those that have never been tried, because of
// Message.SendAt, unless the selector names the ID. Pauses hold.
func (s *Sender) Flush(ctx context.Context, sel Selector) (int, error) {
	n, err := s.change(ctx, sel, func(j *queue.Job, now time.Time) bool {
		if j.Held || !j.Due.After(now) || j.Tries == 0 && sel.ID == "" {
			return false
		}
		j.Due = now
		return true
	})
	if err = unlessBusy(err); err == nil {
		s.flushSites(ctx, sel)
	}
	return n, err
}

// flushSites forgets what keeps back the site that a selector is about, if Run knows it.
func (s *Sender) flushSites(ctx context.Context, sel Selector) {
	sel, err := sel.checked()
	if err != nil || sel.Site == "" && sel.Domain == "" && sel != (Selector{}) {
		return
	}
	s.tell(ctx, func(r *run) {
		site := sel.Site
		if site == "" && sel.Domain != "" {
			site = r.state.SiteOf(sel.Domain)
		}
		r.do(r.state.Step(s.now(), schedule.Flush{Site: site}))
	})
}
