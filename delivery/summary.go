package delivery

import (
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
)

// summary says in one line how it is with a recipient of a job.
func summary(j *queue.Job, r *queue.Recipient, st *JobStatus, now time.Time) string {
	at := ""
	if !r.Decided.IsZero() {
		at = " " + timeOfDay(r.Decided, now)
	}
	switch r.State {
	case queue.Pending:
		return lastHeard(j, r) + "; " + waitsFor(st, now) + ", gives up " + timeOfDay(j.Message.Expires, now)
	case queue.Failed:
		return ended(r, at) + "; the report is still to be made"
	case queue.Bounced:
		if r.Report != "" {
			return ended(r, at) + "; reported in " + string(r.Report)
		}
		return ended(r, at) + "; nobody is told"
	}
	return ended(r, at)
}

// ended says what was decided about a recipient, why, and by whom. What at is, if not "", begins with a space.
func ended(r *queue.Recipient, at string) string {
	switch {
	case r.State == queue.Withdrawn:
		return "withdrawn" + at
	case r.State == queue.Delivered:
		return about("delivered"+at+" to", r.Reply)
	case r.Reason == "":
		return about("refused"+at+" by", r.Reply)
	case r.Reply == (queue.Reply{}):
		return "given up" + at + ": " + r.Reason
	}
	return "given up" + at + ": " + r.Reason + " Last heard " + about("of", r.Reply)
}

// lastHeard says what came of the attempts at a pending recipient.
func lastHeard(j *queue.Job, r *queue.Recipient) string {
	switch {
	case r.Reply == (queue.Reply{}):
		return "not tried yet"
	case r.Uncertain:
		return about("may have been taken by", r.Reply)
	case r.Reply.Code == 0:
		return about("no answer of", r.Reply)
	}
	return about("deferred by", r.Reply)
}

// about writes words, the host of a reply, and what it said. If there was no host, the words go without their last one, which
// leads to it.
func about(words string, r queue.Reply) string {
	if r.Host != "" {
		words += " " + r.Host
	} else if i := strings.LastIndexByte(words, ' '); i >= 0 {
		words = words[:i]
	}
	return words + ": " + replyLine(r)
}

// waitsFor says what a pending recipient waits for.
func waitsFor(st *JobStatus, now time.Time) string {
	switch p := st.Pause; {
	case st.InFlight:
		return "is being sent now"
	case st.Held:
		return "held"
	case p != nil:
		return "kept back by the pause of " + p.Selector.String() + until(p.Until, now) + because(p.Why)
	case st.SitePaused.After(now):
		return st.Site + " is left alone" + until(st.SitePaused, now) + because(st.SiteWhy)
	case st.Due.After(now):
		return "next try " + timeOfDay(st.Due, now)
	}
	return "due now"
}

func until(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " until " + timeOfDay(t, now)
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return " (" + strings.ReplaceAll(why, "\n", " ") + ")"
}

// timeOfDay is a time as somebody reads it at now: with its day if that is another one, and its date if that isn't near.
func timeOfDay(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	switch days := t.Sub(now).Abs() / (24 * time.Hour); {
	case days < 1 && t.Day() == now.Day():
		return t.Format("15:04")
	case days < 6:
		return t.Format("Mon 15:04")
	}
	return t.Format("2006-01-02 15:04")
}
