package boltqueue

import (
	"context"
	"io"
	"runtime"
	"testing"

	"github.com/postroad/postroad/queue"
)

// A large message passes through in pieces, in and out.
func TestLargeBodyMemory(t *testing.T) {
	const size, limit = 25 << 20, 2 << 20
	q := mustOpen(t, newPath(t), Options{})
	for range 3 {
		runtime.GC() // pools keep what they have for a while
	}
	base := heapInUse()
	var peak uint64
	measured := func(r io.Reader) io.Reader {
		n := 0
		return readFunc(func(p []byte) (int, error) {
			if n++; n%100 == 0 {
				peak = max(peak, heapInUse())
			}
			return r.Read(p)
		})
	}
	mustEnqueue(t, q, message("large", measured(random(1, size)), "example.com"))
	if peak > base+limit {
		t.Errorf("the heap grew by %d KiB on the way in", (peak-base)>>10)
	}
	t.Logf("in: %d KiB", (int64(peak)-int64(base))>>10)
	r, err := q.Open(context.Background(), "large")
	if err != nil {
		t.Fatal(err)
	}
	peak = 0
	if n, err := io.Copy(struct{ io.Writer }{io.Discard}, measured(r)); n != size || err != nil {
		t.Fatalf("%d octets came out, error %v", n, err)
	}
	t.Logf("out: %d KiB", (int64(peak)-int64(base))>>10)
	if peak > base+limit {
		t.Errorf("the heap grew by %d KiB on the way out", (peak-base)>>10)
	}
	checkBody(t, q, "large", random(1, size))
}

// EnqueueAll holds what fills two transactions, and no more.
func TestEnqueueAllMemory(t *testing.T) {
	const limit = 20 << 20
	q := mustOpen(t, newPath(t), Options{})
	base, peak := heapInUse(), uint64(0)
	if _, err := q.EnqueueAll(context.Background(), numberedEntries(400, func(i int, _ *queue.Entry) {
		if i%20 == 0 {
			peak = max(peak, heapInUse())
		}
	})); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d KiB", (int64(peak)-int64(base))>>10)
	if peak > base+limit {
		t.Errorf("the heap grew by %d KiB", (peak-base)>>10)
	}
}

// heapInUse is what has not been freed.
func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
