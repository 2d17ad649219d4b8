package pgqueue_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

// hostTx is a transaction of the host program, by one library or the other.
type hostTx struct {
	enqueue          func(*queue.Entry) (bool, error)
	exec             func(statement string) error
	commit, rollback func() error
}

func pgxTx(t *testing.T, pool *pgxpool.Pool, q *pgqueue.Queue) hostTx {
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback(context.Background()) })
	return hostTx{
		func(e *queue.Entry) (bool, error) { return q.EnqueueTx(t.Context(), tx, e) },
		func(s string) error { _, err := tx.Exec(t.Context(), s); return err },
		func() error { return tx.Commit(t.Context()) }, func() error { return tx.Rollback(t.Context()) },
	}
}

func sqlTx(t *testing.T, pool *pgxpool.Pool, q *pgqueue.Queue) hostTx {
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { db.Close() })
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback() })
	return hostTx{
		func(e *queue.Entry) (bool, error) { return q.EnqueueSQLTx(t.Context(), tx, e) },
		func(s string) error { _, err := tx.ExecContext(t.Context(), s); return err },
		tx.Commit, tx.Rollback,
	}
}

// An order and its mail commit together, or not at all.
func testEnqueueTx(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	for name, begin := range map[string]func(*testing.T, *pgxpool.Pool, *pgqueue.Queue) hostTx{"pgx": pgxTx, "sql": sqlTx} {
		t.Run(name, func(t *testing.T) {
			schema := pgtest.Schema(t, url)
			q := open(t, pool, pgqueue.Options{Schema: schema})
			orders := pgx.Identifier{schema, "orders"}.Sanitize()
			if _, err := pool.Exec(t.Context(), "CREATE TABLE "+orders+" (id text)"); err != nil {
				t.Fatal(err)
			}
			large := bytes.Repeat([]byte("a line of a large body\r\n"), 50_000)

			tx := begin(t, pool, q)
			must(t, tx.exec("INSERT INTO "+orders+" VALUES ('first')"))
			for id, body := range map[string][]byte{"small": []byte("Hello!"), "large": large} {
				if added, err := tx.enqueue(entry(id, body, "a.example", "b.example")); err != nil || !added {
					t.Fatal(added, err)
				}
			}
			want(t, list(t, q, queue.Filter{}), "[]", "before the commit")
			must(t, tx.rollback())
			want(t, list(t, q, queue.Filter{}), "[]", "after a rollback")
			want(t, count(t, pool, schema, "messages", "jobs", "chunks", "drafts", "orders"), "0 0 0 0 0", "rows after a rollback")

			tx = begin(t, pool, q)
			must(t, tx.exec("INSERT INTO "+orders+" VALUES ('second')"))
			for id, body := range map[string][]byte{"small": []byte("Hello!"), "large": large} {
				if added, err := tx.enqueue(entry(id, body, "a.example")); err != nil || !added {
					t.Fatal(added, err)
				}
			}
			if added, err := tx.enqueue(entry("large", large, "a.example")); err != nil || added {
				t.Fatal(added, err)
			}
			other := entry("small", nil, "a.example")
			other.Message.Digest[0]++
			if _, err := tx.enqueue(other); !errors.Is(err, queue.ErrConflict) {
				t.Fatal(err)
			}
			if _, err := tx.enqueue(&queue.Entry{}); !errors.Is(err, queue.ErrInvalid) {
				t.Fatal(err)
			}
			cut := entry("cut", nil, "a.example")
			cut.Body = iotest.ErrReader(io.ErrUnexpectedEOF)
			if _, err := tx.enqueue(cut); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgqueue.ErrUnavailable) {
				t.Fatal(err)
			}
			must(t, tx.commit()) // none of these has spoilt it
			want(t, list(t, q, queue.Filter{}), "[large/0 small/0]", "after the commit")
			want(t, count(t, pool, schema, "messages", "drafts", "orders"), "2 0 1", "rows after the commit")
			wantBody(t, q, "large", large)
		})
	}
}

// Marks of messages that are enqueued as ended by several calls in one transaction differ.
func testEnqueueTxMarks(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	q := open(t, pool, pgqueue.Options{Schema: pgtest.Schema(t, url)})
	tx := pgxTx(t, pool, q)
	for i := range 3 {
		_, err := tx.enqueue(ended(fmt.Sprint("m", i)))
		must(t, err)
	}
	must(t, tx.commit())
	want(t, list(t, q, queue.Filter{Ended: true}), "[m0/0 m1/0 m2/0]", "what has ended")
}

// ended is a message that was withdrawn before it was enqueued.
func ended(id string) *queue.Entry {
	e := entry(id, nil, "a.example")
	e.Jobs[0].Recipients[0].State, e.Jobs[0].Finished = queue.Withdrawn, start
	return e
}

// Whoever waits in this process or another one is woken by the commit.
func testEnqueueTxWakes(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	q := open(t, pool, pgqueue.Options{Schema: pgtest.Schema(t, url), Poll: time.Hour})
	wakes := q.Wake(t.Context())
	<-wakes // it listens now
	for i := range 3 {
		tx := pgxTx(t, pool, q)
		_, err := tx.enqueue(entry(fmt.Sprint("m", i), nil, "a.example"))
		must(t, err)
		must(t, tx.commit())
		<-wakes
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, got, want, what string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %s, want %s", what, got, want)
	}
}

// list shows the keys of the jobs that match f.
func list(t testing.TB, q queue.Queue, f queue.Filter) string {
	t.Helper()
	keys := []queue.Key{}
	for j, err := range q.Jobs(t.Context(), f) {
		must(t, err)
		keys = append(keys, j.Key)
	}
	return fmt.Sprint(keys)
}

// count shows how many rows tables have.
func count(t testing.TB, pool *pgxpool.Pool, schema string, tables ...string) string {
	t.Helper()
	var counts []any
	for _, table := range tables {
		var n int
		must(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM "+pgx.Identifier{schema, table}.Sanitize()).Scan(&n))
		counts = append(counts, n)
	}
	s := fmt.Sprint(counts)
	return s[1 : len(s)-1]
}
