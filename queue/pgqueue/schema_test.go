package pgqueue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

func testSchemaNames(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	for _, name := range []string{
		`a"b`, "a.b", "a b", "a;b", "a'b", "a\x00b", "pg_mail", "information_schema", "1a", "-a", "ä", strings.Repeat("a", 64), "a\n", "$1",
	} {
		if _, err := pgqueue.Open(t.Context(), pool, pgqueue.Options{Schema: name}); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("Open with schema %q: %v", name, err)
		}
	}
	for _, name := range []string{"Mail-Out", "select", "_" + strings.Repeat("a", 62)} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { pool.Exec(context.Background(), "DROP SCHEMA "+pgx.Identifier{name}.Sanitize()+" CASCADE") })
			q := open(t, pool, pgqueue.Options{Schema: name})
			if _, err := q.Enqueue(t.Context(), entry("a", nil, "a.example")); err != nil {
				t.Fatal(err)
			}
			want(t, list(t, q, queue.Filter{}), "[a/0]", "what is stored")
		})
	}
}

// However many processes open a queue at once for the first time, one creates it.
func testOpenConcurrently(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	schema := pgtest.Schema(t, url)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			q, err := pgqueue.Open(t.Context(), pool, pgqueue.Options{Schema: schema})
			if err != nil {
				t.Error(err)
				return
			}
			q.Close()
		})
	}
	wg.Wait()
	want(t, count(t, pool, schema, "version"), "1", "rows of version")
}

// A schema of a newer version is refused by name, and nothing is changed.
func testOpenNewer(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	schema := pgtest.Schema(t, url)
	open(t, pool, pgqueue.Options{Schema: schema}).Close()
	if _, err := pool.Exec(t.Context(), "UPDATE "+pgx.Identifier{schema, "version"}.Sanitize()+" SET version = 1000"); err != nil {
		t.Fatal(err)
	}
	_, err := pgqueue.Open(t.Context(), pool, pgqueue.Options{Schema: schema})
	if !errors.Is(err, queue.ErrVersion) || !strings.Contains(err.Error(), schema) || !strings.Contains(err.Error(), "1000") {
		t.Fatalf("%v, want ErrVersion, with the schema's name and version", err)
	}
}

// A queue of the first version is brought up to date, and what it has stays as it was.
func testMigrated(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	schema := pgtest.Schema(t, url)
	q := open(t, pool, pgqueue.Options{Schema: schema})
	body := []byte(strings.Repeat("Subject: hello\r\n", 1000))
	_, err := q.Enqueue(t.Context(), entry("a", body, "a.example"))
	must(t, err)
	must(t, q.Close())
	exec := func(sql string) {
		t.Helper()
		_, err := pool.Exec(t.Context(), strings.ReplaceAll(sql, "postroad.", pgx.Identifier{schema}.Sanitize()+"."))
		must(t, err)
	}
	exec("ALTER TABLE postroad.chunks ALTER COLUMN octets SET STORAGE PLAIN")
	exec("DROP TYPE postroad.given_message, postroad.given_job, postroad.outcome")
	exec("UPDATE postroad.version SET version = 1")
	pool.Reset()
	open(t, pool, pgqueue.Options{Schema: schema}).Close()
	q = open(t, pool, pgqueue.Options{Schema: schema})
	wantBody(t, q, "a", body)
	_, err = q.Enqueue(t.Context(), entry("b", body, "a.example"))
	must(t, err)
	wantBody(t, q, "b", body)
	if stored := sizeOf(t, pool, schema); hasLZ4(t, pool) && stored > len(body) {
		t.Errorf("two bodies of %d octets take %d", len(body), stored)
	}
}

// Text takes less room where the server has LZ4, and what can't be compressed is in the same table as it is.
func testCompressed(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	for name, c := range map[string]struct {
		body    []byte
		smaller bool
	}{
		"text":   {[]byte(strings.Repeat("The quick brown fox jumps over the lazy dog.\r\n", 500)), hasLZ4(t, pool)},
		"random": {random(23_500), false},
	} {
		t.Run(name, func(t *testing.T) {
			schema := pgtest.Schema(t, url)
			q := open(t, pool, pgqueue.Options{Schema: schema})
			_, err := q.Enqueue(t.Context(), entry("a", c.body, "a.example"))
			must(t, err)
			wantBody(t, q, "a", c.body)
			wantBody(t, open(t, pool, pgqueue.Options{Schema: schema}), "a", c.body)
			if stored := sizeOf(t, pool, schema); (stored < len(c.body)/5) != c.smaller || stored > len(c.body)+100 {
				t.Errorf("%d octets are stored as %d", len(c.body), stored)
			}
			var aside int
			must(t, pool.QueryRow(t.Context(), `SELECT coalesce(pg_relation_size(nullif(reltoastrelid, 0)), 0) FROM pg_class
				WHERE oid = $1::regclass`, pgx.Identifier{schema, "chunks"}.Sanitize()).Scan(&aside))
			if aside > 0 {
				t.Errorf("%d octets are in the table for TOAST", aside)
			}
		})
	}
}

// random is what can't be compressed.
func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

func wantBody(t *testing.T, q *pgqueue.Queue, id queue.ID, want []byte) {
	t.Helper()
	r, err := q.Open(t.Context(), id)
	must(t, err)
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the body of %s is %.80q, %d octets, %v; want %.80q, %d octets", id, got, len(got), err, want, len(want))
	}
}

// sizeOf is what the bodies take.
func sizeOf(t *testing.T, pool *pgxpool.Pool, schema string) (n int) {
	t.Helper()
	must(t, pool.QueryRow(t.Context(), "SELECT coalesce(sum(pg_column_size(octets)), 0) FROM "+pgx.Identifier{schema, "chunks"}.Sanitize()).Scan(&n))
	return n
}

func hasLZ4(t *testing.T, pool *pgxpool.Pool) (has bool) {
	t.Helper()
	must(t, pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals))").Scan(&has))
	return has
}

// A role that may not change the schema can use it, with the rights that the package's documentation names.
func testOpenWithoutRights(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	schema := pgtest.Schema(t, url)
	role := schema + "_user"
	exec := func(sql string) {
		t.Helper()
		sql = strings.NewReplacer("mailer", pgx.Identifier{role}.Sanitize(), "postroad", pgx.Identifier{schema}.Sanitize()).Replace(sql)
		if _, err := pool.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE ROLE mailer")
	defer exec("DROP OWNED BY mailer; DROP ROLE mailer")
	config := pool.Config().Copy()
	config.ConnConfig.RuntimeParams["role"] = role
	limited, err := pgxpoolWith(t, config)
	must(t, err)
	if _, err := pgqueue.Open(t.Context(), limited, pgqueue.Options{Schema: schema}); !errors.Is(err, pgqueue.ErrPermission) ||
		!strings.Contains(fmt.Sprint(err), schema) {
		t.Fatalf("Open of a queue that isn't there: %v, want ErrPermission", err)
	}
	open(t, pool, pgqueue.Options{Schema: schema}).Close()
	if _, err := pgqueue.Open(t.Context(), limited, pgqueue.Options{Schema: schema}); !errors.Is(err, pgqueue.ErrPermission) {
		t.Fatalf("Open without any right: %v, want ErrPermission", err)
	}
	for _, grant := range grants {
		exec(grant)
	}
	q := open(t, limited, pgqueue.Options{Schema: schema})
	if _, err := q.Enqueue(t.Context(), entry("a", nil, "a.example")); err != nil {
		t.Fatal(err)
	}
	c, err := q.Claim(t.Context(), queue.ClaimRequest{Now: start, Lease: 1, Limit: 1})
	must(t, err)
	c.Jobs[0].Recipients[0].State, c.Jobs[0].Finished = queue.Delivered, start
	must(t, q.Commit(t.Context(), c.Jobs[0]))
	_, err = q.Beat(t.Context(), "a", 1, nil)
	must(t, err)
	_, err = q.Purge(t.Context())
	must(t, err)
}

// grants are in the package's documentation.
var grants = []string{
	"GRANT USAGE ON SCHEMA postroad TO mailer",
	"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA postroad TO mailer",
	"GRANT USAGE ON ALL SEQUENCES IN SCHEMA postroad TO mailer",
}

// When a queue was restored on a server whose transactions have smaller numbers, marks go on where they were.
func testRestored(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	schema := pgtest.Schema(t, url)
	q := open(t, pool, pgqueue.Options{Schema: schema})
	_, err := q.Enqueue(t.Context(), ended("old"))
	must(t, err)
	const far = "1000000::bigint * 1048576"
	for _, sql := range []string{"UPDATE postroad.ended SET mark = mark + " + far, "UPDATE postroad.jobs SET marks[1] = marks[1] + " + far} {
		_, err := pool.Exec(t.Context(), strings.ReplaceAll(sql, "postroad", pgx.Identifier{schema}.Sanitize()))
		must(t, err)
	}
	q = open(t, pool, pgqueue.Options{Schema: schema})
	_, err = q.Enqueue(t.Context(), ended("new"))
	must(t, err)
	want(t, list(t, q, queue.Filter{Ended: true}), "[old/0 new/0]", "what has ended")
}
