package delivery_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A host that is down is tried after the others, and no message pays for it but the first.
func TestDownHostIsTriedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		dead := w.host("mx1.a.example", nil, "a.example")
		dead.Close()
		backup := w.host("mx2.a.example", nil, "a.example")
		var dials atomic.Int64
		w.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, dead.Addrs[0].String()) {
				dials.Add(1)
			}
			return w.dial(ctx, network, address)
		}
		w.start()
		w.each(10*time.Second, "ann@a.example", "ben@a.example", "cat@a.example")
		backup.wantTaken(t, 3)
		if dials.Load() != 1 {
			t.Errorf("the host that is down was dialled %d times", dials.Load())
		}
		w.each(time.Minute, "amy@a.example")
		if dials.Load() != 2 {
			t.Errorf("a minute later it was not tried")
		}
	})
}

// A host that is down is tried nevertheless if there is no other.
func TestDownHostIsTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		up := atomic.Bool{}
		h := w.host("mx.a.example", nil, "a.example")
		w.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if !up.Load() {
				return nil, net.ErrClosed
			}
			return w.dial(ctx, network, address)
		}
		w.config.Retry = retry.Schedule{20 * time.Second}
		w.start()
		w.enqueue("ann@a.example")
		w.settle(10 * time.Second)
		up.Store(true)
		w.settle(11 * time.Second)
		h.wantTaken(t, 1)
	})
}

// How the TLS of a host had to be met is not found out anew by each connection.
func TestRungIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.serve(&smtptest.Server{Name: "mx.a.example", StartTLS: true, Reply: func(c smtptest.Command) string {
			if c.Verb == "STARTTLS" && c.Conn == 1 {
				return "220 2.0.0 go ahead" + smtptest.Close
			}
			return ""
		}}, "a.example")
		w.start()
		w.each(10*time.Second, "ann@a.example", "ben@a.example")
		h.wantConnections(t, 3)
		for i, m := range h.wantTaken(t, 2) {
			if m.TLS == nil || m.TLS.Version != 0x0303 {
				t.Errorf("message %d: TLS %+v", i, m.TLS)
			}
		}
	})
}

// A server that offers CHUNKING and refuses BDAT is asked once, and the message is none the worse.
func TestRefusedChunkingIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var asked atomic.Int64
		h := w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "BDAT" {
				asked.Add(1)
				return "500 5.5.1 what?" + smtptest.Close
			}
			return ""
		}, "a.example")
		w.start()
		first := w.enqueue("ann@a.example")
		w.settle(10 * time.Second)
		w.each(time.Second, "ben@a.example")
		h.wantTaken(t, 2)
		h.wantConnections(t, 3)
		if asked.Load() != 1 {
			t.Errorf("BDAT was tried %d times", asked.Load())
		}
		if j := w.jobs(first)[0]; j.Tries != 1 {
			t.Errorf("it took %d attempts", j.Tries)
		}
	})
}
