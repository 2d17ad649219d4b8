package shaping

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
)

// FuzzMatch holds what is made of a reply to the promises of the actions, with rules that match as much as they can.
func FuzzMatch(f *testing.F) {
	f.Add("google", "aspmx.l.google.com", "rcpt", 421, "4.7.28", "slow down", "4.*.*", "*")
	f.Add("a.example", "mta5.am0.yahoodns.net", "body", 553, "5.7.2", "[TSS09]", "5.7.1-9", "*.yahoodns.net")
	f.Add("", "smtp.office365.com:587", "auth", 432, "#4.3.2", strings.Repeat("a", 5000), "*.*", "**a*")
	f.Fuzz(func(t *testing.T, site, host, phase string, code int, enhanced, text, pattern, glob string) {
		hostile := regexp.MustCompile(`(?:a*)*(?:\pL+|\s*)*b?$`)
		p := &Policy{Rules: []Rule{
			{Name: "enhanced", Enhanced: pattern, Action: Slow, For: 1, Connections: 1},
			{Name: "code", Code: pattern, Action: Wait, For: 1},
			{Name: "site", Site: glob, Action: Pause, For: time.Second},
			{Name: "text", Text: hostile, Action: Pause, For: time.Minute},
			{Name: "never", Action: Permanent},
			{Name: "later", Action: Temporary},
		}}
		r := Reply{Site: site, Host: host, Phase: phase, Code: code, Enhanced: enhanced, Text: text}
		seen := make(map[Action]bool)
		for _, o := range p.Match(r) {
			if err := o.check(); err != nil {
				t.Errorf("%+v: %v", o, err)
			}
			mail := phase == "mail" || phase == "rcpt" || phase == "data" || phase == "body"
			switch {
			case code/100 != 4 && code/100 != 5:
				t.Error("made something of what is no refusal")
			case o.Action == Temporary && (!mail || code/100 != 5):
				t.Error("made something temporary that isn't a permanent refusal of mail")
			case o.Action == Permanent && (!mail || code/100 != 4 || code == 421):
				t.Error("made something permanent that isn't a temporary refusal of mail")
			case seen[o.Action]:
				t.Errorf("two orders to %s", o.Action)
			}
			seen[o.Action] = true
		}
		if seen[Temporary] && seen[Permanent] {
			t.Error("both temporary and permanent")
		}
		if t.Failed() {
			t.Logf("%+v", r)
		}
		p.Limits(site)
		_ = p.Check()
	})
}

// FuzzGlob compares patterns of names with regular expressions.
func FuzzGlob(f *testing.F) {
	f.Add("*.example.com", "mx1.example.com")
	f.Add("a*b*c*d", "abbbccccdd")
	f.Add("", "")
	f.Add("**", "")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 100 || len(s) > maxName {
			return
		}
		// Of single octets, as glob works; a regular expression would take octets that aren't UTF-8 for one another.
		for _, b := range []byte(pattern + s) {
			if b >= 0x80 {
				return
			}
		}
		re := regexp.MustCompile(`(?s)\A` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`) + `\z`)
		if got, want := glob(pattern, s), re.MatchString(s); got != want {
			t.Errorf("%q, %q: %v, want %v", pattern, s, got, want)
		}
	})
}

// FuzzJSON holds that what is read makes sense, and is the same when it is written and read again.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"n":100,"per":"1h","burst":10}`))
	f.Add([]byte(`{"connections":5,"lifetime":"5m","message_rate":{"n":1,"per":"1.5s"}}`))
	f.Add([]byte(`{"rule":"google 4.7.28","action":"pause","for":"30m"}`))
	f.Add([]byte(`{"rule":"\u0000\ud800","action":"slow","for":"1ns","rate":{"n":1,"per":"1us"},"connections":3,"messages":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		roundTrip[Rate](t, data)
		roundTrip[Limits](t, data)
		roundTrip[Order](t, data)
	})
}

func roundTrip[T interface {
	comparable
	check() error
}](t *testing.T, data []byte) {
	var v, again T
	if json.Unmarshal(data, &v) != nil {
		if v != again {
			t.Errorf("%q set %+v in spite of an error", data, v)
		}
		return
	}
	if err := v.check(); err != nil {
		t.Errorf("%q: %v", data, err)
	}
	written, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%+v can't be written: %v", v, err)
	}
	if err := json.Unmarshal(written, &again); err != nil || again != v {
		t.Errorf("%+v comes back from %s as %+v, %v", v, written, again, err)
	}
}
