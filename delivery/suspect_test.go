package delivery_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// crashed opens what a kill would leave of the queue in the file now.
func crashed(t *testing.T, file string, observe func(boltqueue.Event)) (*boltqueue.Queue, string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "mail.db")
	if err := os.WriteFile(copied, b, 0o600); err != nil {
		t.Fatal(err)
	}
	q, err := boltqueue.Open(copied, boltqueue.Options{Observe: observe})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	synctest.Wait() // until what there is to observe was told
	return q, copied
}

// Jobs that were being worked on at two crashes are suspects: they go out one after the other, and other mail beside them. The
// one that was worked on at three more is held, until it is released.
func TestSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		file := filepath.Join(t.TempDir(), "mail.db")
		q, err := boltqueue.Open(file, boltqueue.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		w.queue = q
		w.start()
		w.stop() // it accepts mail all the same
		const suspects = 30
		var domains []string
		for i := range suspects {
			domains = append(domains, fmt.Sprintf("d%02d.example", i))
			w.enqueue("ann@" + domains[i])
			time.Sleep(time.Millisecond) // so they are due in this order
		}
		var poisoned []queue.Key
		for range 5 {
			q, file = crashed(t, file, func(e boltqueue.Event) { poisoned = append(poisoned, e.(boltqueue.Poisoned).Key) })
			_, err := q.Claim(t.Context(), queue.ClaimRequest{Now: time.Now(), Lease: time.Hour, Limit: suspects})
			if err != nil {
				t.Fatal(err)
			}
		}
		q, _ = crashed(t, file, func(e boltqueue.Event) { poisoned = append(poisoned, e.(boltqueue.Poisoned).Key) })
		if len(poisoned) != 1 {
			t.Fatalf("poisoned: %v", poisoned)
		}
		w.queue = q
		w.wantStates(poisoned[0].ID, "ann@d00.example pending")

		h := w.host("mx.example", nil, append(domains[2:], domains[0], "new.example")...)
		slow := w.host("mx.slow.example", func(c smtptest.Command) string {
			if c.Verb == "." {
				time.Sleep(2 * time.Minute)
			}
			return ""
		}, domains[1])
		w.start()
		fresh := w.enqueue("ann@new.example")
		w.settle(time.Second)
		w.wantStates(fresh, "ann@new.example delivered")
		w.settle(3 * time.Minute)
		slow.wantTaken(t, 1)
		h.wantTaken(t, 1+suspects-2)
		if _, err := w.sender.Release(t.Context(), delivery.Selector{ID: poisoned[0].ID}); err != nil {
			t.Fatal(err)
		}
		w.settle(time.Second)
		w.wantStates(poisoned[0].ID, "ann@d00.example delivered")
		w.stop()
	})
}
