package delivery_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// story tells the events about mail to a.example in their order, such as "bounced no@a.example".
func (w *world) story() (story []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tell := func(what string, list []queue.Recipient) {
		for _, r := range list {
			what += " " + r.Address
		}
		if strings.Contains(what, "a.example") {
			story = append(story, what)
		}
	}
	for _, e := range w.events {
		switch e := e.(type) {
		case delivery.Queued:
			story = append(story, "queued "+strings.Join(e.To, " "))
		case delivery.Attempted:
			tell(string(e.Outcome), []queue.Recipient{{Address: e.Recipient}})
		case delivery.Delivered:
			tell("Delivered", e.Recipients)
		case delivery.Uncertain:
			tell("Uncertain"+fmt.Sprintf(" (again: %v)", !e.Due.IsZero()), e.Recipients)
		case delivery.Expired:
			tell("Expired", e.Recipients)
		case delivery.Bounced:
			tell("Bounced", e.Recipients)
		case delivery.Delayed:
			tell("Delayed", e.Recipients)
		case delivery.Held:
			story = append(story, "Held")
		}
	}
	return story
}

func (w *world) wantStory(want ...string) {
	w.t.Helper()
	if got := w.story(); !slices.Equal(got, want) {
		w.t.Errorf("the events are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Each attempt tells of each recipient, and each commit of what it has decided about several.
func TestEventsOfACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", byName(), "a.example")
		w.start()
		w.enqueue("ann@a.example", "no@a.example", "late@a.example", "ben@a.example")
		w.settle(time.Second)
		w.wantStory("queued ann@a.example no@a.example late@a.example ben@a.example",
			"delivered ann@a.example", "failed no@a.example", "deferred late@a.example", "delivered ben@a.example",
			"Delivered ann@a.example ben@a.example", "Bounced no@a.example")
		if d := observed[delivery.Delivered](w)[0]; d.Recipients[0].State != queue.Delivered || d.Recipients[0].Reply.Host != "mx.a.example" || d.Time.IsZero() {
			t.Errorf("%+v", d)
		}
	})
}

// What is uncertain is said to be, whether it is tried again or held.
func TestEventsOfAnUncertainOutcome(t *testing.T) {
	for action, want := range map[delivery.UncertainAction][]string{
		delivery.RetryUncertain: {"uncertain ann@a.example", "Uncertain (again: true) ann@a.example", "delivered ann@a.example", "Delivered ann@a.example"},
		delivery.HoldUncertain:  {"uncertain ann@a.example", "Uncertain (again: false) ann@a.example", "Held"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, _ := uncertainWorld(t, nil)
			w.config.Uncertain = action
			w.start()
			w.enqueue("ann@a.example")
			w.settle(time.Hour)
			w.wantStory(append([]string{"queued ann@a.example"}, want...)...)
		})
	}
}

// Time that runs out is told of as that, before the bounce; a policy that gives up is not.
func TestEventsOfGivingUp(t *testing.T) {
	for name, c := range map[string]struct {
		policy retry.Policy
		want   []string
	}{
		"the message expires": {retry.Schedule{3 * time.Hour}, []string{
			"deferred ann@a.example", "deferred ann@a.example", "deferred ann@a.example", "Delayed ann@a.example",
			"Expired ann@a.example", "Bounced ann@a.example"}},
		"the policy gives up": {retry.PolicyFunc(func(retry.Attempt) (time.Duration, bool) { return 0, false }), []string{
			"failed ann@a.example", "Bounced ann@a.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.host("mx.a.example", func(c smtptest.Command) string {
					if c.Verb == "RCPT" {
						return "452 4.2.2 mailbox full"
					}
					return ""
				}, "a.example")
				w.config.Retry = c.policy
				w.start()
				w.send(delivery.Message{From: "", To: delivery.To("ann@a.example"), Expires: time.Now().Add(8 * time.Hour), Body: strings.NewReader("\n")})
				w.settle(9 * time.Hour)
				w.wantStory(append([]string{"queued ann@a.example"}, c.want...)...)
			})
		})
	}
}

// What is counted doesn't depend on whether anybody observes.
func TestStatsWithoutObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", byName(), "a.example")
		w.config.Observer = nil
		w.start()
		w.enqueue("ann@a.example", "no@a.example", "late@a.example")
		w.settle(time.Second)
		st := w.stats()
		if st.Delivered.Total != 1 || st.Failed.Total != 1 || st.Deferred.Total < 1 || st.Bounced.Total != 1 || st.Replies[550] != 1 || st.Tries.Total() != 1 {
			t.Errorf("%+v", st)
		}
	})
}
