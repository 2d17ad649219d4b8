package suppress

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

var _ delivery.Suppressor = (*List)(nil)

// add puts entries on the list.
func add(t *testing.T, l *List, entries ...Entry) {
	t.Helper()
	for _, e := range entries {
		if err := l.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// listed returns the entries in force, in short.
func listed(t *testing.T, l *List) (list []string) {
	t.Helper()
	for e, err := range l.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Address, e.Reason, e.Tenant)))
	}
	slices.Sort(list)
	return list
}

func wantListed(t *testing.T, l *List, want ...string) {
	t.Helper()
	if got := listed(t, l); !slices.Equal(got, want) {
		t.Errorf("on the list are %q, want %q", got, want)
	}
}

func TestSuppressed(t *testing.T) {
	l := &List{Notes: memqueue.New()}
	day := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	add(t, l,
		Entry{Address: "Ann@A.example", Reason: NoSuchUser, Added: day},
		Entry{Address: "b.example", Reason: NoSuchDomain, Added: day},
		Entry{Address: "@bücher.example", Reason: "closed", Added: day},
		Entry{Address: "ben@a.example", Tenant: "shop", Reason: Unsubscribed, Added: day},
		Entry{Address: "c.example", Tenant: "shop", Reason: Complaint, Added: day},
		Entry{Address: `"#x"@a.example`, Added: day},
		Entry{Address: "ann@[IPv6:2001:db8::1]", Reason: NoSuchUser, Added: day},
		Entry{Address: "JÜRGEN@a.example", Reason: NoSuchUser, Added: day},
	)
	for _, c := range []struct{ tenant, address, why string }{
		{"", "ann@a.example", "no such user (2026-11-02)"},
		{"", "ANN@a.example", "no such user (2026-11-02)"},
		{"shop", "ann@a.example", "no such user (2026-11-02)"},
		{"", "annx@a.example", ""},
		{"", "ann@sub.a.example", ""},
		{"", "anybody@b.example", "no such domain (2026-11-02)"},
		{"", "anybody@sub.b.example", ""},
		{"", "anybody@xn--bcher-kva.example", "closed (2026-11-02)"},
		{"", "ben@a.example", ""},
		{"shop", "ben@a.example", "unsubscribed (2026-11-02)"},
		{"shop2", "ben@a.example", ""},
		{"shop", "cid@c.example", "complaint (2026-11-02)"},
		{"", "cid@c.example", ""},
		{"", "#x@a.example", "on the list (2026-11-02)"},
		{"", "ann@[IPv6:2001:db8::1]", "no such user (2026-11-02)"},
		{"", "jürgen@a.example", "no such user (2026-11-02)"},
	} {
		why, err := l.Suppressed(t.Context(), &queue.Message{Tenant: c.tenant}, []string{"dan@a.example", c.address, "dan@c.example.org"})
		if err != nil || why[c.address] != c.why || len(why) != min(len(c.why), 1) {
			t.Errorf("%q for %q is %q, %v; want %q", c.address, c.tenant, why, err, c.why)
		}
		e, found, err := l.Get(t.Context(), c.tenant, c.address)
		if err != nil || found != (c.why != "") || found && e.why() != c.why {
			t.Errorf("Get(%q, %q) = %+v, %v, %v", c.tenant, c.address, e, found, err)
		}
	}
}

// The address goes before its domain, and the tenant's own before everyone's. What is exempt leaves the next.
func TestOrderAndExempt(t *testing.T) {
	l := &List{Notes: memqueue.New()}
	add(t, l,
		Entry{Address: "a.example", Reason: "4"}, Entry{Address: "a.example", Tenant: "shop", Reason: "3"},
		Entry{Address: "ann@a.example", Reason: "2"}, Entry{Address: "ann@a.example", Tenant: "shop", Reason: "1"},
	)
	m := &queue.Message{Tenant: "shop", Labels: []string{"reset"}}
	for last := range Reason("12345") {
		exempt := Reason("12345")[:last]
		l.Exempt = func(m *queue.Message, e *Entry) bool {
			return slices.Contains(m.Labels, "reset") && strings.Contains(string(exempt), string(e.Reason))
		}
		why, err := l.Suppressed(t.Context(), m, []string{"ann@a.example"})
		want := "12345"[last:][:1]
		if got, _, _ := strings.Cut(why["ann@a.example"], " "); err != nil || last < 4 && got != want || last == 4 && why != nil {
			t.Errorf("with %q exempt, the reason is %q, %v", exempt, why, err)
		}
	}
	if e, found, err := l.Get(t.Context(), "shop", "a.example"); err != nil || !found || e.Reason != "3" {
		t.Errorf("the domain's own is %+v, %v, %v", e, found, err)
	}
}

func TestAddReplacesAndRemoveRemoves(t *testing.T) {
	l := &List{Notes: memqueue.New()}
	add(t, l, Entry{Address: "ann@a.example", Reason: NoSuchUser}, Entry{Address: "ANN@A.example", Reason: Complaint},
		Entry{Address: "ann@a.example", Reason: Unsubscribed, Tenant: "shop"}, Entry{Address: "a.example"})
	wantListed(t, l, "ANN@a.example complaint", "a.example", "ann@a.example unsubscribed shop")
	for _, address := range []string{"ann@A.example", "nobody@a.example", "@a.example"} {
		if err := l.Remove(t.Context(), "", address); err != nil {
			t.Error(err)
		}
	}
	wantListed(t, l, "ann@a.example unsubscribed shop")
	if err := l.Remove(t.Context(), "shop", "Ann@a.example"); err != nil {
		t.Error(err)
	}
	wantListed(t, l)
}

func TestExpiryAndPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		l := &List{Notes: q}
		add(t, l, Entry{Address: "ann@a.example", Expires: time.Now().Add(time.Hour)}, Entry{Address: "ben@a.example"})
		if n, err := l.Purge(t.Context()); n != 0 || err != nil {
			t.Errorf("Purge removed %d, %v", n, err)
		}
		time.Sleep(time.Hour)
		wantListed(t, l, "ben@a.example")
		why, err := l.Suppressed(t.Context(), &queue.Message{}, []string{"ann@a.example"})
		if why != nil || err != nil {
			t.Errorf("still suppressed: %q, %v", why, err)
		}
		if n, err := l.Purge(t.Context()); n != 1 || err != nil {
			t.Errorf("Purge removed %d, %v", n, err)
		}
		for key := range q.Keys(t.Context(), entryPrefix) {
			if key != "suppress/entry//ben@a.example" {
				t.Errorf("still there is %q", key)
			}
		}
	})
}

func TestInvalidEntries(t *testing.T) {
	l := &List{Notes: memqueue.New()}
	for name, e := range map[string]Entry{
		"no address":    {},
		"no domain":     {Address: "ann@"},
		"just an at":    {Address: "@"},
		"brackets":      {Address: "<ann@a.example>"},
		"line end":      {Address: "ann@a.example\n"},
		"tenant":        {Address: "ann@a.example", Tenant: "\x00"},
		"long tenant":   {Address: "ann@a.example", Tenant: strings.Repeat("x", queue.MaxString+1)},
		"reason":        {Address: "ann@a.example", Reason: "a\nb"},
		"long reason":   {Address: "ann@a.example", Reason: Reason(strings.Repeat("x", maxReason+1))},
		"reason, UTF-8": {Address: "ann@a.example", Reason: "\xff"},
		"time":          {Address: "ann@a.example", Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if err := l.Add(t.Context(), e); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.Remove(t.Context(), "", "ann@"); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("Remove: %v", err)
	}
	if _, _, err := l.Get(t.Context(), "", "ann@"); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("Get: %v", err)
	}
	wantListed(t, l)
	add(t, l, Entry{Address: strings.Repeat("ÿ", 32) + "@" + strings.Repeat("a.", 93) + "xy", Tenant: strings.Repeat("x", queue.MaxString),
		Text: "one\r\ntwo\x00" + strings.Repeat("ü", maxText)})
	for e := range l.All(t.Context()) {
		if len(e.Text) > maxText || !strings.HasPrefix(e.Text, "one  two ü") || !strings.HasSuffix(e.Text, "ü") {
			t.Errorf("the text is %q", e.Text)
		}
	}
}

// A note that somebody else has written is told of, not passed over.
func TestForeignNotes(t *testing.T) {
	for _, note := range []string{"", "{", `{"address":"ben@a.example","added":"2026-11-02T00:00:00Z"}`, `{"address":"ann@a.example"} {}`, `{"address":"ann@a.example","more":1}`} {
		q := memqueue.New()
		l := &List{Notes: q}
		if err := q.Set(t.Context(), "suppress/entry//ann@a.example", []byte(note)); err != nil {
			t.Fatal(err)
		}
		if why, err := l.Suppressed(t.Context(), &queue.Message{}, []string{"ann@a.example"}); err == nil || why != nil {
			t.Errorf("%q is read as %q", note, why)
		}
		for e, err := range l.All(t.Context()) {
			if err == nil {
				t.Errorf("%q is listed as %+v", note, e)
			}
		}
		add(t, l, Entry{Address: "ann@a.example"}) // which puts it right
		wantListed(t, l, "ann@a.example")
	}
}
