package move_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/queue/move"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// sample is a message in whose jobs recipients have got as far as these states.
func sample(id string, size int, jobs ...[]queue.State) *queue.Entry {
	e := &queue.Entry{
		Message: queue.Message{
			ID: queue.ID(id), From: "shop@example.org", Tenant: "shop", Priority: queue.High, Labels: []string{"receipt", "march"},
			Digest: [32]byte{1, byte(len(id)), id[0]}, Enqueued: start, Expires: start.Add(120 * time.Hour), UTF8: true, EightBit: true,
			Return: queue.ReturnHeaders, EnvelopeID: "envelope " + id, TLS: queue.TLSVerified,
		},
		Body: strings.NewReader(strings.Repeat(id[:1], size)),
	}
	for n, states := range jobs {
		reply := queue.Reply{Host: "mx.example.net", Addr: "192.0.2.1:25", Phase: "rcpt", Code: 451, Enhanced: "4.7.1", Text: "greylisted"}
		j := &queue.Job{
			Key: queue.Key{ID: e.Message.ID, N: n}, Domain: fmt.Sprintf("d%d.example", n), Due: start.Add(time.Duration(n) * time.Hour),
			Tries: n + 120, Held: n%2 == 1, Via: "smtp://relay.example",
			Attempts: []queue.Attempt{{Time: start.Add(time.Minute), Took: 3 * time.Second, Reply: reply, TLS: "TLS 1.3", Verified: true, QueueID: "4c8", Uncertain: true}},
			Finished: start.Add(2 * time.Minute),
		}
		for i, s := range states {
			j.Recipients = append(j.Recipients, queue.Recipient{
				Address: fmt.Sprintf("r%d@%s", i, j.Domain), From: "bounces+1@example.org", State: s, Reply: reply,
				Uncertain: n == 0, Notify: queue.NotifyDelay, Original: "rfc822;r@example", Reason: "why", Report: "report",
			})
			if !s.Final() {
				j.Finished = time.Time{}
			}
		}
		e.Jobs = append(e.Jobs, j)
	}
	return e
}

func one(s queue.State) []queue.State { return []queue.State{s} }

// fill puts all kinds of messages and notes into a queue.
func fill(t *testing.T, q queue.Queue) {
	t.Helper()
	for _, e := range []*queue.Entry{
		sample("delivered", 100, one(queue.Delivered)),
		sample("waiting", 100, one(queue.Pending), []queue.State{queue.Pending, queue.Failed}),
		sample("partly", 100, one(queue.Bounced), []queue.State{queue.Delivered, queue.Pending, queue.Withdrawn}),
		sample("large", 700_000, one(queue.Pending), one(queue.Pending)),
		sample("empty", 0, one(queue.Pending)),
	} {
		if added, err := q.Enqueue(t.Context(), e); err != nil || !added {
			t.Fatal(added, err)
		}
	}
	for key, value := range map[string]string{"rule": "pause", "empty": ""} {
		if err := q.(queue.Notes).Set(t.Context(), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
}

// describe writes down all that is to be kept of a queue.
func describe(t *testing.T, q queue.Queue) string {
	t.Helper()
	var b strings.Builder
	for j, err := range q.Jobs(t.Context(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range j.Recipients {
			if final := j.Recipients[i].State.Final(); final != (j.Recipients[i].Mark > 0) {
				t.Errorf("%s: recipient %d has the mark %d", j.Key, i, j.Recipients[i].Mark)
			}
			j.Recipients[i].Mark = 0
		}
		j.Lapses, j.Leased = 0, time.Time{}
		r, err := q.Open(t.Context(), j.Key.ID)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(r)
			r.Close()
		} else if errors.Is(err, queue.ErrNotFound) {
			err, j.Message.Size = nil, 0
		}
		text, failed := json.Marshal(j)
		if err = errors.Join(err, failed); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n%d %x\n", text, len(body), body[:min(len(body), 100)])
	}
	for key, err := range q.(queue.Notes).Keys(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		value, err := q.(queue.Notes).Get(t.Context(), key)
		fmt.Fprintf(&b, "%s: %q %v %v\n", key, value, value == nil, err)
	}
	return b.String()
}

func openBolt(t *testing.T) queue.Queue {
	t.Helper()
	q, err := boltqueue.Open(filepath.Join(t.TempDir(), "mail.db"), boltqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// plain is a queue without optional interfaces but Notes.
type plain struct {
	queue.Queue
	queue.Notes
}

func TestAll(t *testing.T) {
	first, second, third := memqueue.New(), openBolt(t), memqueue.New()
	fill(t, first)
	want := describe(t, first)
	for _, pair := range [][2]queue.Queue{{first, second}, {second, plain{third, third}}} {
		for range 2 { // the second time changes nothing
			moved, err := move.All(t.Context(), pair[0], pair[1], move.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if moved.Mark == 0 {
				t.Error("no mark")
			}
			moved.Mark = 0
			if expected := (move.Moved{Unfinished: 4, Finished: 1, Notes: 2}); moved != expected {
				t.Errorf("moved %+v, want %+v", moved, expected)
			}
			if got := describe(t, pair[1]); got != want {
				t.Fatalf("moved to %T:\n%s\nwant:\n%s", pair[1], got, want)
			}
		}
	}
	if got := describe(t, first); got != want {
		t.Errorf("the queue that was read has changed:\n%s\nwant:\n%s", got, want)
	}
}

// What the other queue has learned since the last attempt stays.
func TestAllKeepsWhatIsThere(t *testing.T) {
	from, to := memqueue.New(), memqueue.New()
	fill(t, from)
	if _, err := move.All(t.Context(), from, to, move.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := to.Set(t.Context(), "rule", []byte("go on")); err != nil {
		t.Fatal(err)
	}
	claimed, err := to.Claim(t.Context(), queue.ClaimRequest{Now: start, Lease: time.Minute, Limit: 1, Keys: []queue.Key{{ID: "waiting"}}})
	if err != nil || len(claimed.Jobs) != 1 {
		t.Fatal(claimed, err)
	}
	j := claimed.Jobs[0]
	j.Recipients[0].State, j.Finished = queue.Delivered, start
	if err := to.Commit(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	want := describe(t, to)
	if _, err := move.All(t.Context(), from, to, move.Options{}); err != nil {
		t.Fatal(err)
	}
	if got := describe(t, to); got != want {
		t.Errorf("after the repetition:\n%s\nwant:\n%s", got, want)
	}
}

func TestAllConflict(t *testing.T) {
	from, to := memqueue.New(), openBolt(t)
	fill(t, from)
	other := sample("partly", 5, one(queue.Pending))
	other.Message.Digest[5]++
	if _, err := to.Enqueue(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if _, err := move.All(t.Context(), from, to, move.Options{}); !errors.Is(err, queue.ErrConflict) {
		t.Error(err)
	}
}

func TestAllInUse(t *testing.T) {
	from, to := memqueue.New(), memqueue.New()
	fill(t, from)
	r := queue.ClaimRequest{Now: time.Now(), Lease: time.Hour, Limit: 1, Keys: []queue.Key{{ID: "waiting", N: 1}}}
	if _, err := from.Claim(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := move.All(t.Context(), from, to, move.Options{}); !errors.Is(err, move.ErrInUse) || !strings.Contains(err.Error(), "waiting/1") {
		t.Error(err)
	}
	for j := range to.Jobs(t.Context(), queue.Filter{}) {
		t.Errorf("%s was moved", j.Key)
	}
}

// damaged is a queue with a job that can't be read.
type damaged struct{ *memqueue.Queue }

func (q damaged) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	return func(yield func(*queue.Job, error) bool) {
		for j, err := range q.Queue.Jobs(ctx, f) {
			if j.Key.ID != "partly" && !yield(j, err) {
				return
			}
		}
		yield(nil, queue.ErrDamaged)
	}
}

// A queue in which not all jobs can be read is not moved in part.
func TestAllDamagedList(t *testing.T) {
	from, to := memqueue.New(), memqueue.New()
	fill(t, from)
	if _, err := move.All(t.Context(), damaged{from}, to, move.Options{}); !errors.Is(err, queue.ErrDamaged) {
		t.Error(err)
	}
	for j := range to.Jobs(t.Context(), queue.Filter{}) {
		t.Errorf("%s was moved", j.Key)
	}
}

// cut is a queue in which a body is cut off.
type cut struct {
	*memqueue.Queue
	id  queue.ID
	err error
}

func (c cut) Open(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if id != c.id {
		return c.Queue.Open(ctx, id)
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader([]byte("half")), errReader{c.err})), nil
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// A message whose body is damaged stays behind, and no other; while a queue that can't be read now ends the move.
func TestAllDamaged(t *testing.T) {
	for _, to := range []queue.Queue{memqueue.New(), openBolt(t)} {
		from := memqueue.New()
		fill(t, from)
		away := cut{from, "large", errors.New("no connection")}
		if _, err := move.All(t.Context(), away, to, move.Options{}); !errors.Is(err, away.err) {
			t.Error(err)
		}
		away.err = fmt.Errorf("of the body: %w", io.ErrUnexpectedEOF)
		var told []queue.ID
		moved, err := move.All(t.Context(), away, to, move.Options{Unreadable: func(id queue.ID, err error) {
			if told = append(told, id); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error(err)
			}
		}})
		if err != nil || moved.Unfinished != 3 || moved.Unreadable != 1 || fmt.Sprint(told) != "[large]" {
			t.Errorf("moved %+v, told of %v, error %v", moved, told, err)
		}
		var got []queue.Key
		for j := range to.Jobs(t.Context(), queue.Filter{Unfinished: true}) {
			got = append(got, j.Key)
		}
		if want := "[empty/0 partly/1 waiting/0 waiting/1]"; fmt.Sprint(got) != want {
			t.Errorf("%T has %v, want %s", to, got, want)
		}
	}
}

func TestAllCursors(t *testing.T) {
	for name, test := range map[string]struct {
		cursor string
		want   string // "" for none
	}{
		"read to the end": {"3", "4"},
		"read in part":    {"2", ""},
		"none of ours":    {"yes", ""},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := memqueue.New(), memqueue.New()
			if _, err := to.Enqueue(t.Context(), sample("another", 3, one(queue.Delivered))); err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"c", "a", "b"} {
				if _, err := from.Enqueue(t.Context(), sample(id, 3, one(queue.Delivered))); err != nil {
					t.Fatal(err)
				}
			}
			if err := from.Set(t.Context(), "cursor", []byte(test.cursor)); err != nil {
				t.Fatal(err)
			}
			moved, err := move.All(t.Context(), from, to, move.Options{Cursors: []string{"cursor"}})
			if err != nil || moved.Mark != 4 {
				t.Fatal(moved, err)
			}
			if got, err := to.Get(t.Context(), "cursor"); err != nil || string(got) != test.want {
				t.Errorf("the cursor is %q, error %v, want %q", got, err, test.want)
			}
		})
	}
}
