package queue_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

func entry() *queue.Entry {
	return &queue.Entry{
		Message: queue.Message{ID: "a", Expires: time.Unix(1, 0), Labels: []string{"label"}},
		Jobs: []*queue.Job{{
			Key: queue.Key{ID: "a"}, Domain: "example.com", Due: time.Unix(0, 0),
			Recipients: []queue.Recipient{{Address: "user@example.com"}},
			Attempts:   []queue.Attempt{{}},
		}},
	}
}

func TestEntryCheck(t *testing.T) {
	long := strings.Repeat("x", queue.MaxString)
	for _, c := range []struct {
		name   string
		change func(*queue.Entry)
		field  string // that the error names; "" if there is none
	}{
		{"good", func(e *queue.Entry) {}, ""},
		{"longest", func(e *queue.Entry) { e.Message.From, e.Jobs[0].Recipients[0].Reply.Text = long, long }, ""},
		{"no ID", func(e *queue.Entry) { e.Message.ID = "" }, "Message.ID"},
		{"dot first", func(e *queue.Entry) { e.Message.ID = ".a" }, "Message.ID"},
		{"no Expires", func(e *queue.Entry) { e.Message.Expires = time.Time{} }, "Message.Expires"},
		{"labels", func(e *queue.Entry) { e.Message.Labels = make([]string, queue.MaxLabels+1) }, "Message.Labels"},
		{"label", func(e *queue.Entry) { e.Message.Labels[0] = "\x00" }, "Message"},
		{"From", func(e *queue.Entry) { e.Message.From = long + "x" }, "Message"},
		{"Tenant", func(e *queue.Entry) { e.Message.Tenant = "\xff" }, "Message"},
		{"Return", func(e *queue.Entry) { e.Message.Return = "\xff" }, "Message"},
		{"EnvelopeID", func(e *queue.Entry) { e.Message.EnvelopeID = "\x00" }, "Message"},
		{"TLS", func(e *queue.Entry) { e.Message.TLS = "\x00" }, "Message"},
		{"no jobs", func(e *queue.Entry) { e.Jobs = nil }, "Jobs"},
		{"many jobs", func(e *queue.Entry) { e.Jobs = make([]*queue.Job, queue.MaxJobs+1) }, "Jobs"},
		{"nil job", func(e *queue.Entry) { e.Jobs[0] = nil }, "Jobs[0]"},
		{"number", func(e *queue.Entry) { e.Jobs[0].Key.N = 1 }, "Jobs[0].Key"},
		{"key", func(e *queue.Entry) { e.Jobs[0].Key.ID = "b" }, "Jobs[0].Key"},
		{"Domain", func(e *queue.Entry) { e.Jobs[0].Domain = "" }, "Jobs[0].Domain"},
		{"long Domain", func(e *queue.Entry) { e.Jobs[0].Domain = long + "x" }, "Jobs[0]"},
		{"Via", func(e *queue.Entry) { e.Jobs[0].Via = "\x00" }, "Jobs[0]"},
		{"no recipients", func(e *queue.Entry) { e.Jobs[0].Recipients = nil }, "Jobs[0].Recipients"},
		{"recipients", func(e *queue.Entry) { e.Jobs[0].Recipients = make([]queue.Recipient, queue.MaxRecipients+1) }, "Jobs[0].Recipients"},
		{"address", func(e *queue.Entry) { e.Jobs[0].Recipients[0].Address = "" }, "Jobs[0].Recipients[0].Address"},
		{"reply", func(e *queue.Entry) { e.Jobs[0].Recipients[0].Reply.Text = "\xff" }, "Jobs[0].Recipients[0]"},
		{"attempts", func(e *queue.Entry) { e.Jobs[0].Attempts = make([]queue.Attempt, queue.MaxAttempts+1) }, "Jobs[0].Attempts"},
		{"attempt", func(e *queue.Entry) { e.Jobs[0].Attempts[0].Reply.Host = "\x00" }, "Jobs[0].Attempts[0]"},
		{"no Due", func(e *queue.Entry) { e.Jobs[0].Due = time.Time{} }, "Jobs[0].Due"},
		{"pending", func(e *queue.Entry) { e.Jobs[0].Finished = time.Unix(1, 0) }, "Jobs[0].Finished"},
		{"finished", func(e *queue.Entry) {
			e.Jobs[0].Finished, e.Jobs[0].Due, e.Jobs[0].Recipients[0].State = time.Unix(1, 0), time.Time{}, queue.Delivered
		}, ""},
	} {
		e := entry()
		c.change(e)
		err := e.Check()
		switch {
		case c.field == "" && err != nil:
			t.Errorf("%s: %v, want no error", c.name, err)
		case c.field != "" && !errors.Is(err, queue.ErrInvalid):
			t.Errorf("%s: %v, want ErrInvalid", c.name, err)
		case c.field != "" && !strings.HasPrefix(err.Error(), "queue: invalid: "+c.field+" "):
			t.Errorf("%s: %v, want an error that names %s", c.name, err, c.field)
		}
	}
}

func TestIDValid(t *testing.T) {
	for _, id := range []queue.ID{"a", "A-z_0.9", queue.ID(strings.Repeat("x", 64)), "-", "a.", "a..b"} {
		if !id.Valid() {
			t.Errorf("%q is not valid", id)
		}
	}
	for _, id := range []queue.ID{"", ".", "..", ".a", "a/b", "a b", "ä", "a\x00", "a\n", queue.ID(strings.Repeat("x", 65))} {
		if id.Valid() {
			t.Errorf("%q is valid", id)
		}
	}
}

// IDs sort as what they are made of does.
func TestIDOrder(t *testing.T) {
	octets := [][16]byte{{}, {15: 1}, {15: 255}, {1: 1}, {0: 1}, {0: 127, 15: 9}, {0: 128}, {0: 255, 15: 255}}
	var ids []queue.ID
	for _, b := range octets {
		ids = append(ids, queue.EncodeID(b))
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var made []queue.ID
	for _, d := range []time.Duration{0, time.Millisecond, time.Hour, 100 * 365 * 24 * time.Hour} {
		for _, octet := range []byte{0, 255} {
			id, err := queue.NewID(now.Add(d), bytes.NewReader(bytes.Repeat([]byte{octet}, 10)))
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, id)
		}
	}
	for _, list := range [][]queue.ID{ids, made} {
		if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("%q is not in order", list)
		}
		for _, id := range list {
			if !id.Valid() {
				t.Errorf("%q is not valid", id)
			}
		}
	}
	if _, err := queue.NewID(now, bytes.NewReader(make([]byte, 9))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("NewID with too little randomness: %v", err)
	}
}

func TestKeyCompare(t *testing.T) {
	keys := []queue.Key{{}, {ID: "Z"}, {ID: "a"}, {ID: "a", N: 2}, {ID: "a", N: 10}, {ID: "aa"}}
	for i, a := range keys {
		for k, b := range keys {
			if got := a.Compare(b); (got < 0) != (i < k) || (got == 0) != (i == k) {
				t.Errorf("%v.Compare(%v) = %d", a, b, got)
			}
		}
	}
}

func TestState(t *testing.T) {
	for s, want := range map[queue.State]string{
		queue.Pending: "pending false", queue.Delivered: "delivered true", queue.Failed: "failed false",
		queue.Bounced: "bounced true", queue.Withdrawn: "withdrawn true", 99: "State(99) false",
	} {
		if got := fmt.Sprint(s, s.Final()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestFilterMatch(t *testing.T) {
	j := entry().Jobs[0]
	j.Message = queue.Message{ID: "a", From: "me@example.org", Tenant: "t", Labels: []string{"x", "y"}}
	j.Recipients[0].Mark = 5
	for _, c := range []struct {
		filter queue.Filter
		want   bool
	}{
		{queue.Filter{}, true},
		{queue.Filter{ID: "a"}, true},
		{queue.Filter{ID: "b"}, false},
		{queue.Filter{Domain: "example.com"}, true},
		{queue.Filter{Domain: "example.net"}, false},
		{queue.Filter{Tenant: "t"}, true},
		{queue.Filter{Tenant: "T"}, false},
		{queue.Filter{Sender: "me@example.org"}, true},
		{queue.Filter{Sender: "you@example.org"}, false},
		{queue.Filter{Recipient: "user@example.com"}, true},
		{queue.Filter{Recipient: "example.com"}, false},
		{queue.Filter{Label: "y"}, true},
		{queue.Filter{Label: "z"}, false},
		{queue.Filter{Unfinished: true}, true},
		{queue.Filter{Ended: true}, true},
		{queue.Filter{Ended: true, Since: 4}, true},
		{queue.Filter{Ended: true, Since: 5}, false},
		{queue.Filter{Since: 5}, true},
		{queue.Filter{After: queue.Key{ID: "z"}, Limit: 1, Heads: true}, true},
		{queue.Filter{ID: "a", Label: "z"}, false},
	} {
		if got := c.filter.Match(j); got != c.want {
			t.Errorf("%+v.Match = %t", c.filter, got)
		}
	}
	j.Finished = time.Unix(1, 0)
	if f := (queue.Filter{Unfinished: true}); f.Match(j) {
		t.Error("an unfinished job is finished")
	}
}

func TestClone(t *testing.T) {
	j := entry().Jobs[0]
	j.Message.Labels = []string{"label"}
	c := j.Clone()
	c.Message.Labels[0], c.Recipients[0].Address, c.Attempts[0].TLS = "changed", "changed", "changed"
	if j.Message.Labels[0] != "label" || j.Recipients[0].Address != "user@example.com" || j.Attempts[0].TLS != "" {
		t.Error("a clone shares memory with its original")
	}
}

// The life of a message: enqueue it, claim its job, commit what became of it.
func Example() {
	ctx, now := context.Background(), time.Now()
	q := memqueue.New()
	defer q.Close()

	id, err := queue.NewID(now, rand.Reader)
	if err != nil {
		panic(err)
	}
	body := "Subject: hello\r\n\r\nHello.\r\n"
	added, err := q.Enqueue(ctx, &queue.Entry{
		Message: queue.Message{
			ID: id, From: "sender@example.org", Digest: sha256.Sum256([]byte(body)), Enqueued: now, Expires: now.Add(24 * time.Hour),
		},
		Jobs: []*queue.Job{{
			Key: queue.Key{ID: id, N: 0}, Domain: "example.com", Due: now,
			Recipients: []queue.Recipient{{Address: "you@example.com"}},
		}},
		Body: strings.NewReader(body),
	})
	fmt.Println("added:", added, err)

	claimed, err := q.Claim(ctx, queue.ClaimRequest{Now: now, Lease: time.Hour, Limit: 10})
	if err != nil {
		panic(err)
	}
	for _, j := range claimed.Jobs {
		j.Recipients[0].State, j.Finished = queue.Delivered, now
		fmt.Println("committed:", q.Commit(ctx, j))
	}
	for j, err := range q.Jobs(ctx, queue.Filter{Ended: true}) {
		fmt.Println("ended:", j.Recipients[0].Address, j.Recipients[0].State, err)
	}
	// Output:
	// added: true <nil>
	// committed: <nil>
	// ended: you@example.com delivered <nil>
}
