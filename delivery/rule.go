package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postroad/postroad/delivery/internal/notes"
	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
)

// Rule is a lasting command of the host program: it holds for what is in the queue and for what comes later, across
// restarts, until it is lifted or its time is over. [Sender.Rules] lists them. Another process that uses the same queue goes by
// a rule from its next beat on, within 15 seconds, if the queue is a queue.Shared, or else from when it next starts Run, or gives a
// rule itself.
type Rule struct {
	Selector Selector  `json:"selector"`
	Pause    bool      `json:"pause,omitempty"` // what matches is kept back, until it expires
	Via      string    `json:"via,omitempty"`   // else: where what matches goes instead of its domain's own hosts
	Until    time.Time `json:"until,omitzero"`  // zero: until it is lifted
	Why      string    `json:"why,omitempty"`
	Set      time.Time `json:"set"`
}

// maxWhy bounds the reason of a rule, and maxVia where it leads, in octets.
const maxWhy, maxVia = 1000, 4096

// key is the name of the rule's note. There is one for each selector and kind.
func (r *Rule) key() string {
	kind := "via/"
	if r.Pause {
		kind = "pause/"
	}
	words, _ := json.Marshal(r.Selector) // of strings: it doesn't fail
	return rulePrefix + kind + noteName(words)
}

func noteName(of []byte) string {
	sum := sha256.Sum256(of)
	return hex.EncodeToString(sum[:16])
}

func (r *Rule) over(now time.Time) bool { return !r.Until.IsZero() && !r.Until.After(now) }

// parseRule reads the note under a key. What it can't make full sense of is an error: half a rule may be about more mail than
// the whole.
func parseRule(key string, note []byte) (r Rule, err error) {
	if err := notes.Parse(note, &r); err != nil {
		return r, fmt.Errorf("delivery: note %.100q: %w", key, err)
	}
	given := r
	if r, err = r.checked(); err == nil && (r != given || r.key() != key) {
		err = fmt.Errorf("delivery: note %.100q: it isn't of this rule", key)
	}
	return r, err
}

// checked returns r in the form in which it is kept, or says what makes no sense.
func (r Rule) checked() (_ Rule, err error) {
	if r.Selector, err = r.Selector.checked(); err != nil {
		return r, err
	}
	switch {
	case r.Pause == (r.Via != ""):
		return r, errors.New("delivery: a rule is either a pause or a way")
	case len(r.Why) > maxWhy || !utf8.ValidString(r.Why):
		return r, fmt.Errorf("delivery: the reason isn't UTF-8 of at most %d octets", maxWhy)
	case r.Pause:
		return r, nil
	}
	r.Via, err = checkedVia(r.Via)
	return r, err
}

// checkedVia refuses what couldn't be routed. It never says what it was, which may have a password.
func checkedVia(via string) (string, error) {
	if len(via) > maxVia || !utf8.ValidString(via) {
		return "", fmt.Errorf("delivery: a way isn't UTF-8 of at most %d octets", maxVia)
	}
	if strings.Contains(via, "://") {
		if _, err := mx.ParseRelay(via); err != nil {
			return "", fmt.Errorf("delivery: %w", err)
		}
		return via, nil
	}
	domain, err := destination(via)
	if err != nil || strings.Contains(via, "@") {
		return "", errors.New("delivery: a way is a domain, an address literal or the URL of a relay")
	}
	return domain, nil
}

// pause is a rule that keeps mail back, in the scheduler's words.
func (r *Rule) pause() schedule.Pause {
	s := &r.Selector
	return schedule.Pause{ID: s.ID, Domain: s.Domain, Site: s.Site, Tenant: s.Tenant, Label: s.Label, Until: r.Until, Why: r.Why}
}

// pauses are the rules that keep mail back.
func (r *rules) pauses() (pauses []schedule.Pause) {
	for i := range r.list {
		if r.list[i].Pause {
			pauses = append(pauses, r.list[i].pause())
		}
	}
	return pauses
}

// via returns where a rule sends a job that would go to a site, "" if none does. The most particular rule counts.
func (r *rules) via(j *queue.Job, site string, now time.Time) string {
	var best *Rule
	for i := range r.list {
		rule := &r.list[i]
		if rule.Via != "" && !rule.over(now) && rule.Selector.matches(j, site) && (best == nil || rule.Selector.weight() > best.Selector.weight()) {
			best = rule
		}
	}
	if best == nil {
		return ""
	}
	return best.Via
}
