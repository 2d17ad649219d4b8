package pgqueue

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

// TestPlans holds what the planner makes of the statements that a Sender runs all the time: nothing but look-ups in an index, whatever
// the tables were like when a statement was planned or they were last analysed. What runs in a transaction of the host program has
// no settings of the queue's, and is looked at with its plan kept and not.
func TestPlans(t *testing.T) {
	pool, q := openInside(t)
	analyze := in(q.schema, "VACUUM ANALYZE postroad.messages, postroad.jobs, postroad.chunks, postroad.ended")
	if _, err := pool.Exec(t.Context(), analyze, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2041, 5, 6, 7, 8, 9, 0, time.UTC)
	statements := planned(t, q, now)
	c, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	check := func(when string) {
		for _, s := range statements {
			checkPlan(t, c.Conn(), when, settings, s)
		}
		if when == "empty" {
			return // what others plan now they can't be told to plan otherwise
		}
		known := &pgx.QueuedQuery{SQL: q.sql["digest"], Arguments: []any{"00000007"}}
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			checkPlan(t, c.Conn(), when+", "+mode, "SELECT set_config('plan_cache_mode', '"+mode+"', true)", known)
		}
	}
	check("empty")
	fillPlanned(t, q, now)
	check("analysed when empty")
	if _, err := c.Exec(t.Context(), analyze, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	check("analysed when full")
}

// TestPlansKept holds the plans that were made, and kept, when nothing waited to the same when much does.
func TestPlansKept(t *testing.T) {
	pool, q := openInside(t)
	now := time.Date(2041, 5, 6, 7, 8, 9, 0, time.UTC)
	fillPlanned(t, q, now)
	for _, sql := range []string{
		"ALTER TABLE postroad.jobs SET (autovacuum_enabled = off)", // it would have the plans made again
		"UPDATE postroad.jobs SET finished = due, leased = NULL", "VACUUM (ANALYZE) postroad.jobs", "REINDEX TABLE postroad.jobs",
	} {
		if _, err := pool.Exec(t.Context(), in(q.schema, sql)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	statements := planned(t, q, now)
	run := func(sql string) {
		t.Helper()
		if _, err := c.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%v: %s", err, sql)
		}
	}
	for i, s := range statements {
		run("BEGIN; " + settings + fmt.Sprintf("; PREPARE kept%d AS %s; ", i, s.SQL) + execute(t, i, s) + "; ROLLBACK")
	}
	run(in(q.schema, "UPDATE postroad.jobs SET finished = NULL"))
	for i, s := range statements {
		checkPlan(t, c.Conn(), "made when nothing waited", settings, &pgx.QueuedQuery{SQL: "/* " + strings.SplitN(s.SQL, "\n", 2)[0] + " */ " + execute(t, i, s)})
	}
}

// execute has a prepared statement run with the arguments that are written out.
func execute(t *testing.T, i int, s *pgx.QueuedQuery) string {
	t.Helper()
	if len(s.Arguments) == 0 {
		return fmt.Sprintf("EXECUTE kept%d", i)
	}
	var args []string
	for _, a := range s.Arguments {
		switch a := a.(type) {
		case nil:
			args = append(args, "NULL")
		case time.Time:
			args = append(args, "'"+a.Format(time.RFC3339Nano)+"'")
		case []int64:
			args = append(args, strings.NewReplacer("[", "'{", "]", "}'", " ", ",").Replace(fmt.Sprint(a)))
		case string:
			args = append(args, "'"+strings.ReplaceAll(a, "'", "''")+"'")
		default:
			args = append(args, fmt.Sprint(a))
		}
	}
	return fmt.Sprintf("EXECUTE kept%d(%s)", i, strings.Join(args, ", "))
}

// fillPlanned enqueues jobs, and leases some.
func fillPlanned(t *testing.T, q *Queue, now time.Time) {
	t.Helper()
	const jobs, domains = 50_000, 500
	_, err := q.EnqueueAll(t.Context(), func(yield func(*queue.Entry) bool) {
		for i := range jobs {
			id := queue.ID(fmt.Sprintf("%08d", i))
			e := &queue.Entry{
				Message: queue.Message{ID: id, Expires: now.Add(time.Hour)},
				Jobs: []*queue.Job{{
					Key: queue.Key{ID: id}, Domain: fmt.Sprintf("d%d.example", i%domains), Due: now, Recipients: []queue.Recipient{{Address: "user@example.com"}},
				}},
				Body: strings.NewReader("Hello!"),
			}
			if !yield(e) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, holder := range []string{"", "silent"} {
		if _, err := q.Claim(t.Context(), queue.ClaimRequest{Now: now, Lease: time.Hour, Limit: 200, Holder: holder}); err != nil {
			t.Fatal(err)
		}
	}
}

// openInside opens a queue in a schema of its own, for tests that look inside.
func openInside(t *testing.T) (*pgxpool.Pool, *Queue) {
	t.Helper()
	url := pgtest.Database(t)
	pool := pgtest.Pool(t, url)
	q, err := Open(t.Context(), pool, Options{Schema: pgtest.Schema(t, url)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return pool, q
}

// planned are the statements of a Sender.
func planned(t *testing.T, q *Queue, now time.Time) []*pgx.QueuedQuery {
	t.Helper()
	r := queue.ClaimRequest{Now: now, Lease: time.Hour, Limit: 100, Expired: true}
	anywhere := &pgx.Batch{}
	if err := q.ask(anywhere, &r, []int64{1 << 60}); err != nil {
		t.Fatal(err)
	}
	for d := range 200 {
		r.Take = append(r.Take, queue.Take{Lane: queue.Lane{Domain: fmt.Sprintf("d%d.example", d)}, N: 2})
	}
	lanes := &pgx.Batch{}
	if err := q.ask(lanes, &r, []int64{1 << 60}); err != nil {
		t.Fatal(err)
	}
	r.Keys = []queue.Key{{ID: "00000007"}, {ID: "00000009"}}
	byKey := &pgx.Batch{}
	if err := q.ask(byKey, &r, []int64{1 << 60}); err != nil {
		t.Fatal(err)
	}
	job := &queue.Job{Key: queue.Key{ID: "00000007"}, Due: now, Finished: now, Recipients: []queue.Recipient{{State: queue.Delivered}}}
	o, err := newOutcome(job)
	if err != nil {
		t.Fatal(err)
	}
	commit, err := encodeRows(pgxSession{}, 0, []outcomeRow{o.row})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(anywhere.QueuedQueries, lanes.QueuedQueries, byKey.QueuedQueries, []*pgx.QueuedQuery{
		{SQL: q.sql["commit"], Arguments: []any{commit}},
		{SQL: q.sql["mark"], Arguments: []any{`["00000007", "00000009"]`}},
		{SQL: q.sql["take"], Arguments: []any{"[7, 9]"}},
		{SQL: q.sql["adopt"], Arguments: []any{"[7, 9]"}},
		{SQL: q.sql["open"], Arguments: []any{`["00000007", "00000011"]`, 32}},
		{SQL: q.sql["read"], Arguments: []any{7, 0}},
		{SQL: q.sql["ended"], Arguments: []any{0, pageSize}},
		{SQL: q.sql["heads"], Arguments: []any{"00000000-0000-0000-0000-000000000000", false, pageSize}},
		{SQL: q.sql["purge"], Arguments: []any{1.0, purgeBatch}},
		{SQL: q.sql["sweep"], Arguments: []any{purgeBatch}},
		{SQL: q.sql["free"], Arguments: []any{"heir"}},
		{SQL: q.sql["digest"], Arguments: []any{"00000007"}},
		{SQL: q.sql["release"], Arguments: []any{"[7, 9]"}},
	})
}

// checkPlan fails if a statement reads a large table from one end to the other, or much that it doesn't need.
func checkPlan(t *testing.T, c *pgx.Conn, when, settings string, s *pgx.QueuedQuery) {
	t.Helper()
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := tx.Exec(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	var b []byte
	err = tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+s.SQL, s.Arguments...).Scan(&b)
	if err != nil {
		t.Fatalf("%s: %v\n%s", when, err, s.SQL)
	}
	var plans []struct {
		Plan          map[string]any
		PlanningTime  float64 `json:"Planning Time"`
		ExecutionTime float64 `json:"Execution Time"`
	}
	if err := json.Unmarshal(b, &plans); err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(s.SQL, "\n")
	if strings.Contains(string(b), "JIT") {
		t.Errorf("%s: the statement is compiled\n%s", when, s.SQL)
	}
	t.Logf("cost %.0f %s: planned in %.2f ms, executed in %.2f ms: %.60s", plans[0].Plan["Total Cost"], when, plans[0].PlanningTime, plans[0].ExecutionTime, name)
	var walk func(node map[string]any)
	walk = func(node map[string]any) {
		relation, _ := node["Relation Name"].(string)
		removed, _ := node["Rows Removed by Filter"].(float64)
		large := relation == "jobs" || relation == "messages" || relation == "chunks"
		if node["Node Type"] == "Seq Scan" && large || removed > 1000 {
			t.Errorf("%s: %s of %s, which removes %.0f rows\n%s\n%s", when, node["Node Type"], relation, removed, s.SQL, b)
		}
		children, _ := node["Plans"].([]any)
		for _, child := range children {
			walk(child.(map[string]any))
		}
	}
	walk(plans[0].Plan)
}
