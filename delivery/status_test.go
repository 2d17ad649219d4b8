package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

func (w *world) status(id queue.ID) *delivery.Status {
	w.t.Helper()
	st, err := w.sender.Status(context.Background(), id)
	if err != nil {
		w.t.Fatalf("Status: %v", err)
	}
	return st
}

// What has failed has a report, whose own status says what became of it.
func TestStatusOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", byName(), "a.example")
		w.start()
		at := time.Now().Local().Format("15:04")
		id := w.enqueue("nobody@a.example", "ann@a.example")
		w.settle(time.Second)
		st := w.status(id)
		failed, taken := st.Jobs[0].Recipients[0], st.Jobs[0].Recipients[1]
		if failed.State != "bounced" || failed.Summary != "refused "+at+" by mx.a.example: 550 5.1.1 no such user; reported in "+string(failed.Report) {
			t.Errorf("%+v", failed)
		}
		if taken.State != "delivered" || taken.Report != "" {
			t.Errorf("%+v", taken)
		}
		report := w.status(failed.Report)
		if r := report.Jobs[0].Recipients[0]; report.From != "" || !strings.HasPrefix(r.Summary, "no answer of: route: ") && !strings.HasPrefix(r.Summary, "deferred: 550 5.1.2") {
			t.Errorf("%+v", r)
		}
		if got := strings.Split(st.String(), "\n"); len(got) != 3 || !strings.HasPrefix(got[0], string(id)+" from sender@home.example, enqueued ") ||
			got[2] != "\tann@a.example: "+taken.Summary {
			t.Errorf("%q", got)
		}
		w.settle(6 * 24 * time.Hour)
		if got := w.status(failed.Report).Jobs[0].Recipients[0].Summary; !strings.HasSuffix(got, "; nobody is told") {
			t.Errorf("%q", got)
		}
	})
}

// A report on a delay is known, too, and a later one takes its place.
func TestStatusOfADelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" {
				return "450 4.2.1 busy"
			}
			return ""
		}, "a.example")
		w.host("mx.home.example", nil, "home.example")
		w.config.DelayWarnings = true
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(24 * time.Hour)
		late := w.status(id).Jobs[0].Recipients[0]
		if late.State != "pending" || late.Report == "" || w.status(late.Report).Jobs[0].Recipients[0].State != "delivered" {
			t.Errorf("%+v", late)
		}
		w.settle(5 * 24 * time.Hour)
		if end := w.status(id).Jobs[0].Recipients[0]; end.State != "bounced" || end.Report == "" || end.Report == late.Report {
			t.Errorf("%+v", end)
		}
	})
}

// Each attempt is kept, with the host whose answer decided and how its connection was protected.
func TestStatusOfAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx1.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" {
				return "450 4.2.0 " + strings.Repeat("busy ", 90)
			}
			return ""
		}, "a.example")
		w.serve(&smtptest.Server{Name: "mx2.a.example", StartTLS: true, Reply: func(c smtptest.Command) string {
			switch c.Verb {
			case "RCPT":
				time.Sleep(3 * time.Second)
			case ".":
				return "250 2.0.0 Ok: queued as 4ZkQ9x1Yz3"
			}
			return ""
		}}, "a.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Minute)
		j := w.status(id).Jobs[0]
		if len(j.Attempts) != 1 || j.Tries != 1 {
			t.Fatalf("%+v", j)
		}
		a := j.Attempts[0]
		if a.Reply.Host != "mx2.a.example" || a.Reply.Addr == "" || a.Reply.Phase != "body" || a.Reply.Code != 250 || a.Reply.Enhanced != "2.0.0" ||
			a.QueueID != "4ZkQ9x1Yz3" || a.TLS != "TLS 1.3" || a.Verified || a.Took < 3*time.Second || a.Uncertain {
			t.Errorf("%+v", a)
		}
	})
}

// The TLS of an attempt is that of the host whose answer decided, though another one was asked later.
func TestTLSOfTheDecidingHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(&smtptest.Server{Name: "mx1.a.example", StartTLS: true, Reply: func(c smtptest.Command) string {
			if c.Address == "ann@a.example" {
				return "450 4.7.1 greylisted"
			}
			return ""
		}}, "a.example")
		w.host("mx2.a.example", func(c smtptest.Command) string {
			if c.Verb == "CONNECT" {
				return "554 5.3.2 go away"
			}
			return ""
		}, "a.example")
		w.start()
		id := w.enqueue("ann@a.example", "ben@a.example")
		w.settle(time.Second)
		if a := w.status(id).Jobs[0].Attempts[0]; a.Reply.Host != "mx1.a.example" || a.Reply.Code != 450 || a.TLS != "TLS 1.3" {
			t.Errorf("%+v", a)
		}
	})
}

// Attempts are bounded in number, and what a server says in size.
func TestStatusIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" {
				return "451-4.2.0 " + strings.Repeat("x", 401) + "\r\n" + strings.Repeat("451-4.2.0 "+strings.Repeat("é", 200)+"\r\n", 20) + "451 4.2.0 z"
			}
			return ""
		}, "a.example")
		w.config.Lifetime = 30 * 24 * time.Hour
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(20 * 24 * time.Hour)
		j := w.status(id).Jobs[0]
		if j.Tries < 40 || len(j.Attempts) != 20 {
			t.Errorf("%d of %d attempts are kept", len(j.Attempts), j.Tries)
		}
		for _, a := range j.Attempts {
			if n := len(a.Reply.Text); n < 1000 || n > 1024 || !utf8.ValidString(a.Reply.Text) {
				t.Errorf("a text of %d octets", n)
			}
		}
		if s := j.Recipients[0].Summary; strings.Contains(s, "\n") {
			t.Errorf("a summary of several lines: %q", s)
		}
	})
}

// A site that is left alone, and a rule by site, are told of while Run knows the site.
func TestStatusOfAPausedSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var down atomic.Bool
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if down.Load() && c.Verb == "CONNECT" {
				return smtptest.Close
			}
			return ""
		}, "a.example")
		w.start()
		w.enqueue("first@a.example")
		w.settle(time.Hour)
		down.Store(true)
		for range 20 {
			w.enqueue("ann@a.example")
		}
		w.settle(30 * time.Second)
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		if j := w.status(id).Jobs[0]; j.Site != h.Host.Name || !j.SitePaused.After(time.Now()) || j.SiteWhy == "" ||
			!strings.Contains(j.Recipients[0].Summary, "mx.a.example is left alone until ") {
			t.Errorf("%+v", j)
		}
		w.pause(delivery.Selector{Site: h.Host.Name}, time.Now().Add(time.Hour))
		if j := w.status(id).Jobs[0]; j.Pause == nil || !strings.Contains(j.Recipients[0].Summary, "kept back by the pause of site=mx.a.example until ") {
			t.Errorf("%+v", j)
		}
		w.reroute("other.example", h)
		if err := w.sender.Reroute(context.Background(), delivery.Selector{Domain: "a.example"}, "smtp://user:secret@relay.example"); err != nil {
			t.Fatal(err)
		}
		if got := w.status(id).Jobs[0].Via; got != "smtp://user:xxxxx@relay.example" {
			t.Errorf("it goes by %q", got)
		}
	})
}

func TestStatusUnknown(t *testing.T) {
	s, err := delivery.New(memqueue.New(), delivery.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []queue.ID{"", "unknown", "no/id"} {
		if st, err := s.Status(context.Background(), id); st != nil || !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Status(%q): %v, %v", id, st, err)
		}
	}
}

// What a queue keeps over a restart has its status, with no Run and from the first moment.
func TestStatusOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue")
	var ids []queue.ID // in their order
	var ben queue.ID
	for life := range 2 {
		q, err := boltqueue.Open(path, boltqueue.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := delivery.New(q, delivery.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		for _, to := range []string{"ann@a.example", "ben@b.example"} {
			if life > 0 {
				break
			}
			receipt, err := s.Enqueue(ctx, delivery.Message{To: delivery.To(to, "cat@c.example"), Body: strings.NewReader("Subject: Hi\n\n")})
			if err != nil {
				t.Fatal(err)
			}
			ids, ben = append(ids, receipt.ID), receipt.ID
		}
		slices.Sort(ids)
		for _, c := range []struct {
			filter queue.Filter
			want   []queue.ID
		}{
			{queue.Filter{}, ids},
			{queue.Filter{Recipient: "cat@C.EXAMPLE"}, ids},
			{queue.Filter{Recipient: "ben@b.example"}, []queue.ID{ben}},
			{queue.Filter{Ended: true, Heads: true, Limit: 2}, ids[:1]},
			{queue.Filter{After: queue.Key{ID: ids[0], N: 1}}, ids[1:]},
		} {
			var found []queue.ID
			for st, err := range s.Find(ctx, c.filter) {
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, st.ID)
			}
			if !slices.Equal(found, c.want) {
				t.Errorf("life %d: found %q with %+v, want %q", life, found, c.filter, c.want)
			}
		}
		if st, err := s.Status(ctx, ids[0]); err != nil || len(st.Jobs) != 2 || st.Jobs[0].Due.IsZero() || st.Jobs[0].InFlight {
			t.Errorf("%+v, %v", st, err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// As JSON there are words, and nothing that doesn't apply.
func TestStatusAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", nil, "a.example")
		w.start()
		at := time.Now().Format("2006-01-02T15:04:05")
		m := letter(sender, delivery.Recipient{
			Address: "ann@a.example", From: "bounces+ann@home.example", Notify: queue.NotifySuccess | queue.NotifyFailure, Original: "rfc822;Ann@a.example",
		})
		m.Return = queue.ReturnHeaders
		id := w.send(m)
		w.settle(time.Second)
		b, err := json.Marshal(w.status(id))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{
			`"id":"` + string(id) + `"`, `"from":"sender@home.example"`, `"state":"delivered"`, `"host":"mx.a.example"`, `"code":250`,
			`"in_flight":false`, `"finished":"` + at, `"from":"bounces+ann@home.example"`, `"notify":"SUCCESS,FAILURE"`,
			`"original":"rfc822;Ann@a.example"`, `"return":"HDRS"`, `"decided":"` + at, `"summary":"delivered `,
		} {
			if !strings.Contains(string(b), part) {
				t.Errorf("no %s in %s", part, b)
			}
		}
		for _, part := range []string{"due", "pause", "held", "report", "Digest"} {
			if strings.Contains(string(b), part) {
				t.Errorf("%s in %s", part, b)
			}
		}
	})
}

// A queue that fails says so, and what it has given of the message comes with it.
func TestStatusOfAFailingQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		w.stop()
		id := w.enqueue("ann@a.example", "ben@b.example")
		for after, jobs := range []int{1: 0, 2: 1} {
			if after == 0 {
				continue
			}
			s, err := delivery.New(&tornQueue{Queue: w.queue, after: after}, w.config)
			if err != nil {
				t.Fatal(err)
			}
			st, err := s.Status(context.Background(), id)
			if !errors.Is(err, errTorn) || (st == nil) != (jobs == 0) || st != nil && len(st.Jobs) != jobs {
				t.Errorf("torn after %d: %+v, %v", after, st, err)
			}
		}
	})
}
