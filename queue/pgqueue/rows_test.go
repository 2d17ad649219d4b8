package pgqueue_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

// What is stored is the same whether lists are sent as arrays or as JSON, null or not.
func testRows(t *testing.T, url string) {
	schema := pgtest.Schema(t, url)
	var stored []string
	for _, mode := range []string{"cache_statement", "exec"} {
		pool := pgtest.Pool(t, pgtest.With(url, "default_query_exec_mode="+mode))
		q := open(t, pool, pgqueue.Options{Schema: schema})
		bare := entry(mode+"-bare", nil, "a.example")
		bare.Message.Enqueued = time.Time{}
		gone := ended(mode + "-ended")
		several := entry(mode+"-several", []byte("Hello!"), "a.example", "b.example", "c.example")
		for _, e := range []*queue.Entry{full(mode + "-full"), bare, gone, several} {
			_, err := q.Enqueue(t.Context(), e)
			must(t, err)
		}
		e := full(mode + "-leased")
		e.Jobs[0].Recipients = e.Jobs[0].Recipients[:1]
		leased(t, q, e, lease("me", 0))
		enqueued := dump(t, pool, schema, mode)
		for _, j := range due(t, q, 0) {
			j.Held, j.Via, j.Due, j.Tries, j.Lapses = true, "smtp://other.example", j.Due.Add(time.Minute), j.Tries+1, 0
			switch {
			case strings.HasSuffix(string(j.Key.ID), "-full"):
				j.Recipients[0].State, j.Recipients[1].State, j.Finished = queue.Delivered, queue.Bounced, start
			case j.Key.N == 1:
				j.Recipients[0].Reply = queue.Reply{Code: 451}
			}
			must(t, q.Commit(t.Context(), j))
		}
		stored = append(stored, enqueued+dump(t, pool, schema, mode))
	}
	if stored[0] != stored[1] {
		t.Errorf("as arrays\n%s\nas JSON\n%s", stored[0], stored[1])
	}
}

// dump shows the rows of the messages whose IDs begin with prefix, but for what the server numbers.
func dump(t *testing.T, pool *pgxpool.Pool, schema, prefix string) string {
	t.Helper()
	var rows string
	sql := strings.ReplaceAll(`
		SELECT string_agg(row::text, E'\n' ORDER BY row->>'id', row->>'n') FROM (
			SELECT to_jsonb(m) - 'body' - 'digest' FROM postroad.messages m UNION ALL
			SELECT to_jsonb(j) - '{token,spent,marks}'::text[] || jsonb_build_object('marks', (SELECT jsonb_agg(m > 0) FROM unnest(marks) m))
			FROM postroad.jobs j) AS all_of (row)
		WHERE starts_with(row->>'id', $1)`, "postroad.", pgx.Identifier{schema}.Sanitize()+".")
	must(t, pool.QueryRow(t.Context(), sql, prefix).Scan(&rows))
	return strings.ReplaceAll(rows, prefix, "")
}

// Where the types of lists are not those that the queue knows, the error says what to do.
func testTypesChanged(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	schema := pgtest.Schema(t, url)
	q := open(t, pool, pgqueue.Options{Schema: schema})
	_, err := pool.Exec(t.Context(), "ALTER TYPE "+pgx.Identifier{schema, "given_job"}.Sanitize()+" ADD ATTRIBUTE more integer")
	must(t, err)
	if _, err := q.Enqueue(t.Context(), entry("a", nil, "a.example")); !errors.Is(err, pgqueue.ErrSchema) {
		t.Errorf("Enqueue: %v, want ErrSchema", err)
	}
}
