package delivery_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// When Run ends, a dialogue past DATA may finish, one before it is broken off, and what was broken off counts as not tried.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		slow := func(verb string, d time.Duration) func(smtptest.Command) string {
			return func(c smtptest.Command) string {
				if c.Verb == verb {
					time.Sleep(d)
				}
				return ""
			}
		}
		data := w.host("mx.data.example", slow(".", 20*time.Second), "data.example")
		early := w.serve(&smtptest.Server{
			Name: "mx.early.example", Extensions: []string{"PIPELINING"}, Reply: slow("MAIL", 20*time.Second),
		}, "early.example")
		whole := w.host("mx.whole.example", slow("MAIL", 20*time.Second), "whole.example") // gets all at once
		w.start()
		finishes := w.enqueue("ann@data.example")
		inFlight := w.enqueue("ann@whole.example")
		waits := w.enqueue("ann@early.example")
		w.settle(time.Second)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took < 18*time.Second || took > 30*time.Second {
			t.Errorf("Run took %v to end", took)
		}
		data.wantTaken(t, 1)
		whole.wantTaken(t, 1)
		early.wantTaken(t, 0)
		w.wantStates(finishes, "ann@data.example delivered")
		w.wantStates(inFlight, "ann@whole.example delivered")
		w.wantStates(waits, "ann@early.example pending")
		j := w.jobs(waits)[0]
		if j.Tries != 0 || len(j.Attempts) != 0 || !j.Leased.IsZero() {
			t.Errorf("what was broken off is not as it was: %+v", j)
		}
		w.settle(time.Minute) // the server's end of the broken connection
		w.start()
		w.settle(time.Minute)
		w.wantStates(waits, "ann@early.example delivered")
	})
}

func TestDrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", func(c smtptest.Command) string {
			if c.Verb == "." {
				return smtptest.Stall
			}
			return ""
		}, "a.example")
		w.config.DrainTimeout = 3 * time.Second
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("Run took %v to end", took)
		}
		if j := w.jobs(id)[0]; !j.Recipients[0].Uncertain || !j.Leased.IsZero() {
			t.Errorf("an answer that was not waited for is uncertain: %+v", j)
		}
	})
}

// A dialogue that Run's end breaks off while the message is being opened counts as not tried.
func TestDrainWhileOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue = &hookedQueue{Queue: w.queue, open: func(ctx context.Context, _ queue.ID) (io.ReadCloser, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		w.host("mx.a.example", nil, "a.example")
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		w.stop()
		if j := w.jobs(id)[0]; j.Tries != 0 || len(j.Attempts) != 0 || !j.Leased.IsZero() {
			t.Errorf("what was broken off is not as it was: %+v", j)
		}
	})
}
