package pgqueue_test

import (
	"testing"

	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

// A pool of sessions in transaction mode lies between, so nothing may hang on a session: neither prepared statements nor locks.
func TestPgBouncer(t *testing.T) {
	server := pgtest.Start(t, "fsync=off")
	direct := pgtest.Pool(t, server.URL()).Config().ConnConfig
	for _, mode := range []string{"cache_describe", "exec"} {
		t.Run(mode, func(t *testing.T) {
			conform(t, pgtest.With(server.Bounce(t), "default_query_exec_mode="+mode), direct)
		})
	}
}
