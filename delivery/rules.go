package delivery

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

const (
	// Rules are kept as notes of the queue under these prefixes.
	rulePrefix   = "delivery/rule/"
	limitsPrefix = "delivery/limits/"
	// maxRules bounds the rules, and the sites that have limits: each rule is looked at for each job.
	maxRules = 1000
	// maxNotes bounds what is read of each kind: those that are over are there until the next change.
	maxNotes = 2 * maxRules
)

// rules are what the host program has asked for beside its configuration. They are not changed once they are in force.
type rules struct {
	list     []Rule
	reroutes bool // there is one that does
	bySite   bool // there is one that does so by site
	limits   map[string]shaping.Limits
	policy   *shaping.Policy // the configuration's, with limits laid over it
}

// notes returns the queue's notes, or ErrNoNotes.
func (s *Sender) notes() (queue.Notes, error) {
	if n, ok := s.queue.(queue.Notes); ok {
		return n, nil
	}
	return nil, ErrNoNotes
}

// readRules reads the notes that this package has written. Those that it can't read are told of, and left out.
func (s *Sender) readRules(ctx context.Context) (*rules, error) {
	fresh := &rules{limits: make(map[string]shaping.Limits)}
	n, err := s.notes()
	if err != nil {
		return s.inForce(fresh), nil // then there are none
	}
	err = s.eachNote(ctx, n, rulePrefix, func(key string, value []byte) error {
		r, err := parseRule(key, value)
		if err == nil {
			fresh.list = append(fresh.list, r)
		}
		return err
	})
	if err == nil {
		err = s.eachNote(ctx, n, limitsPrefix, func(key string, value []byte) error {
			l, err := parseLimits(key, value)
			if err == nil {
				fresh.limits[l.Site] = l.Limits
			}
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	return s.inForce(fresh), nil
}

// eachNote calls f for each note under a prefix, and tells of its errors. Notes beyond maxNotes are left out: there are that many
// only if somebody else writes them, and then mail must go on.
func (s *Sender) eachNote(ctx context.Context, n queue.Notes, prefix string, f func(key string, value []byte) error) error {
	count := 0
	for key, err := range n.Keys(ctx, prefix) {
		if err != nil {
			return err
		}
		value, err := n.Get(ctx, key)
		if err != nil {
			return err
		}
		if value == nil {
			continue // it was lifted meanwhile
		}
		if count++; count > maxNotes {
			s.trouble(queue.Key{}, fmt.Errorf("delivery: there are more than %d notes under %s; the rest is not in force", maxNotes, prefix))
			return nil
		}
		if err := f(key, value); err != nil {
			s.trouble(queue.Key{}, err)
		}
	}
	return nil
}

// renewRules reads what another life of the program has left, or another process has changed.
func (s *Sender) renewRules(ctx context.Context) error {
	if err := s.changing.take(ctx); err != nil {
		return err
	}
	defer s.changing.end()
	rules, err := s.readRules(ctx)
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	s.rules.Store(rules)
	return nil
}

// inForce completes r: it lays the limits over those of the configuration, and looks for what needs looking for.
func (s *Sender) inForce(r *rules) *rules {
	policy := s.config.Shaping
	policy.Sites = maps.Clone(policy.Sites)
	if policy.Sites == nil {
		policy.Sites = make(map[string]shaping.Limits, len(r.limits))
	}
	for site, l := range r.limits {
		policy.Sites[site] = l.Over(policy.Sites[site])
	}
	r.policy = &policy
	for i := range r.list {
		if rule := &r.list[i]; rule.Via != "" {
			r.reroutes, r.bySite = true, r.bySite || rule.Selector.Site != ""
		}
	}
	return r
}

// enforce has Run go by the rules there are now. It must not be called with changing held, for which Run may be waiting.
func (s *Sender) enforce() {
	s.tell(context.Background(), func(r *run) {
		now, rules := s.now(), s.rules.Load()
		r.do(r.state.Step(now, schedule.Policy{Policy: rules.policy}))
		r.do(r.state.Step(now, schedule.Pauses{Pauses: rules.pauses()}))
	})
}

// turn is held by one at a time. Others wait for it, unless their ctx ends: what is done with it may take a queue's time.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) end() { <-t }

// changeRule stores a rule, or lifts it if there is no note to store, and puts that into force. It returns the rule that was there,
// nil if there was none.
func (s *Sender) changeRule(ctx context.Context, r Rule, note []byte) (was *Rule, err error) {
	err = s.changeNotes(ctx, func(n queue.Notes, now *rules) (*rules, error) {
		var list []Rule
		for _, o := range now.list {
			switch {
			case o.key() == r.key():
				was = &o
			case o.over(s.now()):
				if err := n.Set(ctx, o.key(), nil); err != nil {
					return nil, err
				}
			default:
				list = append(list, o)
			}
		}
		if note != nil {
			list = append(list, r)
		}
		if len(list) > maxRules {
			return nil, fmt.Errorf("there are %d already", maxRules)
		}
		return &rules{list: list, limits: now.limits}, n.Set(ctx, r.key(), note)
	})
	return was, err
}

// setRule stores a rule.
func (s *Sender) setRule(ctx context.Context, r Rule) (was *Rule, err error) {
	r, err = r.checked()
	if err != nil {
		return nil, err
	}
	note, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err) // a time beyond the year 9999
	}
	return s.changeRule(ctx, r, note)
}

// liftRule lifts the rule of the same selector and kind.
func (s *Sender) liftRule(ctx context.Context, r Rule) (was *Rule, err error) {
	if r.Selector, err = r.Selector.checked(); err != nil {
		return nil, err
	}
	return s.changeRule(ctx, r, nil)
}

// changeNotes has change make new rules of those there are, and store what is new, one at a time. Then these are in force.
func (s *Sender) changeNotes(ctx context.Context, change func(queue.Notes, *rules) (*rules, error)) error {
	n, err := s.notes()
	if err != nil {
		return err
	}
	err = func() error {
		if err := s.changing.take(ctx); err != nil {
			return err
		}
		defer s.changing.end()
		was, err := s.readRules(ctx)
		if err != nil {
			return err
		}
		rules, err := change(n, was)
		if err == nil {
			s.rules.Store(s.inForce(rules))
		}
		if s.shared != nil {
			err = errors.Join(err, n.Set(ctx, changedKey, []byte(rand.Text()))) // whatever the error: half of it may be there
		}
		return err
	}()
	if err != nil {
		return fmt.Errorf("delivery: changing rules: %w", err)
	}
	s.enforce()
	return nil
}

// Rules returns the rules in force, the oldest first; none if the queue keeps no notes. Passwords in the URLs of relays are left
// out, so that the list may be shown to anybody who may see the mail's destinations.
func (s *Sender) Rules(ctx context.Context) ([]Rule, error) {
	rules, err := s.readRules(ctx)
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	return rules.shown(s.now()), nil
}
