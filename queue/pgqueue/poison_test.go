package pgqueue_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

const poisonDomain = "poison.example"

// A message that kills the process whenever its dialogue begins is held in the end, and no other is, although the first deaths count
// against all that was under way.
func TestPoison(t *testing.T) {
	if testing.Short() {
		t.Skip("starts several processes")
	}
	w := newKillWorld(t, pgtest.Database(t))
	var living atomic.Pointer[process]
	poison := smtptest.NewServer(func(c smtptest.Command) string {
		if c.Verb == "MAIL" {
			living.Load().cmd.Process.Kill()
			return smtptest.Stall
		}
		return ""
	})
	t.Cleanup(poison.Close)
	w.hosts[poisonDomain] = netip.MustParseAddrPort(poison.Addr)
	if _, err := w.sender.Enqueue(t.Context(), killMail{"poison", poisonDomain}.message()); err != nil {
		t.Fatal(err)
	}
	deaths := 0
	for ; ; deaths++ {
		w.enqueue(t, deaths)
		w.start(t)
		p := w.living[0]
		living.Store(p)
		if w.survives(t, p) {
			break
		}
		w.buried(p)
		if p.holder == "" {
			t.Fatalf("life %d has ended before it had any mail: %v\n%s", p.number, p.err, &p.complaints)
		}
		if _, err := w.queue.Beat(t.Context(), p.holder, time.Millisecond, nil); err != nil {
			t.Fatal(err)
		}
	}
	if deaths > 5 {
		t.Errorf("it took %d deaths", deaths)
	}
	w.end(t)
}

// survives returns true when nothing is left but what is held, and false when the process has ended before.
func (w *killWorld) survives(t *testing.T, p *process) bool {
	t.Helper()
	for stuck := time.After(killPatience); ; {
		select {
		case <-p.over:
			return false
		case <-stuck:
			t.Fatalf("life %d comes to no end", p.number)
		case <-time.After(100 * time.Millisecond):
		}
		select {
		case <-p.enqueued:
		default:
			continue
		}
		left := 0
		for j, err := range w.queue.Jobs(t.Context(), queue.Filter{Unfinished: true}) {
			must(t, err)
			switch {
			case !j.Held:
				left++
			case nameOf(j.Message.From) != "poison":
				t.Fatalf("%s is held", nameOf(j.Message.From))
			}
		}
		if left == 0 {
			return true
		}
	}
}
