package boltqueue

import (
	"testing"
	"testing/synctest"
	"time"
)

// After a transaction of several the writer rests until as many wait again, or for as long as it took, but never long.
func TestWriterRests(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name    string
		waiting int // already
		come    int // one each 100 µs
		took    time.Duration
		want    time.Duration
	}{
		{"as many wait", 3, 0, ms, 0},
		{"as many come", 1, 2, ms, 200 * time.Microsecond},
		{"fewer come", 1, 1, ms, ms},
		{"nobody comes", 0, 0, ms / 2, ms / 2},
		{"a slow disk", 0, 2, time.Second, maxRest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &Queue{wake: make(chan struct{}, 1), closing: make(chan struct{})}
				enter := func() {
					if err := q.enter(&member{}); err != nil {
						t.Error(err)
					}
				}
				for range tt.waiting {
					enter()
				}
				began := time.Now()
				go func() {
					for range tt.come {
						time.Sleep(100 * time.Microsecond)
						enter()
					}
				}()
				q.rest(3, tt.took)
				if took := time.Since(began); took != tt.want {
					t.Errorf("rests for %v, want %v", took, tt.want)
				}
				time.Sleep(time.Second)
				if n := len(q.nextGroup()); n != tt.waiting+tt.come {
					t.Errorf("%d in the next group, want %d", n, tt.waiting+tt.come)
				}
				enter()
				select {
				case <-q.wake:
				default:
					t.Error("after the rest nobody wakes the writer")
				}
			})
		})
	}
}

// Close ends a rest.
func TestCloseEndsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &Queue{wake: make(chan struct{}, 1), closing: make(chan struct{})}
		close(q.closing)
		began := time.Now()
		if q.rest(2, time.Second); time.Since(began) != 0 {
			t.Errorf("rests for %v", time.Since(began))
		}
	})
}
