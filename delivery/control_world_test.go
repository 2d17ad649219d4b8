package delivery_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

// letter sends a message of a tenant, with labels, to an address.
func (w *world) letter(to, tenant string, labels ...string) queue.ID {
	w.t.Helper()
	return w.send(delivery.Message{
		From: "sender@home.example", To: delivery.To(to), Tenant: tenant, Labels: labels, Body: strings.NewReader("Subject: hello\r\n\r\nHello.\r\n"),
	})
}

func (w *world) pause(sel delivery.Selector, until time.Time) {
	w.t.Helper()
	w.do(w.sender.Pause(context.Background(), sel, until, "a test"))
}

func (w *world) resume(sel delivery.Selector) {
	w.t.Helper()
	w.do(w.sender.Resume(context.Background(), sel))
}

func (w *world) lead(sel delivery.Selector, via string) {
	w.t.Helper()
	w.do(w.sender.Reroute(context.Background(), sel, via))
}

func (w *world) do(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// want checks how many jobs a command has changed.
func (w *world) want(n int) func(got int, err error) {
	return func(got int, err error) {
		w.t.Helper()
		if got != n || err != nil {
			w.t.Errorf("%d jobs were changed, error %v, want %d", got, err, n)
		}
	}
}

// life ends Run and begins another, as a restart does.
func (w *world) life() {
	w.t.Helper()
	w.stop()
	w.start()
}

// each is a selector for one message by each of its fields.
func each(id queue.ID) map[string]delivery.Selector {
	return map[string]delivery.Selector{
		"id": {ID: id}, "domain": {Domain: "A.example"}, "site": {Site: "mx.a.example"}, "tenant": {Tenant: "shop"}, "label": {Label: "news"},
		"all but the site": {ID: id, Domain: "a.example", Tenant: "shop", Label: "news"},
		"everything":       {ID: id, Domain: "a.example", Site: "mx.a.example", Tenant: "shop", Label: "news"},
	}
}

// wantRules checks the rules in force, such as "label=news paused" or "domain=a.example via b.example".
func (w *world) wantRules(want ...string) {
	w.t.Helper()
	rules, err := w.sender.Rules(context.Background())
	w.do(err)
	var got []string
	for _, r := range rules {
		what := "paused"
		if !r.Pause {
			what = "via " + r.Via
		}
		got = append(got, fmt.Sprintf("%v %s", r.Selector, what))
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("rules are %q, want %q", got, want)
	}
}

// untroubled checks that nothing of the Sender's own went wrong.
func (w *world) untroubled(t *testing.T) {
	t.Helper()
	for _, e := range observed[delivery.Trouble](w) {
		t.Errorf("trouble: %v", e.Err)
	}
}
