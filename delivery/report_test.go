package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// plainHost is a server that doesn't know DSN. It refuses recipients named bad, puts off those named grey, and takes the others,
// all of which takes it a moment.
func (w *world) plainHost(name string, domains ...string) *host {
	return w.serve(&smtptest.Server{Name: name, Extensions: []string{"PIPELINING"}, Reply: sortOut}, domains...)
}

func sortOut(c smtptest.Command) string {
	time.Sleep(time.Millisecond)
	switch {
	case c.Verb != "RCPT":
	case strings.HasPrefix(c.Address, "bad"):
		return "550 5.1.1 no such user"
	case strings.HasPrefix(c.Address, "grey"):
		return "450 4.2.1 come back"
	}
	return ""
}

// told returns what the reports say that a host has taken, such as "failed bad@a.example 5.1.1", a line for each.
func (h *host) told(t *testing.T) (list []string) {
	t.Helper()
	for _, m := range h.Messages() {
		r, err := dsn.Parse(bytes.NewReader(m.Data))
		if err != nil {
			t.Fatalf("%v:\n%s", err, m.Data)
		}
		if m.From != "" || len(m.To) != 1 || r.To != m.To[0].Address {
			t.Errorf("a report to %s comes from <%s> for %v", r.To, m.From, m.To)
		}
		var words []string
		for _, p := range r.Recipients {
			words = append(words, fmt.Sprintf("%s %s %s", p.Action, p.Final, p.Status))
		}
		list = append(list, strings.Join(words, ", "))
	}
	slices.Sort(list)
	return list
}

func (h *host) wantTold(t *testing.T, want ...string) {
	t.Helper()
	if got := h.told(t); !slices.Equal(got, want) {
		t.Errorf("the reports are\n%q, want\n%q", got, want)
	}
}

// notified makes recipients of addresses, with the same NOTIFY.
func notified(n queue.Notify, addresses ...string) []delivery.Recipient {
	to := delivery.To(addresses...)
	for i := range to {
		to[i].Notify = n
	}
	return to
}

func letter(from string, to ...delivery.Recipient) delivery.Message {
	return delivery.Message{From: from, To: to, Body: strings.NewReader("Subject: hello\r\nMessage-ID: <hello@home.example>\r\n\r\nHello.\r\n")}
}

const sender = "sender@home.example"

// Who knows DSN is told what to report; for who doesn't, the Sender says that it has passed the message on.
func TestSuccessIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		aware := w.host("mx.a.example", nil, "a.example")
		w.plainHost("mx.b.example", "b.example")
		home := w.host("mx.home.example", nil, "home.example")
		w.start()
		to := notified(queue.NotifySuccess, "ann@a.example", "ben@b.example")
		w.send(letter(sender, append(to, delivery.To("bob@b.example")...)...))
		w.settle(time.Second)
		if m := aware.wantTaken(t, 1)[0]; m.To[0].Params != "NOTIFY=SUCCESS" {
			t.Errorf("a server that knows DSN is told %q", m.To[0].Params)
		}
		home.wantTold(t, "relayed ben@b.example 2.0.0")
	})
}

// What a commit has to tell is one report, and each thing is told once.
func TestOneReportForEachCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.DelayAfter = time.Nanosecond
		var late atomic.Bool
		w.serve(&smtptest.Server{Name: "mx.a.example", Extensions: []string{}, Reply: func(c smtptest.Command) string {
			if late.Load() {
				return ""
			}
			return sortOut(c)
		}}, "a.example")
		home := w.host("mx.home.example", nil, "home.example")
		w.start()
		all := queue.NotifySuccess | queue.NotifyFailure | queue.NotifyDelay
		m := letter(sender, notified(all, "ann@a.example", "grey@a.example", "bad@a.example", "bad2@a.example")...)
		m.To[2].Original, m.EnvelopeID, m.Return = "rfc822;Bad+1@a.example", "QQ=314 159+", queue.ReturnFull
		id := w.send(m)
		w.settle(time.Second)
		const first = "failed bad@a.example 5.1.1, failed bad2@a.example 5.1.1, relayed ann@a.example 2.0.0, delayed grey@a.example 4.2.1"
		home.wantTold(t, first)
		r, _ := dsn.Parse(bytes.NewReader(home.Messages()[0].Data))
		if r.OriginalEnvelopeID != m.EnvelopeID || r.Recipients[0].Original != m.To[2].Original || r.OriginalMessageID != "<hello@home.example>" {
			t.Errorf("the report is %+v", r)
		}
		if until := w.jobs(id)[0].Message.Expires; r.Recipients[3].WillRetryUntil.Unix() != until.Unix() || !r.Recipients[0].WillRetryUntil.IsZero() {
			t.Errorf("it is tried until %v, the report says %+v", until, r.Recipients)
		}
		if text := string(home.Messages()[0].Data); !strings.Contains(text, "\r\nHello.\r\n") {
			t.Errorf("the report hasn't the message:\n%s", text)
		}
		w.settle(2 * time.Minute) // late once more, which is told already
		home.wantTold(t, first)
		late.Store(true)
		w.settle(time.Hour)
		home.wantTold(t, first, "relayed grey@a.example 2.0.0")
		if text := string(home.Messages()[1].Data); strings.Contains(text, "\r\nHello.\r\n") {
			t.Errorf("a report of success has the message:\n%s", text)
		}
	})
}

func TestDelayIsReportedToWhomItMayConcern(t *testing.T) {
	const never, delay, failure = queue.NotifyNever, queue.NotifyDelay, queue.NotifyFailure
	for _, c := range []struct {
		from     string
		notify   queue.Notify
		warnings bool
		want     bool
	}{
		{sender, 0, false, false}, {sender, 0, true, true}, {"", 0, true, false},
		{sender, delay, false, true}, {sender, delay | failure, true, true}, {"", delay, true, false},
		{sender, failure, true, false}, {sender, never, true, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.config.DelayWarnings, w.config.Postmaster = c.warnings, "postmaster@home.example"
			w.plainHost("mx.a.example", "a.example")
			home := w.host("mx.home.example", nil, "home.example")
			w.start()
			w.send(letter(c.from, notified(c.notify, "grey@a.example")...))
			w.settle(4 * time.Hour)
			home.wantTaken(t, 0)
			w.settle(4 * 24 * time.Hour)
			var want []string
			if c.want {
				want = append(want, "delayed grey@a.example 4.2.1")
			}
			home.wantTold(t, want...)
		})
	}
}

func TestNobodyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.DelayAfter = time.Nanosecond
		w.plainHost("mx.a.example", "a.example")
		home := w.host("mx.home.example", nil, "home.example")
		w.start()
		addresses := []string{"ann@a.example", "bad@a.example", "grey@a.example"}
		ids := []queue.ID{
			w.send(letter(sender, notified(queue.NotifyNever, addresses...)...)),
			w.send(letter("", notified(queue.NotifySuccess|queue.NotifyFailure|queue.NotifyDelay, addresses...)...)),
			w.send(letter(sender, notified(queue.NotifyDelay, addresses[:2]...)...)),
			w.send(letter(sender, notified(queue.NotifyFailure, addresses[0], addresses[2])...)),
		}
		w.settle(24 * time.Hour)
		home.wantTaken(t, 0)
		for i, id := range ids {
			states := strings.Join(w.states(id), ", ")
			if !strings.Contains(states, "ann@a.example delivered") || i < 3 && !strings.Contains(states, "bad@a.example bounced") {
				t.Errorf("message %d: %s", i, states)
			}
		}
	})
}

// A report that can't be made whole is made without the message if it has news that can't wait, and none keeps an outcome back.
func TestTroubleWithReportKeepsNothingBack(t *testing.T) {
	for name, c := range map[string]struct {
		trouble func() error
		want    string // what is told at once
		then    string // and with it an hour later
	}{
		"unreadable": {func() error { return errors.New("disk trouble") }, "failed bad@a.example 5.1.1, relayed ann@a.example 2.0.0, delayed grey@a.example 4.2.1", ""},
		"panic":      {func() error { panic("disk trouble") }, "", "failed bad@a.example 5.1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.config.DelayAfter = time.Nanosecond
				opens := 0
				q := w.queue
				w.queue = &hookedQueue{Queue: q, open: func(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
					if opens++; opens == 2 {
						if err := c.trouble(); err != nil {
							return nil, err
						}
					}
					return q.Open(ctx, id)
				}}
				w.plainHost("mx.a.example", "a.example")
				home := w.host("mx.home.example", nil, "home.example")
				w.start()
				all := queue.NotifySuccess | queue.NotifyFailure | queue.NotifyDelay
				id := w.send(letter(sender, notified(all, "ann@a.example", "bad@a.example", "grey@a.example")...))
				w.settle(time.Second)
				if c.want != "" {
					home.wantTold(t, c.want)
					w.wantStates(id, "ann@a.example delivered", "bad@a.example bounced", "grey@a.example pending")
				} else {
					home.wantTaken(t, 0)
					w.wantStates(id, "ann@a.example delivered", "bad@a.example failed", "grey@a.example pending")
				}
				if trouble := observed[delivery.Trouble](w); len(trouble) != 1 || !strings.Contains(trouble[0].Err.Error(), "composing a report") {
					t.Errorf("the trouble is %v", trouble)
				}
				w.settle(time.Hour)
				home.wantTold(t, c.want+c.then)
				w.wantStates(id, "ann@a.example delivered", "bad@a.example bounced", "grey@a.example pending")
			})
		})
	}
}

func TestStatusOfReport(t *testing.T) {
	for name, c := range map[string]struct {
		reply string // of the server, to RCPT; "": there is none
		want  string
	}{
		"server's":            {"550 5.7.1 go away", "failed ann@a.example 5.7.1"},
		"none":                {"550 go away", "failed ann@a.example 5.0.0"},
		"contradiction":       {"550 4.2.1 go away", "failed ann@a.example 5.0.0"},
		"time and its reason": {"452 4.2.2 full", "failed ann@a.example 4.2.2"},
		"time":                {"450 come back", "failed ann@a.example 4.4.7"},
		"silence":             {"", "failed ann@a.example 4.4.1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				h := w.host("mx.a.example", func(command smtptest.Command) string {
					if command.Verb == "RCPT" {
						return c.reply
					}
					return ""
				}, "a.example")
				if c.reply == "" {
					h.Close()
				}
				home := w.host("mx.home.example", nil, "home.example")
				w.start()
				w.enqueue("ann@a.example")
				w.settle(6 * 24 * time.Hour)
				home.wantTold(t, c.want)
			})
		})
	}
}
