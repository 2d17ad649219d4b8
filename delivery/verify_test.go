package delivery_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dane"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// checks are the checks of certificates that were made, in their order.
type checks struct {
	mu    sync.Mutex // guards what follows
	names []string
}

// check is a check that is noted, and fails with err.
func (c *checks) check(name string, err error) func(tls.ConnectionState) error {
	return func(tls.ConnectionState) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.names = append(c.names, name)
		return err
	}
}

func (c *checks) want(t *testing.T, names ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.names, names) {
		t.Errorf("checked by %q, want %q", c.names, names)
	}
}

// A route's check of a certificate is made after the host program's own, and either can end the session.
func TestRouteVerifies(t *testing.T) {
	refused := errors.New("not this one")
	for name, c := range map[string]struct {
		program, route error // what the checks say
		noProgram      bool
		want           []string
		delivered      bool
	}{
		"both content":     {want: []string{"program", "route"}, delivered: true},
		"the route's only": {noProgram: true, want: []string{"route"}, delivered: true},
		"route refuses":    {route: refused, want: []string{"program", "route"}},
		"program refuses":  {program: refused, want: []string{"program"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.config.Retry = retry.Schedule{time.Hour}
				var made checks
				if !c.noProgram {
					w.config.TLS = &tls.Config{VerifyConnection: made.check("program", c.program)}
				}
				h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true})
				h.TLS, h.Verify = mx.Required, made.check("route", c.route)
				w.reroute("a.example", h)
				w.start()
				id := w.enqueue("ann@a.example")
				w.settle(time.Minute)
				made.want(t, c.want...)
				if !c.delivered {
					w.wantPending(id)
					h.wantTaken(t, 0)
					return
				}
				h.wantTaken(t, 1)
			})
		})
	}
}

// A host with a check is never met in plaintext, whatever else its route says, however old the message is.
func TestVerifiedHostInPlaintext(t *testing.T) {
	breaks := func(c smtptest.Command) string {
		if c.Verb == "STARTTLS" {
			return "220 2.0.0 go ahead" + smtptest.Close
		}
		return ""
	}
	for _, broken := range []bool{false, true} {
		for _, demand := range []mx.TLS{mx.Opportunistic, mx.None, mx.Required} {
			t.Run(fmt.Sprintf("%v, broken TLS %v", demand, broken), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.config.Retry = retry.Schedule{time.Minute}
					h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: broken, Reply: breaks})
					h.TLS, h.Verify = demand, func(tls.ConnectionState) error { return nil }
					w.reroute("a.example", h)
					w.start()
					id := w.enqueue("ann@a.example")
					w.settle(12 * time.Hour)
					w.wantPending(id)
					h.wantTaken(t, 0)
					if total, _, _ := h.Connections(); total == 0 {
						t.Error("not even tried")
					}
				})
			})
		}
	}
}

// A host is asked for the name that its route says, unless it has to prove its own.
func TestServerNameIndication(t *testing.T) {
	for _, c := range []struct {
		name    string
		sni     string
		demand  queue.TLS
		program string // the host program's own word
		want    string
	}{
		{name: "the host's", want: "mx.a.example"},
		{name: "the route's", sni: "real.a.example", want: "real.a.example"},
		{name: "to be proven", sni: "real.a.example", demand: queue.TLSVerified, want: "mx.a.example"},
		{name: "the program's", sni: "real.a.example", program: "other.a.example", want: "other.a.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config, roots, err := smtptest.NewTLSConfig("mx.a.example")
				if err != nil {
					t.Fatal(err)
				}
				asked := make(chan string, 10)
				config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
					asked <- hello.ServerName
					return nil, nil
				}
				w := newWorld(t)
				w.config.TLS = &tls.Config{RootCAs: roots, ServerName: c.program}
				h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true, TLSConfig: config})
				h.SNI, h.TLS = c.sni, mx.Required
				w.reroute("a.example", h)
				w.start()
				w.send(delivery.Message{To: delivery.To("ann@a.example"), TLS: c.demand, Body: strings.NewReader("Subject: hi\r\n\r\n")})
				w.settle(time.Minute)
				h.wantTaken(t, 1)
				if got := <-asked; got != c.want {
					t.Errorf("asked for %s, want %s", got, c.want)
				}
			})
		})
	}
}

// tlsaDNS is a DNS that vouches for one TLSA record of every host.
type tlsaDNS mx.TLSA

func (d tlsaDNS) Lookup(_ context.Context, _ string, t mx.Type) (mx.Answer, error) {
	answer := mx.Answer{Authentic: true}
	if t == mx.TypeTLSA {
		answer.Records = []mx.Record{{TLSA: mx.TLSA(d)}}
	}
	return answer, nil
}

// What a host's TLSA records say decides whether it gets a message, not what public authorities say of its certificate.
func TestDANE(t *testing.T) {
	for _, right := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			config, _, err := smtptest.NewTLSConfig("mx.a.example")
			if err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256(config.Certificates[0].Leaf.RawSubjectPublicKeyInfo)
			if !right {
				digest[0]++
			}
			w := newWorld(t)
			w.config.Retry = retry.Schedule{time.Hour}
			w.config.Router = &dane.Router{Inner: w.config.Router, DNS: tlsaDNS{Usage: 3, Selector: 1, Matching: 1, Data: digest[:]}}
			h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true, TLSConfig: config})
			h.Secure = true
			w.reroute("a.example", h)
			w.start()
			id := w.enqueue("ann@a.example")
			w.settle(time.Minute)
			if right {
				h.wantTaken(t, 1)
				return
			}
			w.wantPending(id)
			h.wantTaken(t, 0)
		})
	}
}
