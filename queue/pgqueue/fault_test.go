package pgqueue_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

func pgxpoolWith(t testing.TB, config *pgxpool.Config) (*pgxpool.Pool, error) {
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err == nil {
		t.Cleanup(pool.Close)
	}
	return pool, err
}

// withSettings is a pool whose sessions have settings.
func withSettings(t testing.TB, pool *pgxpool.Pool, settings map[string]string) *pgxpool.Pool {
	t.Helper()
	config := pool.Config().Copy()
	for name, value := range settings {
		config.ConnConfig.RuntimeParams[name] = value
	}
	p, err := pgxpoolWith(t, config)
	must(t, err)
	return p
}

// What the server refuses has a name, and leaves nothing behind.
func testNamedErrors(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	schema := pgtest.Schema(t, url)
	q := open(t, pool, pgqueue.Options{Schema: schema})
	tx := pgxTx(t, pool, q) // holds the ID "taken"
	_, err := tx.enqueue(entry("taken", nil, "a.example"))
	must(t, err)

	for name, want := range map[string]error{"statement_timeout": pgqueue.ErrTimeout, "lock_timeout": pgqueue.ErrTimeout} {
		slow := open(t, withSettings(t, pool, map[string]string{name: "200"}), pgqueue.Options{Schema: schema})
		if _, err := slow.Enqueue(t.Context(), entry("taken", nil, "a.example")); !errors.Is(err, want) || errors.Is(err, queue.ErrInDoubt) {
			t.Errorf("Enqueue with %s: %v, want %v", name, err, want)
		}
	}
	readOnly := withSettings(t, pool, map[string]string{"default_transaction_read_only": "on"})
	if _, err := pgqueue.Open(t.Context(), readOnly, pgqueue.Options{Schema: schema}); !errors.Is(err, pgqueue.ErrReadOnly) {
		t.Errorf("Open of a read-only database: %v", err)
	}
	dropped := open(t, pool, pgqueue.Options{Schema: pgtest.Schema(t, url)})
	must(t, tx.rollback())
	_, err = pool.Exec(t.Context(), `DROP SCHEMA "`+pgqueue.SchemaOf(dropped)+`" CASCADE`)
	must(t, err)
	if _, err := dropped.Enqueue(t.Context(), entry("a", nil, "a.example")); !errors.Is(err, pgqueue.ErrSchema) {
		t.Errorf("Enqueue to a schema that was dropped: %v", err)
	}
	want(t, list(t, q, queue.Filter{}), "[]", "what is stored")
}

// A database that becomes read-only under a queue that is open says so.
func TestBecomesReadOnly(t *testing.T) {
	server := pgtest.Start(t)
	pool := pgtest.Pool(t, server.URL())
	q := open(t, pool, pgqueue.Options{})
	_, err := q.Enqueue(t.Context(), entry("a", nil, "a.example"))
	must(t, err)
	for _, sql := range []string{"ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"} {
		_, err := pool.Exec(t.Context(), sql)
		must(t, err)
	}
	for err == nil { // until the sessions have heard of it
		_, err = q.Enqueue(t.Context(), entry(fmt.Sprint(time.Now().UnixNano()), nil, "a.example"))
	}
	if !errors.Is(err, pgqueue.ErrReadOnly) {
		t.Errorf("Enqueue: %v, want ErrReadOnly", err)
	}
	if _, err := q.Claim(t.Context(), queue.ClaimRequest{Now: start, Lease: 1, Limit: 1}); !errors.Is(err, pgqueue.ErrReadOnly) {
		t.Errorf("Claim: %v, want ErrReadOnly", err)
	}
}

// A method that waits for the database gives up with its ctx, and knows that nothing has happened.
func testContextEnds(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	q := open(t, pool, pgqueue.Options{Schema: pgtest.Schema(t, url)})
	tx := pgxTx(t, pool, q)
	_, err := tx.enqueue(entry("taken", nil, "a.example"))
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := q.Enqueue(ctx, entry("taken", nil, "a.example")); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, queue.ErrInDoubt) {
		t.Errorf("Enqueue that waits for another transaction: %v, want the error of ctx alone", err)
	}
	// Nor does it wait for a connection longer than that.
	small := pgtest.Pool(t, pgtest.With(url, "pool_max_conns=1"))
	q = open(t, small, pgqueue.Options{Schema: pgtest.Schema(t, url), PollOnly: true})
	c, err := small.Acquire(t.Context())
	must(t, err)
	defer c.Release()
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := q.Enqueue(ctx, entry("a", nil, "a.example")); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, queue.ErrInDoubt) {
		t.Errorf("Enqueue that waits for a connection: %v, want the error of ctx alone", err)
	}
}

// work enqueues, claims and commits from several goroutines, until over is closed and all that was acknowledged is delivered. Every
// call is repeated until it succeeds. No job may be leased to two at once, and none delivered twice.
type work struct {
	*pgqueue.Queue
	t         testing.TB
	enqueued  sync.Map // ID: acknowledged
	delivered sync.Map // Key: how often a commit that finished it was acknowledged
	acks      atomic.Int64
	doubts    atomic.Int64
	failures  atomic.Int64
}

// insist repeats f until it succeeds.
func (w *work) insist(f func(ctx context.Context) error) {
	for {
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
		err := f(ctx)
		cancel()
		if err == nil {
			return
		}
		if w.t.Context().Err() != nil {
			w.t.Error(err)
			return
		}
		w.failures.Add(1)
		if errors.Is(err, queue.ErrInDoubt) {
			w.doubts.Add(1)
		}
		time.Sleep(time.Millisecond)
	}
}

func (w *work) run(messages int, fault func()) {
	w.t.Helper()
	const enqueuers, deliverers = 4, 4
	var wg sync.WaitGroup
	for g := range enqueuers {
		wg.Go(func() {
			for i := g; i < messages; i += enqueuers {
				id := fmt.Sprintf("m%05d", i)
				w.insist(func(ctx context.Context) error {
					_, err := w.Enqueue(ctx, entry(id, []byte("Hello!"), fmt.Sprintf("d%d.example", i%17)))
					return err
				})
				w.enqueued.Store(id, true)
				w.acks.Add(1)
			}
		})
	}
	var left atomic.Int64
	left.Store(int64(messages))
	for g := range deliverers {
		wg.Go(func() {
			for left.Load() > 0 && w.t.Context().Err() == nil {
				var c queue.Claimed
				w.insist(func(ctx context.Context) (err error) {
					// Short leases, so that what a lost answer has leased is soon free again.
					c, err = w.Claim(ctx, queue.ClaimRequest{Now: time.Now().Add(20 * 365 * 24 * time.Hour), Lease: 2 * time.Second, Limit: 5})
					return err
				})
				for _, j := range c.Jobs {
					j.Recipients[0].State, j.Finished = queue.Delivered, start
					lost := false
					w.insist(func(ctx context.Context) error {
						err := w.Commit(ctx, j)
						lost = errors.Is(err, queue.ErrLeaseLost)
						if lost {
							return nil
						}
						return err
					})
					if lost {
						continue
					}
					if _, twice := w.delivered.LoadOrStore(j.Key, g); twice {
						w.t.Errorf("%s was delivered twice", j.Key)
					}
					left.Add(-1)
				}
			}
		})
	}
	idle := make(chan struct{})
	go func() { wg.Wait(); close(idle) }()
	for n := int64(1); n <= 4; n++ {
		for w.acks.Load() < n*int64(messages)/5 && w.t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		fault()
	}
	<-idle
	w.enqueued.Range(func(id, _ any) bool {
		if _, ok := w.delivered.Load(queue.Key{ID: queue.ID(id.(string))}); !ok {
			w.t.Errorf("%s was acknowledged and never delivered", id)
		}
		return true
	})
	w.t.Logf("%d failures, %d of them in doubt", w.failures.Load(), w.doubts.Load())
}

// The server is restarted in the middle of the work, in order and by a crash: nothing acknowledged is lost, nothing delivered twice.
func TestRestart(t *testing.T) {
	for name, signal := range map[string]os.Signal{"fast": os.Interrupt, "immediate": syscall.SIGQUIT} {
		t.Run(name, func(t *testing.T) {
			server := pgtest.Start(t)
			q := open(t, pgtest.Pool(t, pgtest.With(server.URL(), "pool_max_conns=10")), pgqueue.Options{})
			w := &work{Queue: q, t: t}
			w.run(1000, func() {
				server.Stop(t, signal)
				server.Restart(t)
			})
		})
	}
}

// All sessions are ended in the middle of their transactions.
func TestConnectionsCut(t *testing.T) {
	server := pgtest.Start(t)
	pool := pgtest.Pool(t, pgtest.With(server.URL(), "pool_max_conns=10"))
	w := &work{Queue: open(t, pool, pgqueue.Options{}), t: t}
	admin := pgtest.Pool(t, server.URL())
	w.run(1000, func() {
		for range 10 {
			_, err := admin.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
			if err != nil {
				t.Log(err)
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
}

// Where transactions are serializable the server undoes some of them; they are done again.
func testSerializable(t *testing.T, url string) {
	pool := withSettings(t, pgtest.Pool(t, pgtest.With(url, "pool_max_conns=10")), map[string]string{"default_transaction_isolation": "serializable"})
	w := &work{Queue: open(t, pool, pgqueue.Options{Schema: pgtest.Schema(t, url)}), t: t}
	w.run(500, func() {})
}
