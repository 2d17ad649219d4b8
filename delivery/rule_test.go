package delivery

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/internal/notes"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// FuzzParseRule holds a note that is taken for a rule to what the commands that store rules would have refused.
func FuzzParseRule(f *testing.F) {
	for _, note := range []string{
		`{"selector":{"label":"news"},"pause":true,"set":"2026-01-02T03:04:05Z"}`,
		`{"selector":{},"via":"smtps://u:p@relay.example","until":"2026-01-02T03:04:05.000006Z","set":"2026-01-02T03:04:05+01:00"}`,
		`{"selector":{"domain":"XN--BCHER-KVA.example","site":"a,b","tenant":"t","id":"x"},"via":"[192.0.2.1]","why":"because","set":"2026-01-02T03:04:05Z"}`,
		`{"selector":{"recipient":"ann@a.example"},"pause":true}`, `{"pause":true,"via":"b.example"}`, `[]`, `null`, `{}{}`, ``, `{"selector":`,
	} {
		f.Add([]byte(note))
	}
	f.Fuzz(func(t *testing.T, note []byte) {
		var guess Rule
		if notes.Parse(note, &guess) != nil {
			return
		}
		r, err := parseRule(guess.key(), note)
		if err != nil {
			return
		}
		if _, err := parseRule(rulePrefix+"pause/other", note); err == nil {
			t.Error("is taken under another key")
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > 64<<10 {
			t.Errorf("%d octets don't fit into a note", len(again))
		}
		if same, err := parseRule(r.key(), again); err != nil || !same.Until.Equal(r.Until) || same.Selector != r.Selector || same.Via != r.Via {
			t.Errorf("%+v is stored as %+v, %v", r, same, err)
		}
		if (r.Pause) == (r.Via != "") {
			t.Errorf("%+v is both or neither", r)
		}
		_ = r.Selector.String()
		p := r.pause()
		if due := p.Due(queue.Key{ID: "x"}, r.Set); r.Pause && !r.over(r.Set) && !due.After(r.Set) && r.Set.Year() < 9000 {
			t.Errorf("a job comes back at %v, at %v", due, r.Set)
		}
	})
}

func FuzzParseLimits(f *testing.F) {
	for _, note := range []string{`{"site":"mx.a.example","limits":{"connections":3,"rest":"1h"}}`, `{"site":"","limits":{}}`, `{"site":"x","limits":{"burst":1}}`, `3`} {
		f.Add([]byte(note))
	}
	f.Fuzz(func(t *testing.T, note []byte) {
		var guess siteLimits
		if notes.Parse(note, &guess) != nil {
			return
		}
		l, err := parseLimits(guess.key(), note)
		if err != nil {
			return
		}
		p := shaping.Policy{Sites: map[string]shaping.Limits{l.Site: l.Limits}}
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	})
}

// Notes that nobody here has written are told of, and keep nothing from working: neither Run nor the commands.
func TestHostileNotes(t *testing.T) {
	ctx := context.Background()
	q := memqueue.New()
	good := Rule{Selector: Selector{Label: "news"}, Pause: true, Set: time.Unix(1e9, 0).UTC()}
	note, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		good.key():                     string(note),
		rulePrefix + "pause/copy":      string(note),
		rulePrefix + "pause/broad":     `{"selector":{"recipient":"ann@a.example"},"pause":true}`, // of a version to come
		rulePrefix + "pause/cut":       string(note[:len(note)-2]),
		rulePrefix + "pause/deep":      strings.Repeat("[", 60_000),
		rulePrefix + "via/empty":       "",
		limitsPrefix + "other":         `{"site":"mx.a.example","limits":{"connections":1}}`,
		limitsPrefix + "whole":         `{"site":"mx.a.example","limits":{"connections":-1}}`,
		"delivery/" + "rulers":         "not ours",
		(&siteLimits{Site: "x"}).key(): `{"site":"x","limits":{"connections":7}}`,
	} {
		if err := q.Set(ctx, key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	troubles := 0
	s, err := New(q, Config{Observer: ObserverFunc(func(e Event) {
		if e, ok := e.(Trouble); ok {
			troubles++
			if text := e.Err.Error(); len(text) > 500 || !strings.Contains(text, "/") {
				t.Errorf("which note is it? %.600s", text)
			}
		}
	})})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.renewRules(ctx); err != nil {
		t.Fatal(err)
	}
	if r := s.rules.Load(); troubles != 7 || len(r.list) != 1 || r.list[0].Selector != good.Selector || len(r.limits) != 1 || r.policy.Sites["x"].Connections != 7 {
		t.Errorf("%d troubles, rules %+v", troubles, r)
	}
	if err := s.Resume(ctx, good.Selector); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Rules(ctx); err != nil || len(list) != 0 {
		t.Errorf("rules %v, %v", list, err)
	}
}

// There is a bound to rules, those that are over don't count, and they leave no note behind.
func TestTooManyRules(t *testing.T) {
	ctx := context.Background()
	q := memqueue.New()
	s, err := New(q, Config{})
	if err != nil {
		t.Fatal(err)
	}
	notes := func() (n int) {
		for range q.Keys(ctx, rulePrefix) {
			n++
		}
		return n
	}
	pause := func(n int, until time.Time) error {
		return s.Pause(ctx, Selector{Tenant: strings.Repeat("t", n)}, until, "")
	}
	for n := range 20 {
		if err := pause(n+1, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if n := notes(); n != 1 {
		t.Errorf("%d notes of rules that are over", n)
	}
	set := make(map[string]bool)
	for n := range maxRules {
		r := Rule{Selector: Selector{Tenant: strings.Repeat("t", n+100)}, Pause: true, Set: time.Unix(int64(n), 0).UTC()}
		note, _ := json.Marshal(r)
		set[r.key()] = true
		if err := q.Set(ctx, r.key(), note); err != nil {
			t.Fatal(err)
		}
	}
	if err := pause(99, time.Time{}); err == nil || notes() > maxRules+1 {
		t.Errorf("%d notes, %v", notes(), err)
	}
	if err := pause(100, time.Time{}); err != nil {
		t.Errorf("one of them can't be replaced: %v", err)
	}
	if err := s.Resume(ctx, Selector{Tenant: strings.Repeat("t", 101)}); err != nil {
		t.Error(err)
	}
	if err := pause(99, time.Time{}); err != nil {
		t.Error(err)
	}
}

// An error about the way to a relay doesn't quote its URL.
func TestRelayErrorHasNoPassword(t *testing.T) {
	s, err := New(memqueue.New(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = s.routeTo(ctx, &queue.Job{}, "smtps://shop:hunter2@relay.invalid")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %v", err)
	}
}
