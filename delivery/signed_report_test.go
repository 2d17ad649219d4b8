package delivery_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// daemonSigner signs reports alone, while there is a key.
type daemonSigner struct {
	key   atomic.Bool
	asked atomic.Int32
}

func (s *daemonSigner) Sign(header []byte) (delivery.Signature, error) {
	if !bytes.Contains(header, []byte("From: Mail Delivery System")) {
		return nil, nil
	}
	s.asked.Add(1)
	if !s.key.Load() {
		return nil, errors.New("no key")
	}
	return &signer{fail: func(string) error { return nil }}, nil
}

// A report that can't be signed waits for a key as long as its message would have waited, then it goes without.
func TestReportWaitsForItsSignature(t *testing.T) {
	for name, comes := range map[string]bool{"a key comes": true, "none comes": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				h := w.host("mx.a.example", func(c smtptest.Command) string {
					if c.Verb == "RCPT" {
						return "550 5.1.1 no such user"
					}
					return ""
				}, "a.example")
				home := w.host("mx.home.example", nil, "home.example")
				sign := &daemonSigner{}
				w.config.Signer = sign
				w.start()
				id := w.enqueue("ann@a.example")
				w.settle(24 * time.Hour)
				w.wantStates(id, "ann@a.example failed")
				home.wantTaken(t, 0)
				sign.key.Store(comes)
				w.settle(5 * 24 * time.Hour)
				w.wantStates(id, "ann@a.example bounced")
				if text := string(home.wantTaken(t, 1)[0].Data); strings.HasPrefix(text, "X-Signature: s\r\nFrom: ") != comes {
					t.Errorf("the report is %s", text)
				}
				if total, _, _ := h.Connections(); total != 1 || sign.asked.Load() < 2 {
					t.Errorf("%d attempts, %d signatures asked for", total, sign.asked.Load())
				}
			})
		})
	}
}

// stamp signs everything. It panics at the first call of a method.
type stamp struct {
	panics  string
	anybody bool // or only reports
	done    atomic.Bool
}

func (s *stamp) Sign(header []byte) (delivery.Signature, error) {
	if !s.anybody && !bytes.Contains(header, []byte("From: Mail Delivery System")) {
		return nil, nil
	}
	fail := func(method string) error {
		if method == s.panics && !s.done.Swap(true) {
			panic("out of ink")
		}
		return nil
	}
	return &signer{fail: fail}, fail("Sign")
}

// A Signer that panics while a report is composed costs time, neither the report nor its signature.
func TestSignerPanicsAtReport(t *testing.T) {
	for _, method := range []string{"Sign", "Write", "Fields"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.plainHost("mx.a.example", "a.example")
				home := w.host("mx.home.example", nil, "home.example")
				w.config.Signer = &stamp{panics: method}
				w.start()
				id := w.enqueue("bad@a.example", "ann@a.example")
				w.settle(time.Second)
				w.wantStates(id, "ann@a.example delivered", "bad@a.example failed")
				if trouble := observed[delivery.Trouble](w); len(trouble) != 1 || !strings.Contains(trouble[0].Err.Error(), "out of ink") {
					t.Errorf("the trouble is %v", trouble)
				}
				w.settle(2 * time.Hour)
				w.wantStates(id, "ann@a.example delivered", "bad@a.example bounced")
				if text := string(home.wantTaken(t, 1)[0].Data); !strings.HasPrefix(text, "X-Signature: s\r\nFrom: ") {
					t.Errorf("the report is %s", text)
				}
			})
		})
	}
}

// All that goes through a smarthost which refuses the null sender is signed, the report about a lost report too, and each reverse-path
// of a recipient's own gets its report.
func TestReportsThroughASmarthost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.suppress("out@a.example")
		s.add("off@a.example", "unsubscribed")
		w.config.Signer, w.config.Postmaster = &stamp{anybody: true}, postmaster
		h := w.host("smarthost.example", func(c smtptest.Command) string {
			switch {
			case c.Verb == "MAIL" && c.Address == "":
				return "550 5.7.1 who are you?"
			case c.Verb == "RCPT" && (strings.HasPrefix(c.Address, "bad") || strings.HasPrefix(c.Address, "bounces+gone")):
				return "550 5.1.1 no such user"
			}
			return ""
		})
		h.Host.NullSender = "reports@home.example"
		for _, domain := range []string{"a.example", "home.example", "office.example"} {
			w.reroute(domain, h)
		}
		w.start()
		m := letter("bounces@home.example", delivery.To("ann@a.example", "bad@a.example", "out@a.example", "off@a.example", "bad2@a.example")...)
		for i, name := range []string{"ann", "bad", "out", "off", "gone"} {
			m.To[i].From = "bounces+" + name + "@home.example"
		}
		id := w.send(m)
		w.settle(time.Hour)
		w.wantStates(id, "ann@a.example delivered", "bad2@a.example bounced", "bad@a.example bounced", "off@a.example bounced", "out@a.example bounced")
		about := make(map[string]string) // by reader
		for _, m := range h.wantTaken(t, 5) {
			if !strings.HasPrefix(string(m.Data), "X-Signature: s\r\n") || len(m.To) != 1 {
				t.Errorf("to %v: %s", m.To, m.Data)
			}
			if m.To[0].Address == "ann@a.example" {
				if m.From != "bounces+ann@home.example" {
					t.Errorf("Ann has mail from %s", m.From)
				}
				continue
			}
			r, err := dsn.Parse(bytes.NewReader(m.Data))
			if err != nil || m.From != "reports@home.example" || m.To[0].Params != "NOTIFY=NEVER" || len(r.Recipients) != 1 {
				t.Fatalf("from %s to %v, %v: %s", m.From, m.To, err, m.Data)
			}
			about[m.To[0].Address] = r.Recipients[0].Final + " " + r.Recipients[0].Status
		}
		want := map[string]string{
			"bounces+bad@home.example": "bad@a.example 5.1.1",
			"bounces+out@home.example": "out@a.example 5.7.1",
			"bounces+off@home.example": "off@a.example 5.7.1",
			postmaster:                 "bounces+gone@home.example 5.1.1",
		}
		if !maps.Equal(about, want) {
			t.Errorf("the reports are %v, want %v", about, want)
		}
		st := w.stats()
		if st.Bounced.Total != 5 || st.Failed.Total != 3 || st.Delivered.Total != 5 {
			t.Errorf("counted %+v bounced, %+v failed, %+v delivered", st.Bounced, st.Failed, st.Delivered)
		}
		if list, _ := w.outcomes(0); len(list) != 10 {
			t.Errorf("the outcomes are %q", list)
		}
	})
}
