package boltqueue

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// A file that version 3 made has jobs that were tried, or are held, where they belong now.
func TestVersion3(t *testing.T) {
	old := unpack(t, "testdata/version3.db.gz")
	path, compacted, salvaged := write(t, old), write(t, old), newPath(t)
	if problems := checkFile(t, path); len(problems) > 0 {
		t.Errorf("Check: %q", problems)
	}
	if err := Compact(compacted, Options{}); err != nil {
		t.Error(err)
	}
	if _, err := Salvage(path, salvaged, func(problem string) { t.Error("Salvage:", problem) }); err != nil {
		t.Error(err)
	}
	for _, path := range []string{path, compacted, salvaged} {
		q := mustOpen(t, path, Options{})
		checkIndexes(t, q)
		checkPages(t, q)
		checkBody(t, q, "tried", random(len("tried"), 300))
		take := func(l queue.Lane) []string {
			c, err := q.Claim(t.Context(), queue.ClaimRequest{Now: start, Lease: 1, Limit: 9, Take: []queue.Take{{Lane: l, N: 9}}})
			if err != nil {
				t.Fatal(err)
			}
			return mapped(c.Jobs, func(j *queue.Job) string { return j.Key.String() })
		}
		for l, want := range map[queue.Lane][]string{
			{Domain: "a.example"}:                                   {"new/0"},
			{Domain: "a.example", Retry: true}:                      {"tried/0"},
			{Domain: "a.example", Tenant: "t", Priority: queue.Low}: {"tenant/0"},
			{Domain: "b.example"}:                                   {"new/1", "tried/1"},
			{Domain: "b.example", Retry: true}:                      nil,
			{Domain: "c.example"}:                                   {"held/1"},
		} {
			if got := take(l); !slices.Equal(got, want) {
				t.Errorf("%+v has %q, want %q", l, got, want)
			}
		}
		if got := fileVersion(t, copied(t, q)); got != uint64(1+len(upgrades())) {
			t.Errorf("the file has version %d now", got)
		}
	}
}

// copied is the path of a copy of the file of q.
func copied(t *testing.T, q *Queue) string {
	t.Helper()
	path := newPath(t)
	copyFile(t, q.path, path)
	return path
}

// A large file is brought up to date in several transactions, and whichever of them is the last before a crash, the next Open
// goes on.
func TestUpgradeCutShort(t *testing.T) {
	path := write(t, sample(t))
	q := mustOpen(t, path, Options{})
	for n, size := range []int{relaneAtOnce / 2, relaneAtOnce * 2} {
		domains := make([]string, size)
		for i := range domains {
			domains[i] = fmt.Sprintf("d%03d.example", i*7%1000)
		}
		e := message(queue.ID(fmt.Sprint("many", n)), random(n, 10), domains...)
		for i, j := range e.Jobs {
			j.Tries, j.Held = i%2, i%7 == 0
		}
		mustEnqueue(t, q, e)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	old := edited(t, path, downgrade)
	steps := 0
	for done := false; !done; steps++ {
		path := write(t, old)
		done = upgradeSteps(t, path, steps)
		if problems := checkFile(t, path); len(problems) > 0 {
			t.Fatalf("Check after %d transactions: %q", steps, problems[:min(9, len(problems))])
		}
		q, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkIndexes(t, q)
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		edited(t, path, func(b *bolt.Tx) error {
			if b.Bucket([]byte(oldLanesBucket)) != nil {
				t.Error("the old index is still there")
			}
			return nil
		})
	}
	if steps < 5 {
		t.Errorf("the file was brought up to date in %d transactions", steps)
	}
}

// downgrade makes a file what version 3 would have made.
func downgrade(b *bolt.Tx) error {
	lanes, err := b.CreateBucket([]byte(oldLanesBucket))
	if err != nil {
		return err
	}
	err = b.Bucket([]byte(lanesBucket)).ForEach(func(k, v []byte) error {
		_, held, n, err := parseLane(k)
		if err != nil || held {
			return err
		}
		return put(lanes, append(bytes.Clone(k[:n-1]), k[n:]...), nil)
	})
	return errors.Join(err, b.DeleteBucket([]byte(lanesBucket)), putNumber(b.Bucket([]byte(fileBucket)), versionKey, 3))
}

// upgradeSteps does so many transactions of an upgrade, and reports whether these are all.
func upgradeSteps(t *testing.T, path string, steps int) (done bool) {
	t.Helper()
	var r relaning
	for range steps {
		edited(t, path, func(b *bolt.Tx) error {
			err := upgrade(b)
			if err != nil {
				return err
			}
			x, err := newTx(b)
			if err == nil {
				done, err = r.next(x)
			}
			return err
		})
	}
	return done
}
