package delivery_test

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// find asks for the mail to somebody, and returns one line for each message.
func (w *world) find(to string) (lines []string) {
	w.t.Helper()
	for st, err := range w.sender.Find(context.Background(), queue.Filter{Recipient: to}) {
		if err != nil {
			w.t.Fatalf("Find: %v", err)
		}
		for _, j := range st.Jobs {
			for _, r := range j.Recipients {
				if strings.EqualFold(r.Address, to) {
					lines = append(lines, r.Summary)
				}
			}
		}
	}
	return lines
}

// Where is the mail to Ann? At any time there is an answer, whether the Sender runs or not: here on the way of a message that is
// kept back, put off, held and delivered in the end.
func TestWhereIsTheMailToAnn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var greylists atomic.Bool
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb != "." {
				return ""
			}
			time.Sleep(time.Second)
			if greylists.Load() {
				return "451 4.7.1 greylisted"
			}
			return ""
		}, "a.example")
		w.config.Retry = retry.Schedule{time.Minute}
		w.start()
		ctx, all := context.Background(), delivery.Selector{}
		start := time.Now()
		clock := func(d time.Duration, layout string) string { return start.Add(d).Local().Format(layout) }
		expiry := ", gives up " + clock(5*24*time.Hour, "Mon 15:04")
		where := func(moment, want string) {
			t.Helper()
			if got := w.find("ann@A.example"); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %q, want %q", moment, got, want)
			}
		}

		w.pause(all, time.Time{})
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		where("while all is paused", "not tried yet; kept back by the pause of all mail (a test)"+expiry)
		w.resume(all)
		w.settle(500 * time.Millisecond)
		where("during the transfer", "not tried yet; is being sent now"+expiry)
		greylists.Store(true)
		w.settle(time.Second)
		where("after an attempt", "deferred by mx.a.example: 451 4.7.1 greylisted; next try "+clock(62*time.Second, "15:04")+expiry)
		w.want(1)(w.sender.Hold(ctx, delivery.Selector{ID: id}))
		where("held", "deferred by mx.a.example: 451 4.7.1 greylisted; held"+expiry)
		w.want(1)(w.sender.Release(ctx, delivery.Selector{ID: id}))
		greylists.Store(false)
		w.settle(2 * time.Second)
		end := "delivered " + clock(4*time.Second, "15:04") + " to mx.a.example: 250 2.0.0 taken, 216 octets"
		where("afterwards", end)
		w.stop()
		time.Sleep(7 * 24 * time.Hour)
		where("a week later", strings.Replace(end, clock(0, "15:04"), clock(0, "2006-01-02 15:04"), 1))
		if st := w.status(id); st.Finished().IsZero() || st.Finished().After(start.Add(5*time.Second)) {
			t.Errorf("it was finished %v", st.Finished())
		}
		if got := w.find("ann@b.example"); len(got) != 0 {
			t.Errorf("mail to somebody else: %q", got)
		}
	})
}

// Wherever else the mail may be, the one question has the answer, and for what has ended a week later still.
func TestWhereElseIsTheMailToAnn(t *testing.T) {
	refuse := func(c smtptest.Command) string {
		if c.Verb == "RCPT" {
			return "550 5.1.1 no such user"
		}
		return ""
	}
	full := func(c smtptest.Command) string {
		if c.Verb == "RCPT" {
			return "452 4.2.2 mailbox full"
		}
		return ""
	}
	lose := func(c smtptest.Command) string {
		if c.Verb == "." {
			return smtptest.Close
		}
		return ""
	}
	for name, c := range map[string]struct {
		reply   func(smtptest.Command) string // of the host
		config  func(w *world)
		stopped bool // Run has ended
		send    delivery.Message
		then    func(w *world, id queue.ID)
		after   time.Duration
		want    string // CLOCK is a time, ID the report's name
		ended   bool
	}{
		"scheduled": {
			send: delivery.Message{SendAt: time.Date(2000, 1, 1, 3, 0, 0, 0, time.UTC)}, after: time.Hour,
			want: "not tried yet; next try CLOCK, gives up CLOCK",
		},
		"while nothing runs": {
			stopped: true,
			want:    "not tried yet; due now, gives up CLOCK",
		},
		"held before it was tried": {
			send: delivery.Message{SendAt: time.Date(2000, 1, 1, 3, 0, 0, 0, time.UTC)}, after: 5 * time.Hour,
			then: func(w *world, id queue.ID) { w.want(1)(w.sender.Hold(w.t.Context(), delivery.Selector{ID: id})) },
			want: "not tried yet; held, gives up CLOCK",
		},
		"uncertain": {
			reply: lose, after: time.Second,
			want: "may have been taken by mx.a.example: body: unexpected EOF; next try CLOCK, gives up CLOCK",
		},
		"uncertain and held": {
			reply: lose, config: func(w *world) { w.config.Uncertain = delivery.HoldUncertain }, after: time.Hour,
			want: "may have been taken by mx.a.example: body: unexpected EOF; held, gives up CLOCK",
		},
		"bounced": {
			reply: refuse, send: delivery.Message{From: "sender@home.example"}, after: time.Second, ended: true,
			want: "refused CLOCK by mx.a.example: 550 5.1.1 no such user; reported in ID",
		},
		"bounced without a report": {
			reply: refuse, after: time.Second, ended: true,
			want: "refused CLOCK by mx.a.example: 550 5.1.1 no such user; nobody is told",
		},
		"suppressed": {
			config: func(w *world) { w.suppress("ann@a.example") },
			send:   delivery.Message{From: "sender@home.example"}, after: time.Second, ended: true,
			want: "refused CLOCK: 550 5.7.1 suppressed: no such user; reported in ID",
		},
		"expired": {
			reply: full, send: delivery.Message{From: "sender@home.example"}, after: 6 * 24 * time.Hour, ended: true,
			want: "given up CLOCK: The message expired before it could be delivered. Last heard of mx.a.example: 452 4.2.2 mailbox full; reported in ID",
		},
		"withdrawn CLOCK": {
			reply: full, after: time.Second, ended: true,
			then: func(w *world, id queue.ID) { w.want(1)(w.sender.Withdraw(w.t.Context(), delivery.Selector{ID: id})) },
			want: "withdrawn CLOCK",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.host("mx.a.example", c.reply, "a.example")
				w.host("mx.home.example", nil, "home.example")
				if c.config != nil {
					c.config(w)
				}
				w.start()
				if c.stopped {
					w.stop()
				}
				c.send.To = delivery.To("ann@a.example")
				id := w.send(c.send)
				if c.then != nil {
					w.settle(time.Second)
					c.then(w, id)
				}
				w.settle(c.after)
				w.wantWhere(c.want)
				if o, _ := w.outcomes(0); c.ended != (len(o) > 0 && strings.HasPrefix(o[0], "ann@a.example ")) {
					t.Errorf("the outcomes are %q", o)
				}
				if at := w.status(id).Jobs[0].Recipients[0].Decided; at.IsZero() == c.ended || at.After(time.Now()) {
					t.Errorf("it was decided %v", at)
				}
				if c.ended {
					w.settle(7 * 24 * time.Hour)
					w.wantWhere(c.want)
				}
			})
		})
	}
}

// wantWhere asks where the mail to Ann is. In the answer CLOCK may be any time, and ID any word.
func (w *world) wantWhere(want string) {
	w.t.Helper()
	got := w.find("ann@a.example")
	form := strings.NewReplacer("CLOCK", `[-0-9A-Za-z: ]+`, "ID", `[0-9a-v]+`).Replace(regexp.QuoteMeta(want))
	if len(got) != 1 || !regexp.MustCompile("^"+form+"$").MatchString(got[0]) {
		w.t.Errorf("it is %q, want %q", got, want)
	}
}

// A queue's file keeps the answer for a week, and the day on which that ends, whatever comes meanwhile; then it isn't known any more.
func TestWhereTheMailToAnnWasAWeekAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, err := boltqueue.Open(filepath.Join(t.TempDir(), "queue"), boltqueue.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		w := newWorld(t)
		w.queue = q
		w.host("mx.a.example", nil, "a.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		end := w.status(id).Finished()
		const want = "delivered CLOCK to mx.a.example: 250 2.0.0 taken, CLOCK octets"
		for time.Since(end) < 7*24*time.Hour {
			w.enqueue("ben@a.example")
			w.settle(12 * time.Hour)
			w.wantWhere(want)
		}
		time.Sleep(8*24*time.Hour - time.Since(end))
		w.enqueue("ben@a.example")
		w.wantWhere(want)
		if a := w.status(id).Jobs[0].Attempts; len(a) != 1 || a[0].Reply.Host != "mx.a.example" {
			t.Errorf("the attempts are %+v", a)
		}
		w.settle(time.Hour)
		w.enqueue("ben@a.example")
		if st, err := w.sender.Status(t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("%v, %v", st, err)
		}
		w.stop()
	})
}
