package pgqueue_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

var killRounds = flag.Int("kill.rounds", 20, "how many processes TestKill kills")

const (
	killLives    = 4               // processes at once
	lifeMessages = 60              // that each of them begins to enqueue, or to give up
	roundMail    = 10              // messages that the test enqueues before each kill
	killPatience = 3 * time.Minute // what takes longer is stuck
	// heirTime is when the test says farewell for a process that it has killed, as whoever supervises it might: the queue alone takes
	// three quarters of a minute to notice, and that is left to it for the first few of each 20.
	heirTime    = 5 * time.Second
	silentOf20  = 3
	longestWait = 90 * time.Second // what was held in silence is free within a minute; then there is a beat to come
)

// Four processes send from one queue. One after the other is killed, at a moment drawn by lot or by itself, right after it has committed
// an order with its mail, and another one takes its place. When the queue is empty in the end, these are the claims.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	url := pgtest.Database(t)
	w := newKillWorld(t, url)
	began := time.Now()
	for range killLives {
		w.start(t)
	}
	for n := 1; n <= *killRounds; n++ {
		w.enqueue(t, n)
		w.release(t)
		time.Sleep(300*time.Millisecond + rand.N(2200*time.Millisecond))
		p := w.living[rand.IntN(len(w.living))]
		w.kill(t, p, n%4 == 0)
		if (n-1)%20 >= silentOf20 {
			w.inherit(t.Context(), p)
		}
		w.start(t)
	}
	w.awaitEmpty(t)
	w.end(t)
	e := &evidence{killWorld: w, jobs: readJobs(t, w.queue), orders: readOrders(t, w)}
	for _, c := range []struct {
		claim  string
		broken []string
	}{
		{"an acknowledged message is delivered", e.lost()},
		{"the mail of an order is stored if the order is, and else it isn't", e.divided()},
		{"nothing arrives that was not stored", e.unknown()},
		{"in the end each message is delivered, as far as the queue knows", e.unfinished()},
		{"a second copy follows a kill that came between the final dot and the commit", e.duplicates()},
		{fmt.Sprintf("a site never sees more than its %d connections", cappedAt), e.crowded()},
		{fmt.Sprintf("no site with waiting mail goes without a delivery for %v", longestWait), e.starved()},
	} {
		if len(c.broken) > 0 {
			t.Errorf("not true: %s\n\t%s", c.claim, strings.Join(c.broken[:min(len(c.broken), 10)], "\n\t"))
		}
	}
	t.Logf("in %v: %s", time.Since(began).Round(time.Second), e)
}

// enqueue is what the test itself has to send: it is one of those who have the queue open, and runs no Sender.
func (w *killWorld) enqueue(t *testing.T, round int) {
	t.Helper()
	for n := range roundMail {
		m := killMail{name: fmt.Sprintf("0-%d-%d", round, n), domain: anyDomain()}
		if _, err := w.sender.Enqueue(t.Context(), m.message()); err != nil {
			t.Fatal(err)
		}
		w.enqueued(m)
	}
}

// kill kills a process, or has it do so itself as soon as it has committed an order.
func (w *killWorld) kill(t *testing.T, p *process, ordering bool) {
	t.Helper()
	last := killMail{name: fmt.Sprintf("%d-last", p.number), domain: anyDomain()}
	if ordering {
		fmt.Fprintln(p.in, last.name, last.domain)
	} else {
		p.cmd.Process.Kill() // if it has ended before, that is noticed
	}
	p.await(t)
	if p.cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("life %d was not killed: %v\n%s", p.number, p.err, &p.complaints)
	}
	w.buried(p)
	w.listen(p)
	if ordering {
		w.enqueued(last)
	}
}

// inherit gives what a dead process had to the others, a while after its death.
func (w *killWorld) inherit(ctx context.Context, p *process) {
	w.heirs.Go(func() {
		select {
		case <-time.After(heirTime):
		case <-ctx.Done():
			return
		}
		if p.holder == "" {
			return // it had nothing
		}
		if _, err := w.queue.Beat(ctx, p.holder, time.Millisecond, nil); err != nil {
			w.complain(err)
		}
	})
}

// awaitEmpty returns when no process has anything to enqueue, and no job is unfinished.
func (w *killWorld) awaitEmpty(t *testing.T) {
	t.Helper()
	stuck := time.Now().Add(killPatience)
	for _, p := range w.living {
		select {
		case <-p.enqueued:
		case <-p.over:
			t.Fatalf("life %d has ended: %v\n%s", p.number, p.err, &p.complaints)
		case <-time.After(time.Until(stuck)):
			t.Fatalf("life %d doesn't come to enqueue all it has", p.number)
		}
	}
	for left := w.release(t); len(left) > 0; left = w.release(t) {
		if time.Now().After(stuck) {
			for _, j := range left {
				t.Errorf("%s is left: held %v, due %v, leased %v, %d tries, %d lapses", j.Key, j.Held, j.Due, j.Leased, j.Tries, j.Lapses)
			}
			return
		}
		time.Sleep(250 * time.Millisecond)
	}
}

// release lets those jobs go on that are held, and returns all that are unfinished. A job that kill after kill has met is held: it
// could be what ends the process. Here it never is.
func (w *killWorld) release(t *testing.T) (unfinished []*queue.Job) {
	t.Helper()
	for j, err := range w.queue.Jobs(t.Context(), queue.Filter{Unfinished: true}) {
		must(t, err)
		unfinished = append(unfinished, j)
		if j.Held {
			w.released++
			_, err := w.sender.Release(t.Context(), delivery.Selector{ID: j.Key.ID})
			must(t, err)
		}
	}
	return unfinished
}

// end has the processes end in order.
func (w *killWorld) end(t *testing.T) {
	t.Helper()
	for _, p := range w.living {
		must(t, p.in.Close())
	}
	for _, p := range w.living {
		if p.await(t); p.err != nil {
			t.Errorf("life %d: %v", p.number, p.err)
		}
		w.listen(p)
	}
	w.heirs.Wait()
	w.close()
}
