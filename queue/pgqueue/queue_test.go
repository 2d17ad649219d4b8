package pgqueue_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
	"github.com/postroad/postroad/queue/queuetest"
)

func open(t testing.TB, pool *pgxpool.Pool, o pgqueue.Options) *pgqueue.Queue {
	t.Helper()
	q, err := pgqueue.Open(t.Context(), pool, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// TestDatabase has the tests that do no harm to the server they share.
func TestDatabase(t *testing.T) {
	url := pgtest.Database(t)
	for name, test := range map[string]func(*testing.T, string){
		"ClaimedInDoubt":    testClaimedInDoubt,
		"ContextEnds":       testContextEnds,
		"EndedInterleaved":  testEndedInterleaved,
		"EndedMany":         testEndedMany,
		"EnqueueTx":         testEnqueueTx,
		"EnqueueTxMarks":    testEnqueueTxMarks,
		"EnqueueTxWakes":    testEnqueueTxWakes,
		"NamedErrors":       testNamedErrors,
		"OpenConcurrently":  testOpenConcurrently,
		"OpenNewer":         testOpenNewer,
		"OpenWithoutRights": testOpenWithoutRights,
		"Compressed":        testCompressed,
		"Drafts":            testDrafts,
		"Garbage":           testGarbage,
		"Hostile":           testHostile,
		"Leased":            testLeased,
		"LeasedEquals":      testLeasedEquals,
		"LeasedInDoubt":     testLeasedInDoubt,
		"LeasedSilent":      testLeasedSilent,
		"LeasedTogether":    testLeasedTogether,
		"LeasedTwice":       testLeasedTwice,
		"ListenAgain":       testListenAgain,
		"Migrated":          testMigrated,
		"Notifications":     testNotifications,
		"Purge":             testPurge,
		"Queue":             testQueue,
		"Restored":          testRestored,
		"Rows":              testRows,
		"SchemaNames":       testSchemaNames,
		"Serializable":      testSerializable,
		"TypesChanged":      testTypesChanged,
	} {
		t.Run(name, func(t *testing.T) { test(t, url) })
	}
}

func testQueue(t *testing.T, url string) { conform(t, url, nil) }

// conform runs queuetest on queues in a database.
func conform(t *testing.T, url string, listen *pgx.ConnConfig) {
	schemas := map[queue.Queue]string{}
	pool := pgtest.Pool(t, url)
	again := func(t *testing.T, schema string) queue.Queue {
		q := open(t, pool, pgqueue.Options{Schema: schema, Listen: listen})
		schemas[q] = schema
		return q
	}
	another := func(t *testing.T, q queue.Queue) queue.Queue { return again(t, schemas[q]) }
	cut := func(t *testing.T, q queue.Queue, id queue.ID) queue.Queue {
		_, err := pool.Exec(t.Context(), `DELETE FROM "`+schemas[q]+`".chunks c USING "`+schemas[q]+`".messages m
			WHERE c.body = m.body AND m.id = $1 AND c.n >= 9`, string(id))
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	queuetest.Run(t, func(t *testing.T) queue.Queue { return again(t, pgtest.Schema(t, url)) },
		queuetest.Reopen(another), queuetest.Another(another), queuetest.Cut(cut))
}
