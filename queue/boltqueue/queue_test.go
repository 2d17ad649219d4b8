package boltqueue

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/queuetest"
	bolt "go.etcd.io/bbolt"
)

func TestQueue(t *testing.T) {
	open := func(t *testing.T) queue.Queue { return mustOpen(t, newPath(t), Options{}) }
	// What a kill leaves is what the system has of the file.
	reopen := func(t *testing.T, q queue.Queue) queue.Queue {
		path := newPath(t)
		copyFile(t, q.(*Queue).path, path)
		return mustOpen(t, path, Options{MaxMessages: int(q.(*Queue).limits.maxMessages)})
	}
	full := func(t *testing.T, messages int) queue.Queue {
		return mustOpen(t, newPath(t), Options{MaxMessages: messages})
	}
	cut := func(t *testing.T, q queue.Queue, id queue.ID) queue.Queue {
		path := q.(*Queue).path
		if err := q.(*Queue).Close(); err != nil {
			t.Fatal(err)
		}
		cutBody(t, path, id)
		return mustOpen(t, path, Options{})
	}
	queuetest.Run(t, open, queuetest.Full(full), queuetest.Reopen(reopen), queuetest.Cut(cut))
}

// cutBody removes the last chunk of a body.
func cutBody(t *testing.T, path string, id queue.ID) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(b *bolt.Tx) error {
		x, err := newTx(b)
		if err != nil {
			return err
		}
		m, err := x.message(id)
		if err != nil {
			return err
		}
		var last []byte
		for k, err := nextSegment(x.bodies(), m.Body, nil); k != nil; k, err = nextSegment(x.bodies(), m.Body, k) {
			if err != nil {
				return err
			}
			last = k
		}
		s := x.bodies().Bucket(last)
		k, _ := s.Cursor().Last()
		return s.Delete(k)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "mail.db") }

func mustOpen(t testing.TB, path string, o Options) *Queue {
	t.Helper()
	q, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// start is when messages of these tests are enqueued.
var start = time.Date(2031, 2, 3, 4, 5, 6, 789, time.UTC)

// message makes an entry with a job for each domain, due at once.
func message(id queue.ID, body io.Reader, domains ...string) *queue.Entry {
	e := &queue.Entry{
		Message: queue.Message{
			ID: id, From: "sender@example.org", Digest: sha256.Sum256([]byte(id)),
			Enqueued: start, Expires: start.Add(time.Hour),
		},
		Body: body,
	}
	for i, d := range domains {
		e.Jobs = append(e.Jobs, &queue.Job{
			Key:        queue.Key{ID: id, N: i},
			Domain:     d,
			Due:        start,
			Recipients: []queue.Recipient{{Address: "user@" + d}},
		})
	}
	return e
}

// random makes a body that is the same for the same seed.
func random(seed, size int) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}), int64(size))
}

func mustEnqueue(t testing.TB, q *Queue, e *queue.Entry) {
	t.Helper()
	if added, err := q.Enqueue(context.Background(), e); err != nil || !added {
		t.Fatalf("Enqueue %q: added %v, error %v", e.Message.ID, added, err)
	}
}

func claimAll(t testing.TB, q *Queue, now time.Time) []*queue.Job {
	t.Helper()
	c, err := q.Claim(context.Background(), queue.ClaimRequest{Now: now, Lease: time.Hour, Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return c.Jobs
}

// finish commits j as delivered.
func finish(t testing.TB, q *Queue, j *queue.Job, at time.Time) {
	t.Helper()
	for i := range j.Recipients {
		j.Recipients[i].State = queue.Delivered
	}
	j.Finished = at
	if err := q.Commit(context.Background(), j); err != nil {
		t.Fatal(err)
	}
}

func list(t testing.TB, q *Queue, f queue.Filter) (keys []string) {
	t.Helper()
	for j, err := range q.Jobs(context.Background(), f) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, j.Key.String())
	}
	return keys
}

// checkBody compares a stored body with what it should be.
func checkBody(t testing.TB, q *Queue, id queue.ID, want io.Reader) {
	t.Helper()
	r, err := q.Open(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a, b := sha256.New(), sha256.New()
	if _, err := io.Copy(a, r); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(b, want); err != nil {
		t.Fatal(err)
	}
	if [32]byte(a.Sum(nil)) != [32]byte(b.Sum(nil)) {
		t.Fatalf("the body of %q is not what was stored", id)
	}
}

func TestBodySizes(t *testing.T) {
	q := mustOpen(t, newPath(t), Options{})
	for _, size := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, segmentSize - 1, segmentSize, segmentSize + 1, 2 * segmentSize, 3*segmentSize + 7} {
		for _, head := range []int{0, 10, segmentSize, segmentSize + 1} {
			id := queue.ID(fmt.Sprintf("m-%d-%d", size, head))
			e := message(id, random(size, size), "example.com")
			h := strings.Repeat("h", head)
			e.Head = func() ([]byte, error) { return []byte(h), nil }
			mustEnqueue(t, q, e)
			checkBody(t, q, id, io.MultiReader(strings.NewReader(h), random(size, size)))
			for j, err := range q.Jobs(context.Background(), queue.Filter{ID: id}) {
				if err != nil || j.Message.Size != int64(size+head) {
					t.Fatalf("size %d of %d + %d, error %v", j.Message.Size, head, size, err)
				}
			}
		}
	}
	checkIndexes(t, q)
}

// failing ends in an error instead of EOF.
type failing struct{ io.Reader }

var errBody = errors.New("the client hung up")

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err == io.EOF {
		err = errBody
	}
	return n, err
}

// What was written ahead of a message that is then refused, or was there already, doesn't stay.
func TestDraftsAreDeleted(t *testing.T) {
	ctx := context.Background()
	q := mustOpen(t, newPath(t), Options{})
	const size = 3 * segmentSize
	if _, err := q.Enqueue(ctx, message("a", failing{random(1, size)}, "example.com")); !errors.Is(err, errBody) {
		t.Fatalf("error %v", err)
	}
	mustEnqueue(t, q, message("b", random(1, size), "example.com"))
	if added, err := q.Enqueue(ctx, message("b", random(1, size), "example.com")); added || err != nil {
		t.Fatalf("the same message: added %v, error %v", added, err)
	}
	other := message("b", random(1, size), "example.com")
	other.Message.Digest[0]++
	if _, err := q.Enqueue(ctx, other); !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("another message: error %v", err)
	}
	checkIndexes(t, q) // which finds bodies that belong to nobody
	checkBody(t, q, "b", random(1, size))
	for _, j := range claimAll(t, q, start) {
		finish(t, q, j, start)
	}
	checkIndexes(t, q)
}

// A crash between the pieces of a large body leaves a draft, which the next Open deletes.
func TestDraftOfACrash(t *testing.T) {
	q := mustOpen(t, newPath(t), Options{})
	crashed := newPath(t)
	body := io.MultiReader(random(1, 3*segmentSize), readFunc(func([]byte) (int, error) {
		copyFile(t, q.path, crashed)
		return 0, io.EOF
	}))
	mustEnqueue(t, q, message("a", body, "example.com"))
	mustEnqueue(t, q, message("b", random(2, 9), "example.com"))
	again := mustOpen(t, crashed, Options{})
	if keys := list(t, again, queue.Filter{}); len(keys) > 0 {
		t.Fatalf("half a message is stored: %q", keys)
	}
	checkIndexes(t, again)
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// checkIndexes compares every index with the jobs, and looks for bodies that belong to no message.
func checkIndexes(t testing.TB, q *Queue) {
	t.Helper()
	err := q.view(func(x *tx) error {
		want := map[string]string{}
		bodies := map[uint64]bool{0: true}
		unfinished := int64(0)
		err := x.messages().ForEach(func(k, _ []byte) error {
			m, err := x.message(queue.ID(k))
			if err == nil {
				bodies[m.Body] = true
				if m.Unfinished == 0 {
					want["finished"+string(finishedKey(m.Ended, m.ID))] = ""
				} else {
					unfinished++
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		if n, err := number(x.file(), unfinishedKey, 63); err != nil || int64(n) != unfinished || q.limits.inUse.messages != unfinished {
			return fmt.Errorf("%d messages are unfinished, the file says %d (%v), the queue %d", unfinished, n, err, q.limits.inUse.messages)
		}
		err = x.jobs().ForEach(func(k, _ []byte) error {
			key, err := parseJobKey(k)
			if err != nil {
				return err
			}
			j, err := x.stored(key)
			if err != nil {
				return err
			}
			if e := laneKey(j); e != nil {
				want["lanes"+string(e)] = ""
			}
			if e := expiryKey(j); e != nil {
				want["expiry"+string(e)] = ""
			}
			for _, m := range j.Places() {
				want["marks"+string(numberKey(uint64(m)))] = ""
			}
			return nil
		})
		if err != nil {
			return err
		}
		for name, b := range map[string]*bolt.Bucket{"lanes": x.lanes(), "expiry": x.expiry(), "marks": x.marks(), "finished": x.finished()} {
			if err := b.ForEach(func(k, _ []byte) error {
				if _, ok := want[name+string(k)]; !ok {
					return fmt.Errorf("an entry of %s too many: %q", name, k)
				}
				delete(want, name+string(k))
				return nil
			}); err != nil {
				return err
			}
		}
		for k := range want {
			return fmt.Errorf("an entry is missing: %q", k)
		}
		if k, _ := x.drafts().Cursor().First(); k != nil {
			return fmt.Errorf("a draft was left: %q", k)
		}
		return x.bodies().ForEach(func(k, _ []byte) error {
			if body, err := parseNumberKey(k[:8]); err != nil || !bodies[body] {
				return fmt.Errorf("a body that belongs to nobody: %q (%v)", k, err)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A restart frees all jobs at once, and gives out tokens that nobody has had.
func TestReopenFreesLeases(t *testing.T) {
	path := newPath(t)
	seen := map[queue.Token]bool{}
	for i := range 3 {
		q, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			mustEnqueue(t, q, message("a", nil, "example.com"))
		}
		jobs := claimAll(t, q, start)
		if len(jobs) != 1 || seen[jobs[0].Token] || jobs[0].Lapses != 0 {
			t.Fatalf("opened %d times: %+v", i+1, jobs)
		}
		seen[jobs[0].Token] = true
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClosed(t *testing.T) {
	ctx := context.Background()
	q := mustOpen(t, newPath(t), Options{})
	mustEnqueue(t, q, message("a", random(1, 3*chunkSize), "example.com"))
	body, err := q.Open(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(q.Close(), q.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, queue.ErrClosed) {
		t.Errorf("a body of a closed queue ended with %v", err)
	}
	if _, err := q.Enqueue(ctx, message("b", nil, "example.com")); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Enqueue: %v", err)
	}
	for _, err := range q.Jobs(ctx, queue.Filter{}) {
		if !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Jobs: %v", err)
		}
	}
}

// Numbers that no job has name no job.
func TestStrangeNumbers(t *testing.T) {
	ctx := context.Background()
	q := mustOpen(t, newPath(t), Options{})
	mustEnqueue(t, q, message("a", nil, "example.com"))
	for _, n := range []int{-1, 1, queue.MaxJobs, 1 << 32, -1 << 32} {
		k := queue.Key{ID: "a", N: n}
		c, err := q.Claim(ctx, queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 1, Keys: []queue.Key{k}})
		if err != nil || len(c.Jobs) > 0 {
			t.Errorf("Claim of %v: %v, %v", k, c.Jobs, err)
		}
		if got := len(list(t, q, queue.Filter{After: k})); (got == 1) != (n < 0) {
			t.Errorf("Jobs after %v: %d", k, got)
		}
	}
}
