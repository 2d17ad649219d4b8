package pgqueue_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

// Finished messages go when their time is over, with all that belongs to them; others stay.
func testPurge(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	schema := pgtest.Schema(t, url)
	q := open(t, pool, pgqueue.Options{Schema: schema, Retention: time.Hour})
	finish := func(id string, at time.Time) {
		e := ended(id)
		e.Jobs[0].Finished = at
		_, err := q.Enqueue(t.Context(), e)
		must(t, err)
	}
	for i := range 250 {
		finish(fmt.Sprintf("old-%03d", i), time.Now().Add(-2*time.Hour))
	}
	large := ended("old-large") // whose body nobody is ever going to read
	large.Body, large.Jobs[0].Finished = io.LimitReader(zeros{}, 600_000), time.Now().Add(-2*time.Hour)
	_, err := q.Enqueue(t.Context(), large)
	must(t, err)
	finish("new", time.Now())
	_, err = q.Enqueue(t.Context(), entry("waiting", []byte("Hello!"), "a.example"))
	must(t, err)
	for _, want := range []int{200, 51, 0} {
		if n, err := q.Purge(t.Context()); err != nil || n != want {
			t.Fatalf("Purge: %d, %v, want %d", n, err, want)
		}
	}
	want(t, list(t, q, queue.Filter{}), "[new/0 waiting/0]", "what is stored")
	want(t, count(t, pool, schema, "messages", "jobs", "ended", "chunks"), "2 2 1 1", "rows")

	forever := open(t, pool, pgqueue.Options{Schema: schema, Retention: -1})
	finish("old", time.Now().Add(-1000*time.Hour))
	if n, err := forever.Purge(t.Context()); err != nil || n != 0 {
		t.Fatalf("Purge of a queue that keeps all: %d, %v", n, err)
	}
}

// What a crash leaves of a body that was written ahead is swept, and a body that fails leaves nothing.
func testDrafts(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	schema := pgtest.Schema(t, url)
	q := open(t, pool, pgqueue.Options{Schema: schema})
	broken := errors.New("the body broke")
	e := entry("a", nil, "a.example")
	e.Body = io.MultiReader(io.LimitReader(zeros{}, 600_000), iotest.ErrReader(broken))
	if _, err := q.Enqueue(t.Context(), e); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	want(t, count(t, pool, schema, "drafts", "chunks"), "0 0", "rows after a body has failed")

	e = entry("a", nil, "a.example")
	e.Body = io.MultiReader(io.LimitReader(zeros{}, 600_000), reads(func() {
		_, err := pool.Exec(t.Context(), "UPDATE "+pgx.Identifier{schema, "drafts"}.Sanitize()+" SET touched = touched - interval '25 hours'")
		must(t, err)
		_, err = q.Purge(t.Context())
		must(t, err)
		want(t, count(t, pool, schema, "drafts", "chunks"), "0 0", "rows after a sweep")
	}))
	if added, err := q.Enqueue(t.Context(), e); err == nil || added {
		t.Fatalf("Enqueue of a body whose beginning was swept away: %v, %v", added, err)
	}
	want(t, count(t, pool, schema, "messages", "drafts", "chunks"), "0 0 0", "rows after that")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// reads is a reader at its end that does something first.
type reads func()

func (f reads) Read([]byte) (int, error) { f(); return 0, io.EOF }

// Under load there are far fewer notifications than messages.
func testNotifications(t *testing.T, url string) {
	schema := pgtest.Schema(t, url)
	c, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer c.Close(t.Context())
	_, err = c.Exec(t.Context(), "LISTEN "+pgx.Identifier{schema}.Sanitize())
	must(t, err)
	q := open(t, pgtest.Pool(t, url), pgqueue.Options{Schema: schema})
	const messages = 400
	began := time.Now()
	for i := range messages {
		_, err := q.Enqueue(t.Context(), entry(fmt.Sprint(i), nil, "a.example"))
		must(t, err)
	}
	pauses := int(time.Since(began) / (100 * time.Millisecond))
	_, err = c.WaitForNotification(t.Context())
	must(t, err)
	q.Close()
	n := 1
	_, err = c.Exec(t.Context(), "SELECT pg_notify($1, 'end')", schema)
	must(t, err)
	for ; ; n++ {
		note, err := c.WaitForNotification(t.Context())
		must(t, err)
		if note.Payload == "end" {
			break
		}
	}
	if n > 2+pauses {
		t.Errorf("%d notifications for %d messages in %d pauses", n, messages, pauses)
	}
}

// When the connection that listens is cut there is soon another.
func testListenAgain(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	config := pool.Config().ConnConfig.Copy()
	config.RuntimeParams["application_name"] = "listener"
	q := open(t, pool, pgqueue.Options{Schema: pgtest.Schema(t, url), Poll: time.Hour, Listen: config})
	other := open(t, pool, pgqueue.Options{Schema: pgqueue.SchemaOf(q)})
	wakes := q.Wake(t.Context())
	for i := range 3 {
		<-wakes // it listens now
		_, err := other.Enqueue(t.Context(), entry(fmt.Sprint(i), nil, "a.example"))
		must(t, err)
		<-wakes
		_, err = pool.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'listener'")
		must(t, err)
	}
}

// What the database couldn't hold is in no job, and no error.
func testHostile(t *testing.T, url string) {
	q := open(t, pgtest.Pool(t, url), pgqueue.Options{Schema: pgtest.Schema(t, url)})
	_, err := q.Enqueue(t.Context(), entry("a", nil, "a.example"))
	must(t, err)
	for _, s := range []string{"\x00", "\xff", "'; DROP TABLE jobs; --", `"]`, "%", `\u0000`} {
		for _, f := range []queue.Filter{
			{ID: queue.ID(s)}, {Domain: s}, {Tenant: s}, {Sender: s}, {Recipient: s}, {Label: s}, {Domain: s, Heads: true}, {Label: s, Ended: true},
		} {
			want(t, list(t, q, f), "[]", fmt.Sprintf("jobs with %+q", s))
		}
		if _, err := q.Open(t.Context(), queue.ID(s)); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Open of %q: %v", s, err)
		}
		c, err := q.Claim(t.Context(), queue.ClaimRequest{Now: start, Lease: 1, Limit: 9, Keys: []queue.Key{{ID: queue.ID(s)}, {ID: "b", N: 1 << 40}}})
		if err != nil || len(c.Jobs) != 0 {
			t.Errorf("Claim of %q: %d jobs, %v", s, len(c.Jobs), err)
		}
		c, err = q.Claim(t.Context(), queue.ClaimRequest{Now: start, Lease: 1, Limit: 9, Take: []queue.Take{{Lane: queue.Lane{Domain: s}, N: 1}}})
		if err != nil || len(c.Jobs) != 0 {
			t.Errorf("Claim of lane %q: %d jobs, %v", s, len(c.Jobs), err)
		}
		e := entry("a", nil, "a.example")
		e.Jobs[0].Key.ID, e.Jobs[0].Token = queue.ID(s), 1<<63+7
		if err := q.Commit(t.Context(), e.Jobs[0]); !errors.Is(err, queue.ErrLeaseLost) {
			t.Errorf("Commit of %q: %v", s, err)
		}
	}
	for _, year := range []int{-1, 0, 10_000} {
		e := entry("b", nil, "a.example")
		e.Message.Expires = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		if _, err := q.Enqueue(t.Context(), e); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("Enqueue of what expires in the year %d: %v", year, err)
		}
		if _, err := q.Claim(t.Context(), queue.ClaimRequest{Now: e.Message.Expires, Lease: 1}); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("Claim in the year %d: %v", year, err)
		}
	}
}
