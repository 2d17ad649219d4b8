package pgqueue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// A body that was just stored is read from memory, once, by who has leased a job of it, and by nobody else: the database may know better.
func TestFresh(t *testing.T) {
	pool, q := openInside(t)
	now := time.Now()
	e := &queue.Entry{
		Message: queue.Message{ID: "a", Enqueued: now, Expires: now.Add(time.Hour)},
		Jobs:    []*queue.Job{{Key: queue.Key{ID: "a"}, Domain: "a.example", Due: now, Recipients: []queue.Recipient{{Address: "a@a.example"}}}},
		Head:    func() ([]byte, error) { return []byte("Subject: Hello\r\n\r\n"), nil },
		Body:    strings.NewReader("stored\r\n"),
	}
	if _, err := q.Enqueue(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), in(q.schema, "UPDATE postroad.chunks SET octets = 'Subject: Hello\r\n\r\nedited\r\n'")); err != nil {
		t.Fatal(err)
	}
	body := func(want string) {
		t.Helper()
		r, err := q.Open(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if b, err := io.ReadAll(r); err != nil || string(b) != "Subject: Hello\r\n\r\n"+want+"\r\n" {
			t.Fatalf("%q, %v, want %s", b, err, want)
		}
	}
	claim := func() *queue.Job {
		t.Helper()
		c, err := q.Claim(t.Context(), queue.ClaimRequest{Now: now.Add(time.Second), Lease: time.Hour, Limit: 1})
		if err != nil || len(c.Jobs) != 1 {
			t.Fatal(c.Jobs, err)
		}
		return c.Jobs[0]
	}
	body("edited") // nobody has leased it
	j := claim()
	body("stored")
	body("edited")

	q.fresh.add(&prepared{message: messageRow{ID: "a"}, octets: []byte("x"), due: true}, now)
	if err := q.Commit(t.Context(), j); err != nil { // given back
		t.Fatal(err)
	}
	j = claim()
	body("edited")
	j.Finished, j.Recipients[0].State = now, queue.Delivered
	if err := q.Commit(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Open(t.Context(), "a"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("the body of a finished message: %v", err)
	}
}

// What is kept is bounded, and what nobody claims makes room.
func TestFreshBounds(t *testing.T) {
	f := &fresh{}
	now := time.Now()
	message := func(n int) *prepared {
		return &prepared{message: messageRow{ID: queue.ID(fmt.Sprint(n))}, octets: bytes.Repeat([]byte{'x'}, 1<<20), due: true}
	}
	for n := range 100 {
		f.add(message(n), now)
	}
	if len(f.bodies) != maxFresh>>20 || f.size != maxFresh || f.bodies["0"] == nil {
		t.Errorf("%d bodies, %d octets", len(f.bodies), f.size)
	}
	f.lend([]*queue.Job{{Key: queue.Key{ID: "1"}}})
	found := func(id queue.ID, now time.Time) bool {
		_, _, found := f.take(id, now)
		return found
	}
	if found("0", now) || found("1", now.Add(freshTime+1)) || !found("1", now) || found("1", now) {
		t.Error("a body is not lent once, and for a while, to who has a lease")
	}
	f.forget("2")
	for n := range 2 {
		f.add(message(200+n), now)
	}
	for n := range 100 {
		f.add(message(300+n), now.Add(freshTime+1))
	}
	if f.bodies["3"] != nil || f.bodies["300"] == nil || f.size != maxFresh || len(f.order) > maxFresh>>20 {
		t.Errorf("%d bodies in %d places, %d octets", len(f.bodies), len(f.order), f.size)
	}
	f = &fresh{} // of which nobody claims the first message, and all others are claimed at once
	for n := range 1000 {
		f.add(message(n), now.Add(time.Duration(n)*freshTime/10))
		if n > 0 {
			f.forget(queue.ID(fmt.Sprint(n)))
		}
	}
	if len(f.order) > 12 {
		t.Errorf("%d messages are remembered that are not there", len(f.order))
	}
	f.add(&prepared{message: messageRow{ID: "later"}, octets: []byte("x")}, now.Add(time.Hour))
	if f.bodies["later"] != nil {
		t.Error("what isn't due is kept")
	}
}
