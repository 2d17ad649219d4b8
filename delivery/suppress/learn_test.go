package suppress

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// outcome is what Learn is told, at an hour after the start.
type outcome struct {
	hour   int
	state  queue.State
	code   int
	status string
	phase  string // default: rcpt
	late   bool   // given up for lack of time
	tenant string
}

var (
	unknown   = outcome{state: queue.Bounced, code: 550, status: "5.1.1"}
	full      = outcome{state: queue.Bounced, code: 552, status: "5.2.2"}
	inactive  = outcome{state: queue.Failed, code: 550, status: "5.2.1"}
	delivered = outcome{state: queue.Delivered, code: 250, phase: "body"}
	blocked   = outcome{state: queue.Bounced, code: 550, status: "5.7.1"}
)

func (o outcome) at(hour int) outcome { o.hour = hour; return o }

func TestLearn(t *testing.T) {
	noDomain := outcome{state: queue.Bounced, code: 550, status: "5.1.2", phase: "route"}
	late := full
	late.code, late.status, late.late = 452, "4.2.2", true
	gone := unknown
	gone.late = true
	shop := unknown
	shop.tenant = "shop"
	withdrawn := unknown
	withdrawn.state = queue.Withdrawn
	for name, c := range map[string]struct {
		outcomes []outcome
		byTenant bool
		want     []string
	}{
		"no such user":             {outcomes: []outcome{unknown}, want: []string{"Ann@a.example no such user"}},
		"everyone's":               {outcomes: []outcome{shop}, want: []string{"Ann@a.example no such user"}},
		"the tenant's":             {outcomes: []outcome{shop}, byTenant: true, want: []string{"Ann@a.example no such user shop"}},
		"no such domain":           {outcomes: []outcome{noDomain}, want: []string{"a.example no such domain"}},
		"withdrawn":                {outcomes: []outcome{withdrawn}},
		"about us":                 {outcomes: []outcome{blocked, blocked.at(24), blocked.at(48), blocked.at(72)}},
		"full twice":               {outcomes: []outcome{full, full.at(24)}},
		"full thrice":              {outcomes: []outcome{full, full.at(24), full.at(48)}, want: []string{"Ann@a.example mailbox full"}},
		"full, too soon":           {outcomes: []outcome{full, full.at(23), full.at(46), full.at(47)}},
		"full, told twice":         {outcomes: []outcome{full, full.at(24), full, full.at(24), full}},
		"full for its whole life":  {outcomes: []outcome{late, late.at(120), late.at(240)}, want: []string{"Ann@a.example mailbox full"}},
		"inactive after full":      {outcomes: []outcome{full, inactive.at(30), inactive.at(60)}, want: []string{"Ann@a.example mailbox disabled"}},
		"blocked in between":       {outcomes: []outcome{full, full.at(24), blocked.at(30), full.at(48)}, want: []string{"Ann@a.example mailbox full"}},
		"delivered in between":     {outcomes: []outcome{full, full.at(24), delivered.at(30), full.at(48), full.at(72)}},
		"an old delivery, again":   {outcomes: []outcome{delivered, full.at(1), full.at(25), delivered, full.at(50)}, want: []string{"Ann@a.example mailbox full"}},
		"expired, last refused":    {outcomes: []outcome{gone}},
		"expired thrice, refused":  {outcomes: []outcome{gone, gone.at(120), gone.at(240)}, want: []string{"Ann@a.example no such user"}},
		"unknown while being full": {outcomes: []outcome{full, unknown.at(1)}, want: []string{"Ann@a.example no such user"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &List{Notes: memqueue.New(), ByTenant: c.byTenant}
				learn(t, l, c.outcomes...)
				wantListed(t, l, c.want...)
			})
		})
	}
}

// learn tells of outcomes for Ann.
func learn(t *testing.T, l *List, outcomes ...outcome) {
	t.Helper()
	start := time.Now()
	for _, o := range outcomes {
		r := queue.Recipient{Address: "Ann@a.example", State: o.state}
		r.Reply = queue.Reply{Host: "mx.a.example", Phase: "rcpt", Code: o.code, Enhanced: o.status, Text: "it said"}
		if o.phase != "" {
			r.Reply.Phase = o.phase
		}
		if o.phase == "route" {
			r.Reply.Host = ""
		}
		if o.late {
			r.Reason = "The message expired before it could be delivered."
		}
		if err := l.Learn(t.Context(), o.tenant, start.Add(time.Duration(o.hour)*time.Hour), &r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLearnedEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := &List{Notes: memqueue.New()}
		learn(t, l, unknown)
		e, _, err := l.Get(t.Context(), "", "ann@a.example")
		if err != nil || e.Text != "550 5.1.1 it said" || !e.Added.Equal(start) || !e.Expires.Equal(start.Add(365*24*time.Hour)) {
			t.Errorf("learned %+v, %v", e, err)
		}
		l = &List{Notes: memqueue.New(), Lasts: func(Reason) time.Duration { return 0 }}
		learn(t, l, full, full.at(24), full.at(48))
		if e, _, err := l.Get(t.Context(), "", "ann@a.example"); err != nil || !e.Expires.IsZero() {
			t.Errorf("learned %+v, %v", e, err)
		}
		l.Lasts = nil
		if err := l.Remove(t.Context(), "", "ann@a.example"); err != nil {
			t.Fatal(err)
		}
		learn(t, l, full.at(72), full.at(96)) // it has begun anew
		wantListed(t, l)
		learn(t, l, full.at(120))
		if e, _, err := l.Get(t.Context(), "", "ann@a.example"); err != nil || e.Expires.Sub(e.Added) != 30*24*time.Hour {
			t.Errorf("learned %+v, %v", e, err)
		}
	})
}

// What the host program has said isn't replaced, unless it has expired.
func TestLearnKeepsWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &List{Notes: memqueue.New()}
		add(t, l, Entry{Address: "ann@a.example", Reason: Complaint, Expires: time.Now().Add(time.Hour)})
		learn(t, l, unknown)
		wantListed(t, l, "ann@a.example complaint")
		learn(t, l, unknown.at(1))
		time.Sleep(time.Hour)
		wantListed(t, l, "Ann@a.example no such user")
	})
}

func TestFailuresAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		l := &List{Notes: q}
		learn(t, l, full)
		for _, want := range []int{0, 1} {
			if n, err := l.Purge(t.Context()); n != want || err != nil {
				t.Errorf("Purge removed %d, %v", n, err)
			}
			time.Sleep(forgotten + time.Second)
		}
		for key := range q.Keys(t.Context(), "suppress/") {
			t.Errorf("left is %q", key)
		}
	})
}

// Nonsense in the place of failures is no failure, and an address that isn't one is nobody's.
func TestLearnFromNonsense(t *testing.T) {
	q := memqueue.New()
	l := &List{Notes: q}
	for _, note := range []string{"", "x", `{"count":-5,"last":"2026-11-02T00:00:00Z"}`, `{"count":99,"most":1}`} {
		if err := q.Set(t.Context(), failuresPrefix+"/ann@a.example", []byte(note)); err != nil {
			t.Fatal(err)
		}
		learn(t, l, full, full.at(24))
		wantListed(t, l)
	}
	if err := l.Learn(t.Context(), "", time.Now(), &queue.Recipient{Address: "ann", State: queue.Bounced, Reply: queue.Reply{Phase: "rcpt", Code: 550}}); err != nil {
		t.Error(err)
	}
	wantListed(t, l)
}

// Between looking whether there is an entry and storing one nobody adds another, which would be lost.
func TestLearnKeepsOthersOut(t *testing.T) {
	q := &watchedNotes{Queue: memqueue.New()}
	l := &List{Notes: q}
	looked := 0
	q.get = func(key string) {
		if strings.HasPrefix(key, entryPrefix) {
			looked++
			if l.changing.TryRLock() {
				l.changing.RUnlock()
				t.Error("an entry could be added meanwhile")
			}
		}
	}
	learn(t, l, unknown)
	if looked != 1 {
		t.Errorf("looked %d times", looked)
	}
}

// watchedNotes call a function with each key that is read.
type watchedNotes struct {
	*memqueue.Queue
	get func(key string)
}

func (q *watchedNotes) Get(ctx context.Context, key string) ([]byte, error) {
	q.get(key)
	return q.Queue.Get(ctx, key)
}
