package delivery_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// Plaintext is for mail that has waited since TLS began to fail, not for such as has waited for something else.
func TestPlaintextWaitsForTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Retry = retry.Schedule{10 * time.Minute}
		connections := 0 // of which the first ends at once
		h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true, Reply: func(c smtptest.Command) string {
			switch {
			case c.Verb == "CONNECT":
				if connections++; connections == 1 {
					return "451 4.3.2 not now"
				}
			case c.Verb == "STARTTLS":
				return "454 4.7.0 no TLS"
			}
			return ""
		}}, "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(5 * time.Minute)                       // not served
		w.demanding(queue.TLSRequired, "tom@a.example") // now TLS fails
		w.settle(6 * time.Minute)
		h.wantTaken(t, 0)
		w.settle(10 * time.Minute)
		h.wantTaken(t, 1)
		w.enqueue("ben@a.example") // hasn't waited yet
		w.settle(time.Minute)
		h.wantTaken(t, 1)
		w.demanding(queue.TLSOptional, "eve@a.example") // needn't
		w.settle(time.Minute)
		h.wantTaken(t, 2)
	})
}

// What a route and a message demand adds up, whatever the host is like.
func TestDemandsAddUp(t *testing.T) {
	type outcome string
	const (
		plain, encrypted, pending outcome = "plaintext", "encrypted", "pending"
	)
	for _, c := range []struct {
		route              mx.TLS
		message            queue.TLS
		none, other, named outcome // for a host without TLS, with some certificate, with a good one
	}{
		{mx.Opportunistic, queue.TLSDefault, plain, encrypted, encrypted},
		{mx.Opportunistic, queue.TLSOptional, plain, encrypted, encrypted},
		{mx.Opportunistic, queue.TLSRequired, pending, encrypted, encrypted},
		{mx.Opportunistic, queue.TLSVerified, pending, pending, encrypted},
		{mx.Opportunistic, queue.RequireTLS, pending, pending, encrypted},
		{mx.None, queue.TLSDefault, plain, plain, plain},
		{mx.None, queue.TLSOptional, plain, plain, plain},
		{mx.None, queue.TLSRequired, pending, encrypted, encrypted},
		{mx.None, queue.TLSVerified, pending, pending, encrypted},
		{mx.None, queue.RequireTLS, pending, pending, encrypted},
		{mx.Required, queue.TLSDefault, pending, encrypted, encrypted},
		{mx.Required, queue.TLSOptional, pending, encrypted, encrypted},
		{mx.Required, queue.TLSRequired, pending, encrypted, encrypted},
		{mx.Required, queue.TLSVerified, pending, pending, encrypted},
		{mx.Required, queue.RequireTLS, pending, pending, encrypted},
		{mx.Verified, queue.TLSDefault, pending, pending, encrypted},
		{mx.Verified, queue.TLSOptional, pending, pending, encrypted},
		{mx.Verified, queue.TLSRequired, pending, pending, encrypted},
		{mx.Verified, queue.TLSVerified, pending, pending, encrypted},
		{mx.Verified, queue.RequireTLS, pending, pending, encrypted},
	} {
		t.Run(c.route.String()+" "+string(c.message), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				named := w.changing("mx.named.example", "named.example")
				other := w.serve(&smtptest.Server{Name: "mx.other.example", StartTLS: true, Extensions: []string{"REQUIRETLS"}})
				none := w.serve(&smtptest.Server{Name: "mx.none.example", Extensions: []string{"REQUIRETLS"}})
				named.Extensions = []string{"REQUIRETLS"}
				w.start()
				for domain, h := range map[string]*host{"named.example": named.host, "other.example": other, "none.example": none} {
					h.TLS, h.Secure = c.route, true
					w.reroute(domain, h)
					w.demanding(c.message, "ann@"+domain)
				}
				w.settle(12 * time.Hour)
				for h, want := range map[*host]outcome{named.host: c.named, other: c.other, none: c.none} {
					got := pending
					if m := h.Messages(); len(m) == 1 && m[0].TLS == nil {
						got = plain
					} else if len(m) == 1 {
						got = encrypted
					}
					if got != want {
						t.Errorf("%s: %s, want %s", h.Host.Name, got, want)
					}
				}
			})
		})
	}
}

// secure starts a host with a certificate that the Sender trusts, whose name is vouched for.
func (w *world) secure(name string, extensions ...string) *host {
	h := w.changing(name, name).host
	h.Extensions, h.Secure = extensions, true
	return h
}

// REQUIRETLS is asked of each host; the message fails when all have said that they don't know it, and not as long as one may.
func TestRequireTLSHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Retry = retry.Schedule{time.Minute}
		var unaware []*host
		for _, name := range []string{"mx1.a.example", "mx2.a.example", "mx3.a.example"} {
			unaware = append(unaware, w.secure(name, "PIPELINING"))
		}
		aware := w.secure("mx4.a.example", "REQUIRETLS")
		down := w.secure("mx5.a.example", "REQUIRETLS")
		down.Close()
		foreign := w.secure("mx6.a.example", "REQUIRETLS")
		foreign.Secure = false
		w.reroute("all.example", append(slices.Clone(unaware), aware)...)
		w.reroute("none.example", unaware...)
		w.reroute("down.example", unaware[0], down)
		w.reroute("first.example", down, unaware[0])
		w.reroute("foreign.example", foreign)
		w.reroute("mixed.example", foreign, unaware[0])
		w.start()
		send := func(to string) queue.ID {
			return w.send(delivery.Message{
				From: "ben@home.example", To: delivery.To(to), TLS: queue.RequireTLS, Body: strings.NewReader("Subject: plans\r\n\r\n"),
			})
		}
		delivered, failed := send("ann@all.example"), send("ann@none.example")
		var pending []queue.ID
		for _, domain := range []string{"down", "first", "foreign", "mixed"} {
			pending = append(pending, send("ann@"+domain+".example"))
		}
		w.settle(time.Hour)
		w.wantStates(delivered, "ann@all.example delivered")
		w.wantStates(failed, "ann@none.example bounced")
		if r := w.jobs(failed)[0].Recipients[0].Reply; r.Code != 550 || r.Enhanced != "5.7.30" {
			t.Errorf("%+v", r)
		}
		for _, id := range pending {
			w.wantPending(id)
		}
		if m := aware.wantTaken(t, 1)[0]; m.From == "" || m.TLS == nil || m.Params != "REQUIRETLS" {
			t.Errorf("%q, TLS %v", m.Params, m.TLS != nil)
		}
		if total, _, _ := foreign.Connections(); total > 0 {
			t.Error("a host that nobody vouches for was met")
		}
	})
}

// A report about a message that requires TLS does so, too, and has nothing of the body; but it goes to a host that doesn't know
// REQUIRETLS rather than be lost.
func TestRequireTLSReport(t *testing.T) {
	for _, extension := range []string{"REQUIRETLS", "PIPELINING"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			there := w.secure("mx.a.example", "PIPELINING")
			home := w.secure("mx.home.example", extension)
			w.reroute("a.example", there)
			w.reroute("home.example", home)
			w.start()
			w.send(delivery.Message{
				From: "ben@home.example", To: delivery.To("ann@a.example"), TLS: queue.RequireTLS, Return: queue.ReturnFull,
				Body: strings.NewReader("Subject: plans\r\n\r\nin the body\r\n"),
			})
			w.settle(time.Minute)
			m := home.wantTaken(t, 1)[0]
			if m.TLS == nil || strings.Contains(m.Params, "REQUIRETLS") != (extension == "REQUIRETLS") {
				t.Errorf("%q, TLS %v", m.Params, m.TLS != nil)
			}
			if !strings.Contains(string(m.Data), "Subject: plans") || strings.Contains(string(m.Data), "in the body") {
				t.Errorf("the report is\n%s", m.Data)
			}
		})
	}
}

// TLS-Required: No is for the message alone: a report about it is like any other.
func TestOptionalTLSReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "RCPT" {
				return "550 5.1.1 unknown"
			}
			return ""
		}, "a.example")
		w.start()
		id := w.send(delivery.Message{
			From: "ben@home.example", To: delivery.To("ann@a.example"), Body: strings.NewReader("TLS-Required: No\r\n\r\n"),
		})
		w.settle(time.Minute)
		if got := w.jobs(id)[0].Message.TLS; got != queue.TLSOptional {
			t.Errorf("the message demands %q", got)
		}
		report := observed[delivery.Bounced](w)[0].Report
		if got := w.jobs(report)[0].Message.TLS; got != queue.TLSDefault {
			t.Errorf("the report demands %q", got)
		}
	})
}

// What the host program says of a message goes before its header.
func TestDemandBeforeHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		id := w.send(delivery.Message{To: delivery.To("ann@a.example"), TLS: queue.RequireTLS, Body: strings.NewReader("TLS-Required: No\r\n\r\n")})
		if got := w.jobs(id)[0].Message.TLS; got != queue.RequireTLS {
			t.Errorf("the message demands %q", got)
		}
	})
}
