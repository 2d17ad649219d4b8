package retry

import (
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	// The flags of want: n NextHost, c Close, b Bug.
	tests := []struct {
		name    string
		reply   Reply
		outcome Outcome
		scope   Scope
		flags   string
	}{
		{"delivered", Reply{Phase: PhaseBody, Code: 250}, Delivered, ScopeAccepted, ""},
		{"any 2xx after the dot", Reply{Phase: PhaseBody, Code: 299}, Delivered, ScopeAccepted, ""},
		{"200 after the dot", Reply{Phase: PhaseBody, Code: 200}, Delivered, ScopeAccepted, ""},
		{"354", Reply{Phase: PhaseData, Code: 354}, Proceed, ScopeAccepted, ""},
		{"any 3xx after DATA", Reply{Phase: PhaseData, Code: 300}, Proceed, ScopeAccepted, ""},
		{"334", Reply{Phase: PhaseAuth, Code: 334}, Proceed, ScopeHost, ""},
		{"accepted recipient", Reply{Phase: PhaseRcpt, Code: 250}, Proceed, ScopeRecipient, ""},
		{"will forward", Reply{Phase: PhaseRcpt, Code: 251}, Proceed, ScopeRecipient, ""},

		{"lost after the dot", Reply{Phase: PhaseBody, Uncertain: true}, Uncertain, ScopeAccepted, "c"},
		{"lost in the body", Reply{Phase: PhaseBody}, Temporary, ScopeAccepted, "nc"},
		{"lost at DATA", Reply{Phase: PhaseData}, Temporary, ScopeAccepted, "nc"},
		{"lost at RCPT", Reply{Phase: PhaseRcpt}, Temporary, ScopeTransaction, "nc"},
		{"lost at MAIL", Reply{Phase: PhaseMail}, Temporary, ScopeTransaction, "nc"},
		{"connection refused", Reply{Phase: PhaseConnect}, Temporary, ScopeHost, "nc"},
		{"no name servers", Reply{Phase: PhaseRoute}, Temporary, ScopeTransaction, ""},
		{"no name servers, coded", Reply{Phase: PhaseRoute, Code: 451}, Temporary, ScopeTransaction, ""},
		{"null MX", Reply{Phase: PhaseRoute, Code: 556, Enhanced: "5.1.10"}, Permanent, ScopeTransaction, ""},
		{"no domain", Reply{Phase: PhaseRoute, Code: 550, Enhanced: "5.1.2"}, Permanent, ScopeTransaction, ""},

		{"two digits", Reply{Phase: PhaseMail, Code: 55}, Temporary, ScopeTransaction, "nc"},
		{"four digits", Reply{Phase: PhaseRcpt, Code: 5500}, Temporary, ScopeTransaction, "nc"},
		{"negative", Reply{Phase: PhaseBody, Code: -550}, Temporary, ScopeAccepted, "nc"},
		{"1xx", Reply{Phase: PhaseMail, Code: 150}, Temporary, ScopeTransaction, "nc"},
		{"6xx", Reply{Phase: PhaseBody, Code: 650}, Temporary, ScopeAccepted, "nc"},
		{"3xx to RCPT", Reply{Phase: PhaseRcpt, Code: 354}, Temporary, ScopeTransaction, "nc"},
		{"3xx after the dot", Reply{Phase: PhaseBody, Code: 354}, Temporary, ScopeAccepted, "nc"},
		{"2xx to DATA", Reply{Phase: PhaseData, Code: 250}, Temporary, ScopeAccepted, "nc"},

		{"greeting 554", Reply{Phase: PhaseGreeting, Code: 554}, Temporary, ScopeHost, "nc"},
		{"greeting 521", Reply{Phase: PhaseGreeting, Code: 521}, Temporary, ScopeHost, "nc"},
		{"greeting 421", Reply{Phase: PhaseGreeting, Code: 421}, Temporary, ScopeHost, "nc"},
		{"EHLO 550", Reply{Phase: PhaseEHLO, Code: 550}, Temporary, ScopeHost, "nc"},
		{"EHLO 500", Reply{Phase: PhaseEHLO, Code: 500}, Temporary, ScopeHost, "ncb"},
		{"STARTTLS 454", Reply{Phase: PhaseSTARTTLS, Code: 454}, Temporary, ScopeHost, "nc"},
		{"AUTH 535", Reply{Phase: PhaseAuth, Code: 535, Relay: true}, Temporary, ScopeHost, "nc"},
		{"RSET 502", Reply{Phase: PhaseReset, Code: 502}, Temporary, ScopeHost, "ncb"},
		{"QUIT lost", Reply{Phase: PhaseQuit}, Temporary, ScopeHost, "nc"},
		{"unknown phase", Reply{Phase: "?", Code: 550}, Temporary, ScopeHost, "nc"},

		{"MAIL 550", Reply{Phase: PhaseMail, Code: 550}, Permanent, ScopeTransaction, ""},
		{"MAIL 451", Reply{Phase: PhaseMail, Code: 451}, Temporary, ScopeTransaction, "n"},
		{"MAIL 421", Reply{Phase: PhaseMail, Code: 421}, Temporary, ScopeTransaction, "nc"},
		{"MAIL 555", Reply{Phase: PhaseMail, Code: 555}, Permanent, ScopeTransaction, "cb"},
		{"MAIL 503", Reply{Phase: PhaseMail, Code: 503}, Temporary, ScopeTransaction, "ncb"},
		{"MAIL 552", Reply{Phase: PhaseMail, Code: 552}, Permanent, ScopeTransaction, ""},
		{"RCPT 550", Reply{Phase: PhaseRcpt, Code: 550}, Permanent, ScopeRecipient, ""},
		{"RCPT 599", Reply{Phase: PhaseRcpt, Code: 599}, Permanent, ScopeRecipient, ""},
		{"RCPT 501", Reply{Phase: PhaseRcpt, Code: 501}, Permanent, ScopeRecipient, "cb"},
		{"RCPT 503", Reply{Phase: PhaseRcpt, Code: 503}, Temporary, ScopeRecipient, "ncb"},
		{"RCPT 450", Reply{Phase: PhaseRcpt, Code: 450}, Temporary, ScopeRecipient, "n"},
		{"RCPT 421", Reply{Phase: PhaseRcpt, Code: 421, Accepted: 3}, Temporary, ScopeTransaction, "nc"},
		{"DATA 554", Reply{Phase: PhaseData, Code: 554, Accepted: 2}, Permanent, ScopeAccepted, ""},
		{"DATA 451", Reply{Phase: PhaseData, Code: 451, Accepted: 2}, Temporary, ScopeAccepted, "n"},
		{"DATA 421", Reply{Phase: PhaseData, Code: 421}, Temporary, ScopeTransaction, "nc"},
		{"dot 554", Reply{Phase: PhaseBody, Code: 554}, Permanent, ScopeAccepted, ""},
		{"dot 509", Reply{Phase: PhaseBody, Code: 509}, Permanent, ScopeAccepted, "cb"},
		{"dot 510", Reply{Phase: PhaseBody, Code: 510}, Permanent, ScopeAccepted, ""},
		{"dot 452", Reply{Phase: PhaseBody, Code: 452, Accepted: 1}, Temporary, ScopeAccepted, "n"},
		{"dot 421", Reply{Phase: PhaseBody, Code: 421}, Temporary, ScopeTransaction, "nc"},

		{"class of the code wins over 4.x", Reply{Phase: PhaseRcpt, Code: 550, Enhanced: "4.2.1"}, Permanent, ScopeRecipient, ""},
		{"class of the code wins over 5.x", Reply{Phase: PhaseRcpt, Code: 450, Enhanced: "5.1.1"}, Temporary, ScopeRecipient, "n"},

		{"452 after an acceptance", Reply{Phase: PhaseRcpt, Code: 452, Accepted: 1}, Later, ScopeRecipient, ""},
		{"452 4.5.3 after an acceptance", Reply{Phase: PhaseRcpt, Code: 452, Enhanced: "4.5.3", Accepted: 99}, Later, ScopeRecipient, ""},
		{"452 4.3.1 after an acceptance", Reply{Phase: PhaseRcpt, Code: 452, Enhanced: "4.3.1", Accepted: 1}, Later, ScopeRecipient, ""},
		{"452 first", Reply{Phase: PhaseRcpt, Code: 452}, Temporary, ScopeRecipient, "n"},
		{"452 4.2.2 after an acceptance", Reply{Phase: PhaseRcpt, Code: 452, Enhanced: "4.2.2", Accepted: 1}, Temporary, ScopeRecipient, "n"},
		{"552 after an acceptance", Reply{Phase: PhaseRcpt, Code: 552, Accepted: 1}, Later, ScopeRecipient, ""},
		{"552 5.5.3 after an acceptance", Reply{Phase: PhaseRcpt, Code: 552, Enhanced: "5.5.3", Accepted: 1}, Later, ScopeRecipient, ""},
		{"552 5.5.3 first", Reply{Phase: PhaseRcpt, Code: 552, Enhanced: "5.5.3"}, Temporary, ScopeRecipient, "n"},
		{"552 4.5.3 first", Reply{Phase: PhaseRcpt, Code: 552, Enhanced: "4.5.3"}, Permanent, ScopeRecipient, ""},
		{"552 first", Reply{Phase: PhaseRcpt, Code: 552}, Permanent, ScopeRecipient, ""},
		{"552 5.2.2 after an acceptance", Reply{Phase: PhaseRcpt, Code: 552, Enhanced: "5.2.2", Accepted: 1}, Permanent, ScopeRecipient, ""},
		{"552 after the dot", Reply{Phase: PhaseBody, Code: 552, Accepted: 2}, Permanent, ScopeAccepted, ""},
		{"552 with a relay", Reply{Phase: PhaseRcpt, Code: 552, Accepted: 1, Relay: true}, Later, ScopeRecipient, ""},

		{"relay wants a login", Reply{Phase: PhaseMail, Code: 530, Enhanced: "5.7.0", Relay: true}, Temporary, ScopeTransaction, "nb"},
		{"relay wants a login, bare", Reply{Phase: PhaseMail, Code: 530, Relay: true}, Temporary, ScopeTransaction, "nb"},
		{"relay denies access", Reply{Phase: PhaseRcpt, Code: 554, Enhanced: "5.7.1", Relay: true}, Temporary, ScopeRecipient, "nb"},
		{"relay forbids the sender", Reply{Phase: PhaseMail, Code: 553, Enhanced: "5.7.1", Relay: true}, Temporary, ScopeTransaction, "nb"},
		{"relay dislikes the content", Reply{Phase: PhaseBody, Code: 554, Enhanced: "5.7.1", Relay: true}, Permanent, ScopeAccepted, ""},
		{"relay knows no such user", Reply{Phase: PhaseRcpt, Code: 550, Enhanced: "5.1.1", Relay: true}, Permanent, ScopeRecipient, ""},
		{"a host that isn't a relay", Reply{Phase: PhaseRcpt, Code: 554, Enhanced: "5.7.1"}, Permanent, ScopeRecipient, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := Classify(tt.reply)
			var flags strings.Builder
			for _, f := range []struct {
				set  bool
				name string
			}{{v.NextHost, "n"}, {v.Close, "c"}, {v.Bug, "b"}} {
				if f.set {
					flags.WriteString(f.name)
				}
			}
			if v.Outcome != tt.outcome || v.Scope != tt.scope || flags.String() != tt.flags {
				t.Errorf("%+v:\n got %s %s %q\nwant %s %s %q", tt.reply, v.Outcome, v.Scope, flags.String(), tt.outcome, tt.scope, tt.flags)
			}
		})
	}
}

func TestEnhancedCode(t *testing.T) {
	tests := []struct {
		code     int
		in, want string
	}{
		{550, "5.1.1", "5.1.1"},
		{550, "#5.1.1", "5.1.1"},
		{550, "5.7.606", "5.7.606"},
		{550, "4.1.1", ""},
		{450, "4.2.1", "4.2.1"},
		{550, "", ""},
		{550, "5.1", ""},
		{550, "5.1.1.1", ""},
		{550, "5.1.1000", ""},
		{550, "5..1", ""},
		{550, "5.+1.1", ""},
		{550, "5.001.01", "5.1.1"},
		{550, "192.0.2.1", ""},
		{350, "3.1.1", ""},
		{0, "0.0.0", ""},
	}
	for _, tt := range tests {
		if got := Classify(Reply{Phase: PhaseRcpt, Code: tt.code, Enhanced: tt.in}).Enhanced; got != tt.want {
			t.Errorf("%d %q: %q, want %q", tt.code, tt.in, got, tt.want)
		}
	}
}

// FuzzClassify holds every verdict to what callers rely on.
func FuzzClassify(f *testing.F) {
	f.Add("rcpt", 550, "5.1.1", false, 0, false)
	f.Add("rcpt", 452, "4.5.3", false, 3, false)
	f.Add("body", 0, "", true, 1, false)
	f.Add("mail", 530, "#5.7.0", false, 0, true)
	f.Add("greeting", 554, "192.0.2.1", false, -1, false)
	f.Fuzz(func(t *testing.T, phase string, code int, enhanced string, uncertain bool, accepted int, relay bool) {
		r := Reply{Phase(phase), code, enhanced, uncertain, accepted, relay}
		v := Classify(r)
		class := code / 100
		switch {
		case v.Outcome == "" || v.Scope == "":
			t.Error("undecided")
		case v.Outcome == Delivered && (class != 2 || r.Phase != PhaseBody || uncertain):
			t.Error("delivered without a 2xx after the data")
		case v.Outcome == Permanent && (class != 5 || v.Scope == ScopeHost || v.NextHost):
			t.Error("permanent without a 5xx about mail")
		case v.Outcome == Later && (accepted < 1 || v.Close || v.NextHost):
			t.Error("later without progress")
		case (v.Outcome == Uncertain) != uncertain:
			t.Error("uncertainty made up or lost")
		case v.Enhanced != "" && int(v.Enhanced[0]-'0') != class:
			t.Error("enhanced code of another class")
		case code == 0 && !uncertain && v.Outcome != Temporary:
			t.Error("no answer must be temporary")
		}
		if t.Failed() {
			t.Logf("%+v: %+v", r, v)
		}
	})
}
