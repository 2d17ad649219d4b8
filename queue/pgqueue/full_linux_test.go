package pgqueue_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

// When the server's disk is full Enqueue says so and nothing has happened. With a little room all is delivered, and what that frees is
// enough to go on.
func TestDiskFull(t *testing.T) {
	server := pgtest.Start(t)
	disk := filepath.Join(server.Dir, "disk")
	must(t, os.Mkdir(disk, 0o700))
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mounting a tmpfs: %v", err)
		}
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		server.Stop(t, os.Interrupt)
		must(t, syscall.Unmount(disk, 0))
	})
	own(t, server.Dir, disk)
	pool := pgtest.Pool(t, server.URL())
	_, err := pool.Exec(t.Context(), "CREATE TABLESPACE small LOCATION '"+disk+"'")
	must(t, err)
	q := open(t, withSettings(t, pool, map[string]string{"default_tablespace": "small"}), pgqueue.Options{})
	body := random(100_000)
	stored := 0
	for ; err == nil; stored++ {
		_, err = q.Enqueue(t.Context(), entry(fmt.Sprintf("%05d", stored), body, "a.example"))
	}
	stored--
	if !errors.Is(err, queue.ErrFull) || errors.Is(err, queue.ErrInDoubt) || stored < 10 {
		t.Fatalf("Enqueue after %d messages: %v, want ErrFull", stored, err)
	}
	if durable, err := q.EnqueueAll(t.Context(), func(yield func(*queue.Entry) bool) {
		yield(entry("bulk", random(1_000_000), "a.example"))
	}); durable != 0 || !errors.Is(err, queue.ErrFull) {
		t.Fatalf("EnqueueAll: %d, %v, want ErrFull", durable, err)
	}
	must(t, syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=9m"))
	c, err := q.Claim(t.Context(), queue.ClaimRequest{Now: start, Lease: 1, Limit: 1000})
	must(t, err)
	if len(c.Jobs) != stored {
		t.Fatalf("%d jobs are claimed of %d", len(c.Jobs), stored)
	}
	for _, j := range c.Jobs {
		j.Recipients[0].State, j.Finished = queue.Delivered, start
		must(t, q.Commit(t.Context(), j))
	}
	_, err = pool.Exec(t.Context(), "VACUUM postroad.chunks")
	must(t, err)
	if _, err := q.Enqueue(t.Context(), entry("again", body, "a.example")); err != nil {
		t.Fatalf("Enqueue when there is room: %v", err)
	}
}

// own gives a folder to the owner of another.
func own(t *testing.T, of, folder string) {
	t.Helper()
	info, err := os.Stat(of)
	must(t, err)
	s := info.Sys().(*syscall.Stat_t)
	must(t, os.Chown(folder, int(s.Uid), int(s.Gid)))
}
