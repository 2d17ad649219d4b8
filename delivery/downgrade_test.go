package delivery_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// changing is a host that can lose its TLS or its good certificate, and have it back.
type changing struct {
	*host
	plain atomic.Bool // offers no TLS
	other atomic.Bool // has a certificate that proves nothing
	fails atomic.Bool // refuses what it offers

	logins atomic.Int64
}

// changing starts such a host for domains, whose certificate the Sender trusts.
func (w *world) changing(name string, domains ...string) *changing {
	w.t.Helper()
	good, roots, err := smtptest.NewTLSConfig(name)
	if err != nil {
		w.t.Fatal(err)
	}
	other, _, err := smtptest.NewTLSConfig("other.example")
	if err != nil {
		w.t.Fatal(err)
	}
	c := &changing{}
	config := good.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if c.other.Load() {
			return other, nil
		}
		return good, nil
	}
	c.host = w.serve(&smtptest.Server{Name: name, StartTLS: true, TLSConfig: config, Reply: func(cmd smtptest.Command) string {
		if cmd.Verb == "EHLO" && c.plain.Load() {
			return "250-" + name + "\r\n250-AUTH PLAIN\r\n250 PIPELINING"
		}
		if cmd.Verb == "AUTH" {
			c.logins.Add(1)
		}
		if cmd.Verb == "STARTTLS" && c.fails.Load() {
			return "454 4.7.0 not now"
		}
		return ""
	}})
	c.Domains = domains
	w.reroute(domains[0], c.host)
	if w.config.TLS == nil {
		w.config.TLS = &tls.Config{RootCAs: roots}
	} else {
		w.config.TLS.RootCAs.AddCert(good.Certificates[0].Leaf)
	}
	return c
}

func (w *world) wantDowngrades(want ...string) {
	w.t.Helper()
	var got []string
	for _, d := range observed[delivery.Downgraded](w) {
		got = append(got, fmt.Sprintf("%s at %s: %s, was %s", d.Domain, d.Host, d.Has, d.Had))
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("downgrades are %q, want %q", got, want)
	}
}

// What a domain had before it must have for an hour, and two attempts. Then mail goes with less, which the observer hears of once,
// and nothing waits for it any more.
func TestDowngrade(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(*changing)
		want string
	}{
		"no TLS":         {func(c *changing) { c.plain.Store(true) }, "a.example at mx.a.example: plaintext, was verified"},
		"no certificate": {func(c *changing) { c.other.Store(true) }, "a.example at mx.a.example: encrypted, was verified"},
		"TLS fails":      {func(c *changing) { c.fails.Store(true) }, "a.example at mx.a.example: plaintext, was verified"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.config.Retry = retry.Schedule{10 * time.Minute}
				h := w.changing("mx.a.example", "a.example")
				w.start()
				w.enqueue("ann@a.example")
				w.settle(time.Minute)
				h.wantTaken(t, 1)
				c.lose(h)
				id := w.enqueue("ann@a.example")
				w.settle(59 * time.Minute)
				w.wantPending(id)
				if a := observed[delivery.Attempted](w); !strings.Contains(a[len(a)-1].Reply.Text, "before") || a[len(a)-1].Reply.Phase != "starttls" {
					t.Errorf("%+v", a[len(a)-1].Reply)
				}
				w.wantDowngrades()
				w.settle(10 * time.Minute)
				h.wantTaken(t, 2)
				w.wantDowngrades(c.want)
				w.enqueue("ann@a.example")
				w.settle(11 * time.Minute) // one retry, for TLS that fails
				h.wantTaken(t, 3)
				w.wantDowngrades(c.want)
				h.plain.Store(false)
				h.other.Store(false)
				h.fails.Store(false)
				w.settle(time.Minute) // the session is over
				w.enqueue("ann@a.example")
				w.settle(time.Second)
				h.wantTaken(t, 4)
				c.lose(h)
				w.settle(time.Minute)
				w.wantPending(w.enqueue("ann@a.example"))
				w.settle(time.Second)
				h.wantTaken(t, 4)
			})
		})
	}
}

// While one host has less than the domain had, another may have it.
func TestDowngradeNextHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first, second := w.changing("mx1.a.example", "a.example"), w.changing("mx2.a.example", "a.example")
		w.reroute("a.example", first.host, second.host)
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Minute)
		first.plain.Store(true)
		w.enqueue("ann@a.example")
		w.settle(time.Minute)
		first.wantTaken(t, 1)
		second.wantTaken(t, 1)
		w.wantDowngrades()
	})
}

// Mail that expires soon waits for half of its time.
func TestDowngradeBeforeExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Retry = retry.Schedule{time.Minute}
		h := w.changing("mx.a.example", "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Minute)
		h.plain.Store(true)
		w.send(delivery.Message{To: delivery.To("ann@a.example"), Body: strings.NewReader("Subject: code\r\n\r\n"), Expires: time.Now().Add(10 * time.Minute)})
		w.settle(4 * time.Minute)
		h.wantTaken(t, 1)
		w.settle(2 * time.Minute)
		h.wantTaken(t, 2)
	})
}

// However long the wait between attempts is, two must have been made.
func TestDowngradeTakesAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Retry = retry.Schedule{2 * time.Hour}
		h := w.changing("mx.a.example", "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Minute)
		h.plain.Store(true)
		w.enqueue("ann@a.example")
		w.settle(3 * time.Hour)
		h.wantTaken(t, 1)
		w.settle(2 * time.Hour)
		h.wantTaken(t, 2)
	})
}

// A host that satisfies its route's own check, as by DANE, has lost nothing that public authorities would have to give.
func TestDowngradeOfCheckedHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.changing("mx.a.example", "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Minute)
		h.other.Store(true)
		h.TLS, h.Verify, h.Policy = mx.Required, func(tls.ConnectionState) error { return nil }, "content"
		w.reroute("a.example", h.host)
		w.enqueue("ann@a.example")
		w.settle(time.Minute)
		h.wantTaken(t, 2)
		w.wantDowngrades()
	})
}

// What was seen just before Run ends is not forgotten.
func TestDowngradeAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.changing("mx.a.example", "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		w.stop()
		h.plain.Store(true)
		w.start()
		w.enqueue("ann@a.example")
		w.settle(10 * time.Minute)
		h.wantTaken(t, 1)
	})
}

// A message that leaves it open, and a route that wants no TLS, don't wait for any.
func TestDowngradeAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.changing("mx.a.example", "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Minute)
		h.plain.Store(true)
		w.demanding(queue.TLSOptional, "ann@a.example")
		w.settle(time.Minute)
		h.wantTaken(t, 2)
		h.TLS = mx.None
		w.reroute("a.example", h.host)
		w.enqueue("ann@a.example")
		w.settle(time.Minute)
		h.wantTaken(t, 3)
		w.wantDowngrades()
	})
}

// What was seen outlives the Sender, and is written seldom; after 30 days without a sight of it it is forgotten.
func TestDowngradeMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Retry = retry.Schedule{10 * time.Minute}
		notes := &countedNotes{Queue: w.queue, Notes: w.queue.(queue.Notes)}
		w.queue = notes
		h := w.changing("mx.a.example", "a.example")
		w.start()
		for range 20 * 24 {
			w.enqueue("ann@a.example")
			w.settle(time.Hour)
		}
		if n := notes.sets.Load(); n == 0 || n > 4 {
			t.Errorf("%d writes in 20 days", n)
		}
		w.stop()
		h.plain.Store(true)
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(30 * time.Minute)
		w.wantPending(id)
		w.sender.Withdraw(t.Context(), delivery.Selector{ID: id})
		w.settle(40 * 24 * time.Hour)
		taken := len(h.Messages())
		w.enqueue("ann@a.example")
		w.settle(time.Minute)
		h.wantTaken(t, taken+1)
		w.wantDowngrades()
	})
}

// countedNotes counts how often something is written.
type countedNotes struct {
	queue.Queue
	queue.Notes
	sets atomic.Int64
}

func (n *countedNotes) Set(ctx context.Context, key string, value []byte) error {
	n.sets.Add(1)
	return n.Notes.Set(ctx, key, value)
}

// Credentials never go with less than a host had, however long mail waits, and whether it says so or TLS just fails.
func TestDowngradeWithCredentials(t *testing.T) {
	for name, lose := range map[string]func(*changing){
		"no TLS":         func(c *changing) { c.plain.Store(true) },
		"no certificate": func(c *changing) { c.other.Store(true) },
		"TLS fails":      func(c *changing) { c.fails.Store(true) },
	} {
		for _, demand := range []queue.TLS{queue.TLSDefault, queue.TLSOptional} {
			t.Run(name+" "+string(demand), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					h := w.changing("smtp.example", "a.example")
					h.Users = map[string]string{"app": "secret"}
					h.Auth, h.Domains = &mx.Credentials{Username: "app", Password: "secret"}, nil
					w.reroute("a.example", h.host)
					w.start()
					w.enqueue("ann@a.example")
					w.settle(time.Minute)
					h.wantTaken(t, 1)
					lose(h)
					before, _, _ := h.Connections()
					id := w.demanding(demand, "ann@a.example")
					w.settle(24 * time.Hour)
					w.wantPending(id)
					if after, _, _ := h.Connections(); after == before {
						t.Error("not even tried")
					}
					if n := h.logins.Load(); n != 1 {
						t.Errorf("%d logins", n)
					}
				})
			})
		}
	}
}
