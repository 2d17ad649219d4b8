package delivery_test

import (
	"crypto/tls"
	"errors"
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

// demanding enqueues a message that demands TLS.
func (w *world) demanding(demand queue.TLS, to string) queue.ID {
	return w.send(delivery.Message{To: delivery.To(to), TLS: demand, Body: strings.NewReader("Subject: secret\r\n\r\n")})
}

func TestOpportunisticTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true}, "a.example")
		w.start()
		w.enqueue("ann@a.example")
		w.settle(time.Second)
		if m := h.wantTaken(t, 1)[0]; m.TLS == nil {
			t.Errorf("sent in plaintext to a host that offers TLS")
		}
		if a := observed[delivery.Attempted](w); a[0].TLS != "TLS 1.3" {
			t.Errorf("the observer hears of %q", a[0].TLS)
		}
	})
}

// A host whose TLS comes to nothing gets plaintext where nobody demands more, but not at the first attempt.
func TestBrokenTLS(t *testing.T) {
	for _, answer := range []string{"220 2.0.0 go ahead" + smtptest.Close, "454 4.7.0 not now"} {
		broken := func(c smtptest.Command) string {
			if c.Verb == "STARTTLS" {
				return answer
			}
			return ""
		}
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.config.Retry = retry.Schedule{time.Minute}
			h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true, Reply: broken}, "a.example")
			w.start()
			open := w.enqueue("ann@a.example")
			closed := w.demanding(queue.TLSRequired, "ben@a.example")
			w.settle(30 * time.Second)
			h.wantTaken(t, 0)
			w.settle(time.Hour)
			w.wantStates(open, "ann@a.example delivered")
			w.wantStates(closed, "ben@a.example pending")
			h.wantTaken(t, 1)
		})
	}
}

// A host program that looks at certificates itself demands TLS by that.
func TestRefusedCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Retry = retry.Schedule{time.Minute}
		w.config.TLS = &tls.Config{VerifyConnection: func(tls.ConnectionState) error { return errors.New("not one of ours") }}
		h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true}, "a.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Hour)
		w.wantPending(id)
		h.wantTaken(t, 0)
	})
}

func TestDemandedTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		plain := w.host("mx.plain.example", nil, "plain.example")
		secure := w.serve(&smtptest.Server{Name: "mx.secure.example", StartTLS: true}, "secure.example")
		w.config.TLS = &tls.Config{RootCAs: secure.RootCAs()}
		w.start()
		for _, demand := range []queue.TLS{queue.TLSRequired, queue.TLSVerified} {
			w.wantPending(w.demanding(demand, "ann@plain.example"))
			w.demanding(demand, "ann@secure.example")
		}
		w.settle(time.Minute)
		plain.wantTaken(t, 0)
		secure.wantTaken(t, 2)
	})
}

func TestRouteDemandsVerifiedTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true}) // a certificate that nobody trusts
		h.TLS = mx.Verified
		w.reroute("a.example", h)
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Hour)
		w.wantPending(id)
		h.wantTaken(t, 0)
	})
}

func TestRelayLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.serve(&smtptest.Server{Name: "smtp.example", Users: map[string]string{"app": "secret"}, StartTLS: true})
		w.config.TLS = &tls.Config{RootCAs: h.RootCAs()}
		h.TLS = mx.Verified
		h.Auth = &mx.Credentials{Username: "app", Password: "wrong"}
		w.reroute("a.example", h)
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Hour)
		w.wantPending(id) // what a relay says of our password bounces nothing
		h.Auth = &mx.Credentials{Username: "app", Password: "secret"}
		w.reroute("a.example", h)
		w.settle(4 * time.Hour)
		if m := h.wantTaken(t, 1)[0]; m.User != "app" || m.TLS == nil {
			t.Errorf("taken from %q, TLS %v", m.User, m.TLS != nil)
		}
	})
}

func (w *world) wantPending(id queue.ID) {
	w.t.Helper()
	for _, s := range w.states(id) {
		if !strings.HasSuffix(s, " pending") {
			w.t.Errorf("%s, want pending", s)
		}
	}
}

// The host program's configuration has the certificate that we show, and the versions that will do.
func TestTLSConfig(t *testing.T) {
	for _, c := range []struct {
		name    string
		most    uint16 // version of the host
		min     uint16 // version of ours
		demand  queue.TLS
		version string
		waits   bool
	}{
		{name: "Go's defaults", most: tls.VersionTLS13, version: "TLS 1.3"},
		{name: "an old host", most: tls.VersionTLS12, version: "TLS 1.2"},
		{name: "too old a host", most: tls.VersionTLS12, min: tls.VersionTLS13, demand: queue.TLSRequired, waits: true},
		{name: "too old a host, where nobody demands TLS", most: tls.VersionTLS12, min: tls.VersionTLS13},
		{name: "new enough a host", most: tls.VersionTLS13, min: tls.VersionTLS13, version: "TLS 1.3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, pool, err := smtptest.NewTLSConfig("postroad.example")
				if err != nil {
					t.Fatal(err)
				}
				theirs, _, err := smtptest.NewTLSConfig("mx.a.example")
				if err != nil {
					t.Fatal(err)
				}
				theirs.MaxVersion, theirs.ClientAuth, theirs.ClientCAs = c.most, tls.RequireAnyClientCert, pool
				w := newWorld(t)
				w.config.Retry = retry.Schedule{time.Minute}
				w.config.TLS = &tls.Config{Certificates: ours.Certificates, MinVersion: c.min}
				h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true, TLSConfig: theirs}, "a.example")
				w.start()
				id := w.demanding(c.demand, "ann@a.example")
				w.settle(time.Hour)
				if c.waits {
					w.wantPending(id)
					h.wantTaken(t, 0)
					return
				}
				m := h.wantTaken(t, 1)[0]
				if c.version == "" {
					if m.TLS != nil {
						t.Errorf("sent by %s", tls.VersionName(m.TLS.Version))
					}
					return
				}
				if m.TLS == nil || tls.VersionName(m.TLS.Version) != c.version || !m.TLS.PeerCertificates[0].Equal(ours.Certificates[0].Leaf) {
					t.Errorf("sent otherwise than by %s with our certificate", c.version)
				}
			})
		})
	}
}
