package delivery_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

// In flight is what is being sent, by this process or another one, and not what only waits for a connection.
func TestStatusInFlight(t *testing.T) {
	for _, shared := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.host("mx.a.example", slowly, "a.example")
			w.config.Shaping.Default.Connections = 1
			inner := w.queue
			if shared {
				w.queue = &sharedQueue{inner, nil}
			}
			w.start()
			ids := []queue.ID{w.enqueue("ann@a.example"), w.enqueue("ben@a.example")}
			w.settle(time.Second)
			inFlight := func(s *delivery.Sender) (n int) {
				for _, id := range ids {
					st, err := s.Status(context.Background(), id)
					if err != nil {
						t.Fatal(err)
					}
					if st.Jobs[0].InFlight {
						n++
					}
				}
				return n
			}
			for _, id := range ids {
				if !w.jobs(id)[0].Leased.After(time.Now()) {
					t.Errorf("%s isn't leased", id)
				}
			}
			if n := inFlight(w.sender); n != 1 {
				t.Errorf("%d are in flight (shared: %v)", n, shared)
			}
			other, err := delivery.New(&sharedQueue{inner, nil}, w.config)
			if err != nil {
				t.Fatal(err)
			}
			if n := inFlight(other); n != 2 {
				t.Errorf("for another process, which can't tell more, %d are in flight", n)
			}
			w.settle(time.Hour)
			if n := inFlight(w.sender); n != 0 {
				t.Errorf("in the end, %d are in flight", n)
			}
		})
	}
}
