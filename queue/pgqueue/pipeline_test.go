package pgqueue_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

// To enqueue takes memory for the body once, and not much more.
func testGarbage(t *testing.T, url string) {
	q := open(t, pgtest.Pool(t, url), pgqueue.Options{Schema: pgtest.Schema(t, url), PollOnly: true})
	const messages, size = 200, 60_000
	body := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	var before, after runtime.MemStats
	for i := range 2 * messages {
		if i == messages {
			runtime.ReadMemStats(&before)
		}
		_, err := q.Enqueue(t.Context(), entry(fmt.Sprint(i), body, "a.example"))
		must(t, err)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / messages; each > 9*size/4 {
		t.Errorf("a message of %d octets takes %d of memory", size, each)
	}
}
