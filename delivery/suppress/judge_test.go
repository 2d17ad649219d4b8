package suppress

import (
	"strings"
	"testing"

	"github.com/postroad/postroad/queue"
)

func TestJudge(t *testing.T) {
	var (
		nothing  = Finding{}
		user     = Finding{Reason: NoSuchUser, Sure: true}
		lateUser = Finding{Reason: NoSuchUser}
		domain   = Finding{Reason: NoSuchDomain, Domain: true, Sure: true}
		full     = Finding{Reason: MailboxFull}
		inactive = Finding{Reason: Inactive}
	)
	for _, c := range []struct {
		phase    string
		code     int
		enhanced string
		text     string
		want     Finding
	}{
		// No such user: at once.
		{"rcpt", 550, "5.1.1", "user unknown", user},
		{"rcpt", 550, "5.1.2", "bad destination system", user},
		{"rcpt", 553, "5.1.3", "bad syntax", user},
		{"rcpt", 551, "5.1.6", "moved", user},
		{"rcpt", 550, "5.1.10", "RESOLVER.ADR.RecipientNotFound", user},
		{"rcpt", 521, "5.3.2", "host does not accept mail", user},
		{"rcpt", 556, "5.1.10", "null MX", user},
		{"rcpt", 521, "", "no mail here", user},
		{"rcpt", 556, "", "no mail here", user},
		{"rcpt", 550, "", "No such user here", user},
		{"rcpt", 551, "", "User not local", user},
		{"rcpt", 553, "", "Requested action not taken: mailbox name not allowed", user},
		{"rcpt", 553, "", "no mailbox by that name", user},
		{"rcpt", 550, "", "sorry, no mailbox here by that name. (#5.1.1)", user},

		// The domain: if DNS says so.
		{"route", 550, "5.1.2", "domain does not exist", domain},
		{"route", 556, "5.1.10", "domain takes no mail", domain},
		{"route", 550, "5.4.6", "mail loop", nothing},
		{"route", 451, "4.4.3", "no answer", nothing},
		{"route", 0, "", "no answer", nothing},

		// Full and inactive: not sure.
		{"rcpt", 552, "5.2.2", "mailbox full", full},
		{"rcpt", 452, "4.2.2", "mailbox full", full},
		{"body", 552, "5.2.2", "mailbox full", full},
		{"rcpt", 552, "", "mailbox full", full},
		{"body", 552, "", "too large", nothing},
		{"rcpt", 452, "", "too many recipients", nothing},
		{"rcpt", 550, "5.2.1", "mailbox disabled", inactive},
		{"rcpt", 450, "4.2.1", "receiving mail at a rate that prevents", nothing},

		// After DATA it may be about somebody else.
		{"body", 550, "5.1.1", "user unknown", lateUser},
		{"data", 550, "5.1.1", "user unknown", lateUser},
		{"body", 550, "", "user unknown", nothing},
		{"body", 521, "", "", nothing},

		// About us.
		{"rcpt", 550, "5.7.1", "Service unavailable, client host [192.0.2.1] blocked using Spamhaus", nothing},
		{"rcpt", 554, "5.7.1", "Access denied", nothing},
		{"rcpt", 550, "5.7.511", "Access denied, banned sender", nothing},
		{"rcpt", 550, "5.7.606", "Access denied, banned sending IP", nothing},
		{"rcpt", 550, "5.7.649", "Access denied", nothing},
		{"rcpt", 550, "5.7.25", "no PTR record", nothing},
		{"body", 550, "5.7.26", "unauthenticated", nothing},
		{"body", 550, "5.7.27", "SPF", nothing},
		{"body", 550, "5.7.30", "DKIM", nothing},
		{"rcpt", 553, "5.7.1", "[BL21] Connections will not be accepted", nothing},
		{"rcpt", 553, "5.7.2", "[TSS09] All messages will be permanently deferred", nothing},
		{"rcpt", 521, "5.7.1", "go away", nothing},
		{"rcpt", 550, "", "Your IP is listed at zen.spamhaus.org", nothing},
		{"rcpt", 550, "", "relay not permitted", nothing},
		{"rcpt", 550, "", "Sender verify failed", nothing},
		{"rcpt", 550, "", "Administrative prohibition", nothing},
		{"rcpt", 553, "", "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", nothing},
		{"rcpt", 550, "", "see https://postmaster.example.com", nothing},
		{"rcpt", 554, "", "Transaction failed", nothing},

		// Neither class nor phase may be another.
		{"rcpt", 550, "4.1.1", "user unknown", nothing},
		{"rcpt", 450, "5.1.1", "user unknown", nothing},
		{"rcpt", 450, "4.1.1", "unverified address", nothing},
		{"rcpt", 450, "", "greylisted", nothing},
		{"rcpt", 550, "5.1", "user unknown", nothing},
		{"mail", 550, "5.1.8", "bad sender", nothing},
		{"mail", 550, "5.1.1", "bad sender", nothing},
		{"mail", 550, "", "", nothing},
		{"greeting", 521, "", "", nothing},
		{"connect", 0, "", "timeout", nothing},
		{"rcpt", 0, "", "timeout", nothing},
		{"rcpt", 250, "2.1.5", "", nothing},
		{"suppressed", 550, "5.7.1", "suppressed: no such user", nothing},
		{"suppressed", 550, "", "no such user", nothing},
	} {
		r := queue.Reply{Phase: c.phase, Code: c.code, Enhanced: c.enhanced, Text: c.text}
		if c.phase != "route" {
			r.Host = "mx.example.org"
		}
		if got := Judge(r); got != c.want {
			t.Errorf("%s %d %s %s is %+v, want %+v", c.phase, c.code, c.enhanced, c.text, got, c.want)
		}
	}
}

// Whatever a server says, nobody is on the list at once but for a 5xx about the recipient, and nobody at all for security or policy.
func FuzzJudge(f *testing.F) {
	f.Add("rcpt", 550, "5.1.1", "no such user")
	f.Fuzz(func(t *testing.T, phase string, code int, enhanced, text string) {
		got := Judge(queue.Reply{Host: "mx.a.example", Phase: phase, Code: code, Enhanced: enhanced, Text: text})
		switch {
		case got == Finding{}:
		case got.Domain, got.Sure && (code/100 != 5 || phase != "rcpt"), code/100 != 4 && code/100 != 5, strings.HasPrefix(enhanced, "5.7"):
			t.Errorf("%q %d %q %q is %+v", phase, code, enhanced, text, got)
		}
	})
}
