package delivery_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// wantConnections checks how many connections a host has had.
func (h *host) wantConnections(t *testing.T, n int) {
	t.Helper()
	if total, _, _ := h.Connections(); total != n {
		t.Errorf("%s has had %d connections, want %d", h.Host.Name, total, n)
	}
}

// each sends messages one after the other, with so much time before each.
func (w *world) each(pause time.Duration, to ...string) {
	w.t.Helper()
	for _, to := range to {
		w.settle(pause)
		w.enqueue(to)
	}
	w.settle(time.Second)
}

// atOneSite makes all domains one site, so that a worker is offered the jobs of all of them.
func (w *world) atOneSite() {
	w.config.Router = mx.RouterFunc(func(ctx context.Context, domain string) (*mx.Route, error) {
		route, err := w.route(ctx, domain)
		if err == nil {
			route.Site = "the site"
		}
		return route, err
	})
}

// one makes one connection carry all it can, so that what goes over another one was not fit for it.
func (w *world) one() { w.config.Shaping.Default.Connections = 1 }

func TestSessionIsReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		w.each(time.Second, "ann@a.example", "ben@a.example", "cat@a.example")
		h.wantConnections(t, 1)
		h.wantTaken(t, 3)
	})
}

func TestSessionIsReusedAcrossDomains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.example", nil, "a.example", "b.example", "c.example")
		w.atOneSite()
		w.one()
		w.start()
		w.each(time.Second, "ann@a.example", "ben@b.example", "cat@c.example") // each is met for the first time
		w.settle(10 * time.Second)
		before, _, _ := h.Connections()
		w.each(time.Second, "ann@a.example", "ben@b.example", "cat@c.example", "amy@a.example")
		h.wantConnections(t, before+1)
		h.wantTaken(t, 7)
	})
}

// A session is for those whose own way leads to the same host, by the same means.
func TestSessionIsNotReused(t *testing.T) {
	verify := func(policy string) func(*mx.Host) { return func(h *mx.Host) { h.Policy = policy } }
	for name, change := range map[string]func(*mx.Host){
		"nothing":  nil,
		"TLS":      func(h *mx.Host) { h.TLS = mx.Required },
		"policy":   verify("dane"),
		"login":    func(h *mx.Host) { h.Auth = &mx.Credentials{Username: "app", Password: "secret"} },
		"name":     func(h *mx.Host) { h.Name = "alias.example" },
		"port":     func(h *mx.Host) { h.Port = 26 },
		"implicit": func(h *mx.Host) { h.Implicit = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				h := w.serve(&smtptest.Server{Name: "mx.example", StartTLS: true, Users: map[string]string{"app": "secret"}}, "a.example")
				w.hosts[h.Addrs[0].String()+":26"] = h
				other := &host{Server: h.Server, Host: h.Host}
				if change != nil {
					change(&other.Host)
				}
				w.reroute("b.example", other)
				w.atOneSite()
				w.one()
				w.start()
				w.each(time.Second, "ann@a.example", "ben@b.example")
				w.settle(10 * time.Second)
				before, _, _ := h.Connections()
				w.each(time.Second, "ann@a.example", "ben@b.example")
				if total, _, _ := h.Connections(); (total == before+1) != (change == nil) {
					t.Errorf("%d connections for two messages", total-before)
				}
			})
		})
	}
}

func TestSessionIsNotReusedForAnotherAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.host("mx.example", nil, "a.example")
		second := w.host("mx.example", nil, "b.example")
		w.atOneSite()
		w.one()
		w.start()
		w.each(time.Second, "ann@a.example", "ben@b.example", "ann@a.example", "ben@b.example")
		first.wantTaken(t, 2)
		second.wantTaken(t, 2)
	})
}

func TestSessionIsNotReusedForAStricterMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true}, "a.example")
		w.start()
		w.each(time.Second, "ann@a.example")
		w.demanding(queue.TLSRequired, "ben@a.example")
		w.settle(time.Second)
		h.wantTaken(t, 2)
		h.wantConnections(t, 2)
	})
}

// A session that won't do is not offered the same job for ever while there can be no other.
func TestNoSessionWillDoForNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true}, "a.example")
		w.config.Shaping.Default.ConnectionRate = shaping.Rate{N: 1, Per: time.Minute}
		w.start()
		w.each(2*time.Minute, "amy@a.example", "ann@a.example") // the site is known by the second
		w.demanding(queue.TLSRequired, "ben@a.example")
		w.settle(time.Second)
		h.wantTaken(t, 2)
		w.settle(time.Minute)
		h.wantTaken(t, 3)
	})
}

// A host that is somebody's backup is no stand-in for the better one, though it may be another's best.
func TestBackupIsNoStandIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		better := w.host("mx1.example", nil)
		worse := w.host("mx2.example", nil, "a.example")
		worse.Preference = 20
		w.reroute("b.example", better, worse)
		w.atOneSite()
		w.one()
		w.start()
		w.each(time.Second, "ann@a.example", "ben@b.example", "ann@a.example", "ben@b.example")
		better.wantTaken(t, 2)
		worse.wantTaken(t, 2)
	})
}

// Where the walk for a domain has ended because no better host would have us, the next message of the domain goes on.
func TestWalkGoesOnWhereItEnded(t *testing.T) {
	for _, greeting := range []string{smtptest.Close, "554 5.3.2 go away"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			better := w.host("mx1.example", func(c smtptest.Command) string { return greeting })
			backup := w.host("mx2.example", nil)
			backup.Preference = 20
			w.reroute("a.example", better, backup)
			w.start()
			w.each(time.Second, "ann@a.example", "ben@a.example", "cat@a.example")
			backup.wantTaken(t, 3)
			backup.wantConnections(t, 1)
			better.wantConnections(t, 1)
		})
	}
}

// A session that was lost while it was idle costs nothing but another one.
func TestStaleSession(t *testing.T) {
	for name, answer := range map[string]string{"closed": smtptest.Close, "421": "421 4.4.2 idle for too long", "451": "451 4.4.2 idle for too long"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				q := &faultyQueue{Queue: w.queue, commit: func(int64) error { return nil }}
				w.queue = q
				var mails atomic.Int64
				h := w.host("mx.a.example", func(c smtptest.Command) string {
					if c.Verb == "MAIL" && mails.Add(1) == 2 {
						return answer
					}
					return ""
				}, "a.example")
				w.start()
				w.each(time.Second, "ann@a.example")
				w.settle(time.Second) // silent for so long that not all is said at once
				id := w.enqueue("ben@a.example")
				w.settle(time.Second)
				w.wantStates(id, "ben@a.example delivered")
				h.wantConnections(t, 2)
				if j := w.jobs(id)[0]; j.Tries != 1 || q.n.Load() != 2 {
					t.Errorf("counts as %d attempts, %d commits for two messages", j.Tries, q.n.Load())
				}
				w.wantAttempts("ann@a.example delivered mx.a.example 250", "ben@a.example delivered mx.a.example 250")
			})
		})
	}
}

func TestIdleSessionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var quits atomic.Int64
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "QUIT" {
				quits.Add(1)
			}
			return ""
		}, "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(4900 * time.Millisecond)
		if _, _, open := h.Connections(); open != 1 {
			t.Errorf("%d connections after less than 5 seconds", open)
		}
		w.settle(200 * time.Millisecond)
		if _, _, open := h.Connections(); open != 0 || quits.Load() != 1 {
			t.Errorf("%d connections after 5 seconds, %d QUITs", open, quits.Load())
		}
	})
}

func TestMessagesPerConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		w.one()
		w.start()
		for i := range 250 {
			w.enqueue(fmt.Sprintf("u%d@a.example", i))
		}
		w.settle(time.Minute)
		on := make(map[int]int)
		for _, m := range h.wantTaken(t, 250) {
			on[m.Conn]++
		}
		if len(on) != 3 || on[1] != 100 || on[2] != 100 {
			t.Errorf("messages per connection: %v", on)
		}
	})
}

// An uncertain message goes to the host that may have it, whatever session there is.
func TestUncertainWantsItsHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.host("mx1.a.example", func(c smtptest.Command) string {
			if c.Verb == "." && c.Conn == 1 {
				return smtptest.Close
			}
			return ""
		}, "a.example")
		second := w.host("mx2.example", nil, "a.example", "b.example")
		w.config.Retry = retry.Schedule{time.Minute}
		w.atOneSite()
		w.one()
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(2*time.Minute - time.Second)
		w.enqueue("ben@b.example")
		w.settle(2 * time.Second)
		w.wantStates(id, "ann@a.example delivered")
		first.wantTaken(t, 1)
		second.wantTaken(t, 1)
	})
}

// What fell back to plaintext is only for those that would, too.
func TestPlaintextSessionIsForRetriesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Retry = retry.Schedule{time.Minute}
		h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true, Reply: func(c smtptest.Command) string {
			if c.Verb == "STARTTLS" {
				return "454 4.7.0 not now"
			}
			return ""
		}}, "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(61 * time.Second)
		h.wantTaken(t, 1)
		id := w.enqueue("ben@a.example")
		w.settle(30 * time.Second)
		w.wantPending(id)
		w.settle(time.Minute)
		w.wantStates(id, "ben@a.example delivered")
	})
}

// The slow goodbye of a server delays nothing.
func TestSlowQuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "QUIT" {
				return smtptest.Stall
			}
			return ""
		}, "a.example")
		w.start()
		id := w.send(delivery.Message{To: delivery.To("ann@a.example"), Body: strings.NewReader("Subject: hi\r\n\r\n")})
		w.settle(time.Second)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Run took %v to end", took)
		}
		w.wantStates(id, "ann@a.example delivered")
		if h.open != 0 {
			t.Errorf("%d connections are left open", h.open)
		}
	})
}

// That the best host has deferred one message makes its backup nobody else's first choice.
func TestBackupAfterADeferralIsNoStandIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		best := w.host("mx1.example", func(c smtptest.Command) string {
			if c.Address == "ann@a.example" {
				return "450 4.2.0 greylisted"
			}
			return ""
		})
		backup := w.host("mx2.example", nil)
		backup.Preference = 20
		w.reroute("a.example", best, backup)
		w.one()
		w.start()
		w.each(time.Second, "ann@a.example", "ben@a.example")
		best.wantTaken(t, 1)
		backup.wantTaken(t, 1)
	})
}

// However many servers are slow to say goodbye, a worker has one connection more than it may, at most.
func TestSlowQuitsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var hosts []*host
		stall := func(c smtptest.Command) string {
			if c.Verb == "QUIT" {
				return smtptest.Stall
			}
			return ""
		}
		for i := range 6 {
			hosts = append(hosts, w.host("mx.example", stall, fmt.Sprintf("d%d.example", i)))
		}
		w.atOneSite()
		w.one()
		w.start()
		for i := range hosts {
			w.enqueue(fmt.Sprintf("ann@d%d.example", i))
		}
		most := 0
		for range 400 {
			w.settle(100 * time.Millisecond)
			open := 0
			for _, h := range hosts {
				h.mu.Lock()
				open += h.open
				h.mu.Unlock()
			}
			most = max(most, open)
		}
		if most > 2 {
			t.Errorf("%d connections at once", most)
		}
		for _, h := range hosts {
			h.wantTaken(t, 1)
		}
	})
}
